"""Places of faces in views."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training_data import CONVENTION, some_params

from facegeo.geometry.crop import lean_of_faces, rois_from_landmarks
from facegeo.morphable import MorphableModel
from facegeo.synthetic.negatives import background_crop
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.placement import (
    mirrored,
    misplaced,
    random_similarities,
    recentred,
    turned_over,
)
from facegeo.training.data.similarity import (
    inverted,
    similarities,
    transform_landmarks,
    transform_params,
)


def landmarks_in_crops(model: MorphableModel, count: int, seed: int = 0) -> np.ndarray:
    return landmarks_of(some_params(count, seed), model, CONVENTION)


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


def test_a_mirrored_similarity_flips_first():
    matrices = similarities(np.array([30.0]), np.array([0.8]), np.array([[5.0, -3.0]]))
    points = np.array([[[20.0, 70.0, 0.0]]])
    flipped = points.copy()
    flipped[..., 0] = 119 - flipped[..., 0]
    moved = np.einsum("nij,nkj->nki", mirrored(matrices)[:, :, :2], points[..., :2])
    moved += mirrored(matrices)[:, None, :, 2]
    assert moved == pytest.approx(transform_landmarks(flipped, matrices)[..., :2])


def test_random_similarities_stay_within_their_ranges(model):
    landmarks = landmarks_in_crops(model, 500)
    config = AugmentConfig(rotation_deg=15, shift=0.1, zoom=0.25)
    matrices = random_similarities(landmarks, np.random.default_rng(0), config)
    scale = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    assert 0.8 <= scale.min() < 0.82 and 1.22 < scale.max() <= 1.25
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert -15 <= angle.min() < -14 and 14 < angle.max() <= 15
    centre = np.full((500, 1, 3), 59.5)
    shift = transform_landmarks(centre, matrices)[:, 0, :2] - 59.5
    assert 11 < np.abs(shift).max() <= 12


def test_as_many_are_recentred_as_the_configuration_says(model):
    landmarks = landmarks_in_crops(model, 400)
    config = AugmentConfig(rotation_deg=0, shift=0, zoom=0, recentre=0.7)
    matrices = random_similarities(landmarks, np.random.default_rng(0), config)
    stayed = np.abs(matrices - np.eye(2, 3)).max(axis=(1, 2)) < 1e-9
    assert 0.22 < stayed.mean() < 0.38


@pytest.mark.parametrize("angle", [0.0, 37.0])
def test_a_recentred_view_has_the_region_that_a_tracker_would_take(model, angle):
    landmarks = landmarks_in_crops(model, 5)
    away = similarities(np.zeros(5), np.full(5, 0.8), np.tile([9.0, -7.0], (5, 1)))
    off_centre = transform_landmarks(landmarks, away)
    angles = np.full(5, angle)
    matrices = recentred(off_centre, angles, np.ones(5), np.zeros((5, 2)))
    moved = transform_landmarks(off_centre, matrices)
    # The region has whole pixels: its corners may be off by one.
    assert np.abs(rois_from_landmarks(moved) - (-0.5, -0.5, 119.5, 119.5)).max() <= 1
    larger = recentred(off_centre, angles, np.full(5, 1.1), np.tile([3.0, 0.0], (5, 1)))
    wide = transform_landmarks(off_centre, larger)
    middles = [(x[..., 0].min(axis=1) + x[..., 0].max(axis=1)) / 2 for x in (moved, wide)]
    assert middles[1] - middles[0] == pytest.approx(np.full(5, 3.0), abs=1e-3)
    ratio = np.ptp(wide[..., 0], axis=1) / np.ptp(moved[..., 0], axis=1)
    assert ratio == pytest.approx(np.full(5, 1.1), abs=1e-4)


def test_misplaced_faces_are_elsewhere_or_of_another_size(model):
    landmarks = landmarks_in_crops(model, 300)
    moved = transform_landmarks(landmarks, misplaced(landmarks, np.random.default_rng(0)))
    face = np.sqrt(np.ptp(landmarks[..., :2], axis=1).prod(axis=1))
    away = np.linalg.norm(moved.mean(axis=1)[:, :2] - landmarks.mean(axis=1)[:, :2], axis=1) / face
    spread = [x[..., :2].std(axis=1).prod(axis=1) for x in (landmarks, moved)]
    ratio = np.sqrt(spread[1] / spread[0])
    assert ((away > 0.2) | (ratio < 0.6) | (ratio > 1.7)).all()


def test_faces_lie_on_their_side_or_stand_on_their_head(model):
    landmarks = landmarks_in_crops(model, 300)
    moved = transform_landmarks(landmarks, turned_over(landmarks, np.random.default_rng(0)))
    lean = np.abs(lean_of_faces(moved))
    assert lean.min() > 74 and (lean > 139).mean() > 0.5
    eyes = moved[:, 36:48, :2].mean(axis=1)
    # With the eyes where a crop has them, forehead where the mouth would be.
    assert (np.abs(eyes - (60, 44.4)).max(axis=1) < 9).mean() > 0.4


def test_backgrounds_are_squares_of_the_photo():
    photo = np.full((50, 90, 3), 77, np.uint8)
    crop = background_crop(photo, np.random.default_rng(0), 64)
    assert crop.shape == (64, 64, 3)
    assert (crop == 77).all()
