"""Pictures move, and labels with them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training_data import CONVENTION, painted, some_params

from facegeo.geometry.crop import rois_from_landmarks
from facegeo.morphable import MorphableModel
from facegeo.morphable.mirror import mirror_params
from facegeo.synthetic.negatives import background_crop
from facegeo.training.data.augment import (
    AugmentConfig,
    Sample,
    augmented,
    flipped,
    misplaced,
    moved_image,
    random_similarity,
    recentred,
)
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.face_swap import FaceSwap
from facegeo.training.data.similarity import (
    inverted,
    similarities,
    transform_landmarks,
    transform_params,
)

STILL = AugmentConfig(
    **{
        name: 0.0 for name in ("flip", "swap", "occlusion", "blur", "jpeg", "grey", "shift", "zoom")
    },
    **{name: 0.0 for name in ("rotation_deg", "brightness", "contrast", "saturation", "tint")},
)


def spot(size: int, x: float, y: float, sigma: float = 3.0) -> np.ndarray:
    """A picture with one soft bright spot."""
    rows, columns = np.mgrid[0:size, 0:size]
    bright = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(bright[..., None], 3, axis=2).astype(np.uint8)


def centre_of(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0].astype(float)
    rows, columns = np.mgrid[0 : len(picture), 0 : len(picture)]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def sample_of(model: MorphableModel, seed: int = 0) -> Sample:
    params = some_params(1, seed)
    landmarks = landmarks_of(params, model, CONVENTION)
    return Sample(painted(landmarks[0]), params[0], landmarks[0])


@pytest.mark.parametrize("size", [120, 96, 64])
def test_the_picture_moves_where_the_points_move(size):
    matrices = similarities(np.array([25.0]), np.array([0.9]), np.array([[4.0, -3.0]]))
    point = np.array([[[75.0, 40.0, 0.0]]])
    moved = centre_of(moved_image(spot(120, 75, 40), matrices[0], size))
    expected = transform_landmarks(point, matrices)[0, 0, :2]
    # a crop of another side shows the same region: pixel centres at (x + 1/2) size / 120 - 1/2
    assert np.abs(moved - ((expected + 0.5) * size / 120 - 0.5)).max() < 0.05


def test_positive_angles_turn_clockwise():
    matrices = similarities(np.array([90.0]), np.ones(1), np.zeros((1, 2)))
    right_of_centre = np.array([[[79.5, 59.5, 0.0]]])
    below = transform_landmarks(right_of_centre, matrices)[0, 0]
    assert np.abs(below - (59.5, 79.5, 0)).max() < 1e-9


def test_parameters_move_as_the_landmarks_do(model):
    params = some_params(8)
    rng = np.random.default_rng(1)
    matrices = similarities(
        rng.uniform(-40, 40, 8), rng.uniform(0.8, 1.2, 8), rng.uniform(-9, 9, (8, 2))
    )
    of_params = landmarks_of(transform_params(params, matrices, CONVENTION), model, CONVENTION)
    of_points = transform_landmarks(landmarks_of(params, model, CONVENTION), matrices)
    assert np.abs(of_params - of_points).max() < 1e-3
    back = transform_params(
        transform_params(params, matrices, CONVENTION), inverted(matrices), CONVENTION
    )
    assert np.abs(back - params).max() < 1e-3


def test_a_flip_takes_landmarks_parameters_and_picture_along(model):
    sample = sample_of(model)
    mirrored = flipped(sample, model.mirror, CONVENTION)
    of_params = landmarks_of(mirrored.params[None], model, CONVENTION)[0]
    assert np.abs(of_params - mirrored.landmarks).max() < 0.5
    # Under every landmark that lies in the crop there is the dot that was painted there.
    columns, rows = np.rint(mirrored.landmarks[:, :2] + (0.01, 0)).astype(int).T
    assert (mirrored.crop[rows, columns, 0] > 100).all()
    twice = mirror_params(mirrored.params[None], model.mirror, CONVENTION)[0]
    assert np.abs(twice - sample.params).max() < 1e-4


def test_without_chances_nothing_changes(model):
    sample = sample_of(model)
    same = augmented(sample, np.random.default_rng(0), STILL, model.mirror, CONVENTION)
    assert np.array_equal(same.crop, sample.crop)
    assert np.abs(same.landmarks - sample.landmarks).max() < 1e-4


def test_augmented_labels_agree_with_each_other(model):
    config = AugmentConfig(flip=0.5, occlusion=1, blur=1, jpeg=1)
    for seed in range(12):
        view = augmented(
            sample_of(model, seed),
            np.random.default_rng(seed),
            config,
            model.mirror,
            CONVENTION,
            64,
        )
        assert view.crop.shape == (64, 64, 3)
        of_params = landmarks_of(view.params[None], model, CONVENTION)[0]
        assert np.abs(of_params - view.landmarks).max() < 0.5


def test_the_same_generator_gives_the_same_view(model):
    views = [
        augmented(
            sample_of(model),
            np.random.default_rng(5),
            AugmentConfig(),
            model.mirror,
            CONVENTION,
            96,
        )
        for _ in range(2)
    ]
    assert np.array_equal(views[0].crop, views[1].crop)
    assert np.array_equal(views[0].params, views[1].params)


def test_swapping_changes_the_face_and_nothing_else(model):
    own, other = some_params(2, seed=3)
    grey, bright = np.full((120, 120, 3), 90, np.uint8), np.zeros((120, 120, 3), np.uint8)
    bright[:, :60], bright[:, 60:] = (200, 120, 60), (60, 120, 200)
    swapped = FaceSwap(CoarseFace(model, CONVENTION))(grey, own, bright, other)
    vertices = model.vertices(own[None, 12:52], own[None, 52:])
    points = landmarks_of(own[None], model, CONVENTION)[0]
    nose = np.rint(points[30, :2]).astype(int)
    assert vertices.shape[1] == model.num_vertices
    assert np.abs(swapped[nose[1], nose[0]].astype(int) - 90).max() > 10
    assert (swapped[:4] == 90).all()
    assert (swapped[-4:] == 90).all()


def test_a_face_swapped_with_itself_stays(model):
    params = some_params(1)[0]
    rows, columns = np.mgrid[0:120, 0:120]
    crop = np.stack([rows, columns, 120 - rows], axis=2).astype(np.uint8)  # smooth
    swapped = FaceSwap(CoarseFace(model, CONVENTION))(crop, params, crop, params)
    assert np.abs(swapped.astype(int) - crop).max() <= 1


def test_negatives_have_the_face_elsewhere():
    landmarks = np.zeros((68, 3))
    landmarks[:, :2] = np.random.default_rng(0).uniform(35, 85, (68, 2))
    for seed in range(20):
        moved = misplaced(spot(120, 59.5, 59.5), landmarks, np.random.default_rng(seed))
        at_centre = float(moved[55:65, 55:65].mean())
        usual = float(spot(120, 59.5, 59.5)[55:65, 55:65].mean())
        # moved away, shrunk or blown up: the centre does not look as it did
        assert abs(at_centre - usual) > 0.1 * usual


def test_backgrounds_are_squares_of_the_photo():
    photo = np.full((50, 90, 3), 77, np.uint8)
    crop = background_crop(photo, np.random.default_rng(0), 64)
    assert crop.shape == (64, 64, 3)
    assert (crop == 77).all()


@pytest.mark.parametrize("angle", [0.0, 37.0])
def test_a_recentred_view_has_the_region_that_a_tracker_would_take(model, angle):
    sample = sample_of(model)
    still = np.array([angle]), np.ones(1), np.zeros((1, 2))
    off_centre = transform_landmarks(
        sample.landmarks[None], similarities(np.zeros(1), np.full(1, 0.8), np.array([[9.0, -7.0]]))
    )[0]
    moved = transform_landmarks(off_centre[None], recentred(off_centre, *still)[None])
    # The region has whole pixels: its corners may be off by one.
    assert np.abs(rois_from_landmarks(moved) - (-0.5, -0.5, 119.5, 119.5)).max() <= 1
    wide = transform_landmarks(
        off_centre[None],
        recentred(off_centre, np.array([angle]), np.full(1, 1.1), np.array([[3.0, 0.0]]))[None],
    )
    middles = [(x[0, :, 0].min() + x[0, :, 0].max()) / 2 for x in (moved, wide)]
    assert abs(middles[1] - middles[0] - 3.0) < 1e-3
    assert abs(np.ptp(wide[0, :, 0]) / np.ptp(moved[0, :, 0]) - 1.1) < 1e-4


def test_recentred_views_are_as_frequent_as_asked(model):
    sample, rng = sample_of(model), np.random.default_rng(0)
    config = AugmentConfig(recentre=0.7, rotation_deg=0.0, shift=0.05, zoom=0.1)
    off_centre = transform_landmarks(
        sample.landmarks[None], similarities(np.zeros(1), np.ones(1), np.array([[20.0, 0.0]]))
    )[0]
    shifts = []
    for _ in range(300):
        moved = transform_landmarks(
            off_centre[None], random_similarity(rng, config, off_centre)[None]
        )[0]
        shifts.append(abs((moved[:, 0].min() + moved[:, 0].max()) / 2 - 59.5))
    assert 0.6 < np.mean(np.array(shifts) < 0.0125 * 120 + 0.01) < 0.8
