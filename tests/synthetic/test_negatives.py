"""Crops without a well-placed face: which photos they come from, and where the face goes."""

import numpy as np
import pytest

from facegeo.errors import InvalidInputError
from facegeo.synthetic.negatives import half_a_face, shifted_crops, split_backgrounds


def test_the_first_of_every_five_names_is_held_back_whatever_the_order():
    names = [f"{i:02d}.jpg" for i in range(12)]
    assert split_backgrounds(names).held_back == [0, 5, 10]
    shuffled = [f"deeper/{names[i]}" for i in np.random.default_rng(0).permutation(12)]
    split = split_backgrounds(shuffled)
    assert sorted(shuffled[i] for i in split.held_back) == [
        "deeper/00.jpg",
        "deeper/05.jpg",
        "deeper/10.jpg",
    ]
    assert sorted([*split.training, *split.held_back]) == list(range(12))
    with pytest.raises(InvalidInputError, match="at least 2"):
        split_backgrounds(["a.jpg"])


def test_shifts_are_half_of_the_face_in_any_direction():
    # A face of 80 x 45 in a region of 240: 60 photo pixels are 30 of the crop, half of them 15.
    points = np.tile(np.array([[0.0, 0], [80, 45], [20, 20]]), (200, 1, 1))
    rois = np.tile(np.array([0.0, 0, 240, 240]), (200, 1))
    shift = half_a_face(points, rois)
    assert np.linalg.norm(shift, axis=1) == pytest.approx(15)
    assert np.abs(shift.mean(axis=0)).max() < 2
    assert np.array_equal(shift, half_a_face(points, rois))


def test_the_crop_moves_as_the_shift_says_and_black_comes_in():
    crops = np.full((2, 120, 120, 3), 50, np.uint8)
    crops[:, 60, 60] = 255
    moved = shifted_crops(crops, np.array([[10.0, -20.0], [0.0, 0.0]]))
    assert (moved[0, 40, 70] == 255).all() and (moved[0, :, :10] == 0).all()
    assert (moved[0, 100:] == 0).all() and (moved[0, 0:100, 10:] >= 50).all()
    assert np.array_equal(moved[1], crops[1])
