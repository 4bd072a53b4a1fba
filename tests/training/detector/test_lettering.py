"""Random letters on the scenes of a detector's training."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("torch")

from facegeo.training.detector import lettering
from facegeo.training.detector.lettering import draw_lettering


def lettered(seed: int, height: int = 200, width: int = 320) -> np.ndarray:
    photo = np.full((height, width, 3), 120, np.uint8)
    draw_lettering(photo, np.random.default_rng(seed))
    return photo


def test_letters_appear_and_the_same_generator_writes_the_same():
    changed = [(lettered(seed) != 120).any(axis=2).mean() for seed in range(20)]
    assert np.median(changed) > 0.005 and min(changed) < 0.3
    np.testing.assert_array_equal(lettered(3), lettered(3))
    assert (lettered(3) != lettered(4)).any()


def test_what_reaches_beyond_the_photo_is_cut():
    for seed in range(30):
        lettered(seed, 24, 24)


def test_a_mask_is_painted_where_it_is_put():
    photo = np.zeros((4, 5, 3), np.uint8)
    mask = np.array([[1.0, 0.5], [0.0, 1.0]], np.float32)
    lettering._paint(photo, mask, (4, 2), np.array([200.0, 100.0, 50.0]))
    assert photo[2, 4].tolist() == [200, 100, 50] and photo[3, 4].tolist() == [0, 0, 0]
    lettering._paint(photo, mask, (-1, -1), np.array([200.0, 100.0, 50.0]))
    assert photo[0, 0].tolist() == [200, 100, 50] and photo.any(axis=2).sum() == 2


def test_ink_and_ground_can_be_told_apart():
    for seed in range(50):
        ink, ground = lettering._colours(np.random.default_rng(seed))
        assert abs(ink.mean() - ground.mean()) > 25
