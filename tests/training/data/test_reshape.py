"""Faces of another shape: the picture, the landmarks and the parameters change as one."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training_data import CONVENTION, dotted_face, place_of_dot

from facegeo.conventions import NUM_POSE
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.reshape import Reshape, random_change
from facegeo.training.data.sample import Sample

#: Tip of the nose, corners of eyes and mouth.
POINTS = (30, 36, 45, 48, 54)


@pytest.fixture(scope="module")
def reshape(model) -> Reshape:
    return Reshape(model, CoarseFace(model, CONVENTION))


def moving(model, point: int, shape: bool) -> np.ndarray:
    """A change of one coefficient that moves this landmark by some 4 pixels of the crop."""
    basis = model.landmark_basis
    modes = basis.shape_basis if shape else basis.expression_basis
    reach = np.linalg.norm(modes[:, point, :2], axis=-1)
    change = np.zeros(50, np.float32)
    best = int(np.argmax(reach))
    change[best if shape else 40 + best] = 4 / (0.4 * reach[best])
    return change


@pytest.mark.parametrize(
    ("point", "shape"),
    # No expression moves the corners of the eyes and the nose by that much.
    [*((point, True) for point in POINTS), (48, False), (54, False)],
)
def test_the_picture_moves_with_the_points(model, reshape, point, shape):
    change = moving(model, point, shape)
    before = dotted_face(model, dots=(point,))
    after = reshape(before, change)
    found = place_of_dot(after.crop)
    assert np.linalg.norm(after.landmarks[point] - before.landmarks[point]) > 3
    assert np.abs(found - after.landmarks[point, :2]).max() < 1.5


def test_parameters_and_landmarks_agree(model, reshape):
    rng = np.random.default_rng(0)
    sample = dotted_face(model)
    refined = sample.landmarks + rng.normal(0, 1, (68, 3)).astype(np.float32)
    change = random_change(np.full(50, 0.3), rng)
    after = reshape(Sample(sample.crop, sample.params, refined), change)
    assert np.array_equal(after.params[:NUM_POSE], sample.params[:NUM_POSE])
    assert after.params[NUM_POSE:] == pytest.approx(change)
    # What the landmarks have beyond the parameters stays.
    of_params = landmarks_of(after.params[None], model, CONVENTION)[0]
    assert after.landmarks - of_params == pytest.approx(refined - sample.landmarks, abs=1e-3)


def test_no_change_changes_nothing(model, reshape):
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    sample = Sample(noise, dotted_face(model).params, dotted_face(model).landmarks)
    same = reshape(sample, np.zeros(50, np.float32))
    assert np.abs(same.crop.astype(int) - noise).max() <= 1
    assert same.landmarks == pytest.approx(sample.landmarks)


def test_a_face_outside_its_crop_is_left_in_peace(model, reshape):
    sample = dotted_face(model)
    params = sample.params.copy()
    params[3] += 400
    away = Sample(sample.crop, params, sample.landmarks + np.float32([400, 0, 0]))
    assert np.array_equal(reshape(away, np.ones(50)).crop, sample.crop)


def test_random_changes_are_as_large_as_faces_differ():
    spread = np.linspace(0, 1, 50)
    rng = np.random.default_rng(0)
    changes = np.array([random_change(spread, rng) for _ in range(4000)])
    assert changes.std(axis=0) == pytest.approx(0.7 * spread, abs=0.03)
    assert np.abs(changes.mean(axis=0)).max() < 0.05
