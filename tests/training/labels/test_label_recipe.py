"""The recipe of labels, on made-up faces whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.training_data import some_params

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.evaluation.measures import points_21
from facegeo.geometry.crop import find_convention
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY
from facegeo.training.labels.correction import ManualPoints
from facegeo.training.labels.joint import FaceModelRows, Pull
from facegeo.training.labels.manual import Manual68
from facegeo.training.labels.recipe import (
    Recipe,
    TeacherFaces,
    corrected_faces,
    moved_to,
    point_weights,
)
from facegeo.training.labels.yaw_bias import turned_back

#: The teacher's landmarks lie so far beside the picture's.
DRIFT = 0.25
COUNT = 16
INNER = slice(17, 68)


@pytest.fixture(scope="module")
def rows(model) -> FaceModelRows:
    basis = model.landmark_basis
    modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(np.float64)
    std = some_params(64).std(axis=0).astype(np.float64)
    return FaceModelRows(basis.mean.astype(np.float64), modes, std, find_convention("3ddfa"))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return some_params(COUNT, seed=1).astype(np.float64)


@pytest.fixture(scope="module")
def taught(rows, truth) -> TeacherFaces:
    noise = 0.3 * rows.std * np.random.default_rng(2).normal(size=truth.shape)
    return TeacherFaces(truth + noise, rows, DRIFT)


@pytest.fixture(scope="module")
def manual(taught, truth) -> Manual68:
    points = taught.landmarks(truth)[..., :2].copy()
    return Manual68(points, np.full((COUNT, 68), SEEN, np.uint8))


def error(landmarks, manual, points=INNER) -> float:
    return float(np.linalg.norm((landmarks[..., :2] - manual.points)[:, points], axis=2).mean())


def test_landmarks_go_to_the_manual_points_in_the_pictures_own_pixels(taught, manual):
    before = error(taught.landmarks(taught.params), manual)
    found = corrected_faces(taught, manual)
    assert error(found.landmarks, manual) < 0.3 * before
    wholly = Recipe(both=Pull(0.001, 1000), move=1.0, robust_move_px=1e6)
    exact = corrected_faces(taught, manual, recipe=wholly).landmarks
    assert error(exact, manual) < 0.01
    # With AFLW's points as well, which lie in the teacher's pixels.
    mine = points_21(manual.points) - [DRIFT, 0]
    aflw = ManualPoints(mine, np.ones((COUNT, 21), bool))
    assert error(corrected_faces(taught, manual, aflw, recipe=wholly).landmarks, manual) < 0.01


def test_a_face_nobody_marked_stays_the_teachers(taught, manual):
    points = manual.points.copy()
    points[3] = np.nan
    found = corrected_faces(taught, Manual68(points, manual.state))
    mine = taught.landmarks(taught.params)
    np.testing.assert_allclose(found.landmarks[3, :, :2], mine[3, :, :2], atol=1e-6)
    assert np.abs(found.landmarks[2, :, :2] - mine[2, :, :2]).max() > 0.5


def test_faces_with_21_points_only_have_their_own_pull(taught, manual):
    nobody = Manual68(np.full_like(manual.points, np.nan), manual.state)
    mine = points_21(manual.points) - [DRIFT, 0]
    aflw = ManualPoints(mine, np.ones((COUNT, 21), bool))
    still = dataclasses.replace(Recipe(), only_21=Pull(1.0, 8, trust=0.0))
    unmoved = corrected_faces(taught, nobody, aflw, recipe=still)
    np.testing.assert_allclose(unmoved.params, taught.params)
    found = corrected_faces(taught, nobody, aflw)
    assert error(found.landmarks, manual) < 0.7 * error(unmoved.landmarks, manual)


def test_the_rotation_is_found_apart_and_turned_back(taught, truth, manual):
    wholly = Recipe(rotation=Pull(0.001, 1000), yaw_bias_deg=0)
    found = corrected_faces(taught, manual, recipe=wholly)
    true, before = (decompose_affine(split(p).pose)[1] for p in (truth, taught.params))
    assert np.abs(found.rotation - true).mean() < 0.5 * np.abs(before - true).mean()
    back = corrected_faces(taught, manual, recipe=dataclasses.replace(wholly, yaw_bias_deg=3.5))
    np.testing.assert_allclose(back.rotation, turned_back(found.rotation, 3.5), atol=1e-9)
    np.testing.assert_allclose(back.landmarks[..., :2], found.landmarks[..., :2], atol=1e-9)
    assert np.abs(back.landmarks[..., 2] - found.landmarks[..., 2]).max() > 0.1


def test_what_a_point_weighs(manual):
    points, state = manual.points.copy(), manual.state.copy()
    state[0, [8, 30]] = COVERED
    state[0, 40], points[0, 40] = TURNED_AWAY, np.nan
    weights = point_weights(Manual68(points, state), Recipe(covered=0.5, jaw=0.3))
    assert weights[0, [7, 8, 30, 31, 40]].tolist() == pytest.approx([0.3, 0.15, 0.5, 1.0, 0.0])


def test_lids_close_wholly_and_corners_go_half_way(taught, truth):
    landmarks = taught.landmarks(truth)
    points = landmarks[..., :2].copy()
    eye = list(LANDMARK_REGIONS["left_eye"])
    axis = points[:, 45] - points[:, 42]
    for upper, lower in ((43, 47), (44, 46)):
        # Shut: both lids on one point between the corners.
        part = {43: 1 / 3, 44: 2 / 3}[upper]
        points[:, upper] = points[:, lower] = points[:, 42] + part * axis
    points[:, 30] += (2.0, 0.0)
    manual = Manual68(points, np.full((COUNT, 68), SEEN, np.uint8))
    recipe = Recipe(move=0.5, robust_move_px=1e6)
    moved = moved_to(landmarks, manual, point_weights(manual, recipe), recipe)

    def openness(at):
        normal = np.stack([-axis[:, 1], axis[:, 0]], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return np.abs(((at[:, [43, 44], :2] - at[:, [47, 46], :2]) * normal[:, None]).sum(axis=2))

    assert openness(landmarks).min() > 1
    assert openness(moved).max() < 1e-6
    np.testing.assert_allclose(moved[:, 30, :2] - landmarks[:, 30, :2], [[1.0, 0.0]] * COUNT)
    np.testing.assert_array_equal(moved[:, 36:42], landmarks[:, 36:42])
    np.testing.assert_array_equal(moved[..., 2], landmarks[..., 2])
    # The eye as a whole goes half of its way.
    points[:, eye] = landmarks[:, eye, :2] + (0.0, 3.0)
    moved = moved_to(
        landmarks, Manual68(points, manual.state), point_weights(manual, recipe), recipe
    )
    steps = (moved - landmarks)[:, eye, :2]
    np.testing.assert_allclose(steps, np.tile([0, 1.5], (COUNT, 6, 1)), atol=1e-9)


def test_a_wild_point_hardly_moves_its_landmark(taught, truth):
    landmarks = taught.landmarks(truth)
    points = landmarks[..., :2].copy()
    points[:, 20, 0] += 80
    manual = Manual68(points, np.full((COUNT, 68), SEEN, np.uint8))
    recipe = Recipe(robust_move_px=8)
    moved = moved_to(landmarks, manual, point_weights(manual, recipe), recipe)
    # 0.5 * 80 / (1 + 100)
    np.testing.assert_allclose(moved[:, 20, 0] - landmarks[:, 20, 0], 40 / 101)
