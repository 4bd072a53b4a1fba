"""Faces moved onto refined landmarks: how near, within which limits, and what stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cage_data import write_cage
from helpers.morphable_data import ellipsoid, generic_model

from facegeo.conventions import DEPTH_ORIGIN
from facegeo.errors import InvalidInputError
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.morphable.following import DEPTH_WEIGHT, NOISE_MM, follow_landmarks
from facegeo.surface.dense import dense_faces

HEAD = Path(__file__).parents[2] / "facegeo/assets/facegeo-head.npz"


@pytest.fixture(params=["generic", "head", "ellipsoid", "cage"])
def model(request, cache, tmp_path) -> MorphableModel:
    return {
        "generic": generic_model,
        "head": lambda: MorphableModel.load(HEAD),
        "ellipsoid": ellipsoid,
        "cage": lambda: MorphableModel.load(write_cage(tmp_path / "ball.npz")),
    }[request.param]()


def faces(model: MorphableModel, count: int = 5, seed: int = 0):
    """Coefficients and poses as networks give them, photo pixels."""
    rng = np.random.default_rng(seed)
    basis = model.landmark_basis
    shape = rng.normal(0, 0.7, (count, model.num_shape)) * basis.shape_std
    expression = rng.normal(0, 0.7, (count, model.num_expression)) * basis.expression_std
    if model.expression_range is not None:
        expression = np.clip(expression, *model.expression_range)
    turn = rotation_from_euler(rng.uniform(-40, 40, (count, 3)) * (1, 0.5, 0.5))
    linear = rng.uniform(0.8, 1.5, (count, 1, 1)) * turn * np.array([1, -1, 1])[:, None]
    place = rng.uniform(100, 200, (count, 3, 1))
    pose = np.concatenate([linear, place], axis=2)
    return tuple(array.astype(np.float32) for array in (shape, expression, pose))


def distance(model: MorphableModel, found, landmarks: np.ndarray) -> np.ndarray:
    points = model.landmarks(found.shape, found.expression, found.pose)
    return np.linalg.norm((points - landmarks)[..., :2], axis=2).mean(axis=1)


def test_a_face_goes_most_of_the_way_to_points_of_a_face_like_it(model):
    shape, expression, pose = faces(model)
    rng = np.random.default_rng(1)
    other = shape + (0.4 * rng.normal(size=shape.shape) * model.landmark_basis.shape_std)
    moved = pose.copy()
    moved[:, :, :3] *= 1.03
    moved[:, :2, 3] += 3
    landmarks = model.landmarks(other.astype(np.float32), expression, moved)
    before = np.linalg.norm(
        (model.landmarks(shape, expression, pose) - landmarks)[..., :2], axis=2
    ).mean(axis=1)
    found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose)
    assert (distance(model, found, landmarks) < 0.25 * before).all()
    for array, like in zip((found.shape, found.expression, found.pose), faces(model), strict=True):
        assert array.dtype == np.float32 and array.shape == like.shape


def test_it_is_the_minimum_of_the_stated_sum_within_the_limits():
    """By least squares over stacked rows, those that are held taken out."""
    model = MorphableModel.load(HEAD)
    basis, count = model.landmark_basis, 4
    opens, closes = (60 + model.expression_names.index(n) for n in ("jawOpen", "mouthClose"))
    shape, expression, pose = faces(model, count)
    shape[0, 0], shape[1, 1] = 3.6, 2.9
    rng = np.random.default_rng(2)
    points = model.landmarks(shape, expression, pose)
    landmarks = points + rng.normal(0, 0.8, points.shape)
    found = follow_landmarks(basis, landmarks, shape, expression, pose)
    held_somewhere = 0
    for n in range(count):
        linear = pose[n, :, :3].astype(float)
        own = model.landmarks(shape[n : n + 1], expression[n : n + 1])[0].astype(float)
        residual = np.linalg.solve(linear, (landmarks[n] - points[n]).T).T
        view = linear[2] / np.linalg.norm(linear[2])
        root = np.eye(3) - (1 - DEPTH_WEIGHT**0.5) * np.outer(view, view)
        modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(float)
        turns = np.stack([np.cross(axis, own) for axis in np.eye(3)])
        shifts = np.broadcast_to(np.eye(3)[:, None], (3, 68, 3))
        modes[len(basis.shape_basis) :][basis.unseen] = 0  # what no landmark shows stays
        modes[closes] += modes[opens]  # the jaw opens behind the lips that it closes
        columns = np.concatenate([turns, own[None], shifts, modes]) @ root
        std = np.concatenate([basis.shape_std, basis.expression_std]).astype(float)
        spread = np.concatenate([basis.shape_std, basis.expression_std / 2]).astype(float)
        prior = np.concatenate([np.zeros((len(std), 7)), NOISE_MM * np.diag(1 / spread)], axis=1)
        rows = np.concatenate([columns.reshape(len(columns), -1).T, prior])
        nearer = np.where(np.arange(len(std)) < len(basis.shape_std), 0, std / 8)
        nearer[len(basis.shape_std) :][basis.unseen] = 0
        right = np.concatenate([(residual @ root).ravel(), -NOISE_MM * nearer / spread])
        whole = np.linalg.lstsq(rows, right, rcond=None)[0]

        began = np.concatenate([shape[n], expression[n]]).astype(float)
        began[opens] -= began[closes]
        low = np.concatenate([np.minimum(-3, shape[n]), np.zeros(52)])
        high = np.concatenate([np.maximum(3, shape[n]), np.ones(52)])
        limited = np.clip(began + whole[7:], low, high)
        held = np.flatnonzero(limited != began + whole[7:]) + 7
        held_somewhere += len(held)
        free = np.setdiff1d(np.arange(len(whole)), held)
        right -= rows[:, held] @ (limited - began)[held - 7]
        again = np.zeros(len(whole))
        again[free] = np.linalg.lstsq(rows[:, free], right, rcond=None)[0]
        again[held] = (limited - began)[held - 7]
        expected = np.clip(began + again[7:], low, high)
        expected[closes] = min(expected[closes], 1 - expected[opens])
        expected[opens] += expected[closes]
        coefficients = np.concatenate([found.shape[n], found.expression[n]])
        np.testing.assert_allclose(coefficients, expected, atol=1e-4)
    assert held_somewhere > 20
    assert found.shape[0, 0] <= 3.6 and found.shape[1:].max() <= 3


def test_points_that_are_far_off_bend_a_face_little(model):
    shape, expression, pose = faces(model, 8)
    points = model.landmarks(shape, expression, pose)
    std = model.landmark_basis.shape_std
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, points.shape) / model.unit_mm
    bent = []
    for size in (2, 20):
        columns = (points + size * noise, shape, expression, pose)
        found = follow_landmarks(model.landmark_basis, *columns)
        bent.append(np.linalg.norm((found.shape - shape) / std, axis=1).mean())
    assert bent[1] < 6 * bent[0]  # ten times without more of a ridge


def test_expressions_that_were_out_of_range_come_back(model):
    if model.expression_range is None:
        pytest.skip("any expression is allowed")
    shape, expression, pose = faces(model)
    expression[:, 0], expression[:, 1] = 1.2, -0.3
    landmarks = model.landmarks(shape, expression, pose)
    found = follow_landmarks(model.landmark_basis, landmarks + 1, shape, expression, pose)
    assert found.expression.min() >= 0 and found.expression.max() <= 1


def test_the_eyes_get_the_depth_of_the_landmarks(model):
    shape, expression, pose = faces(model)
    landmarks = model.landmarks(shape, expression, pose) + np.float32([4, 0, 30])
    found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose)
    eyes = model.landmarks(found.shape, found.expression, found.pose)[:, list(DEPTH_ORIGIN), 2]
    expected = landmarks[:, list(DEPTH_ORIGIN), 2].mean(axis=1)
    np.testing.assert_allclose(eyes.mean(axis=1), expected, atol=1e-3)


def test_a_face_on_its_own_landmarks_and_a_flat_one_stay_bit_for_bit(model):
    shape, expression, pose = faces(model)
    landmarks = model.landmarks(shape, expression, pose)
    landmarks[2:] += np.float32(2)
    pose[3, :, :3] = 0
    pose[4, 2] = pose[4, 1]
    found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose)
    for array, given in zip(
        (found.shape, found.expression, found.pose), (shape, expression, pose), strict=True
    ):
        np.testing.assert_array_equal(array[[0, 1, 3, 4]], given[[0, 1, 3, 4]])
    assert np.abs(found.pose[2] - pose[2]).max() > 0.5


def test_a_batch_is_its_faces_one_by_one(model):
    shape, expression, pose = faces(model, 20)
    rng = np.random.default_rng(3)
    landmarks = model.landmarks(shape, expression, pose)
    landmarks += rng.normal(0, 2, landmarks.shape).astype(np.float32)
    whole = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose)
    for n in (0, 7, 19):
        row = slice(n, n + 1)
        columns = (landmarks[row], shape[row], expression[row], pose[row])
        one = follow_landmarks(model.landmark_basis, *columns)
        np.testing.assert_allclose(one.shape[0], whole.shape[n], atol=1e-4)
        np.testing.assert_allclose(one.pose[0], whole.pose[n], atol=1e-3)
    none = follow_landmarks(
        model.landmark_basis, landmarks[:0], shape[:0], expression[:0], pose[:0]
    )
    assert none.pose.shape == (0, 3, 4)


def test_arguments_that_do_not_fit_are_named():
    model = ellipsoid()
    shape, expression, pose = faces(model)
    landmarks = model.landmarks(shape, expression, pose)
    basis = model.landmark_basis
    with pytest.raises(InvalidInputError, match=r"shape: expected shape \(5, 6\), got \(5, 5\)"):
        follow_landmarks(basis, landmarks, shape[:, 1:], expression, pose)
    with pytest.raises(InvalidInputError, match="landmarks: expected finite numbers"):
        follow_landmarks(basis, landmarks * np.nan, shape, expression, pose)


def test_the_mesh_of_a_face_lies_on_its_landmarks(sample_photo):
    from facegeo import FaceGeometry

    (face,) = FaceGeometry(detector=None)(sample_photo, boxes=[[180, 70, 270, 180]])
    rows = face.mesh_source.morphable.landmark_rows

    def off(vertices: np.ndarray) -> float:
        return float(np.linalg.norm((vertices[rows] - face.landmarks)[:, :2], axis=1).mean())

    size = np.sqrt(np.ptp(face.landmarks[:, :2], axis=0).prod())
    assert off(face.mesh.vertices) < 0.8 * off(face.coarse_mesh.vertices)
    assert off(face.mesh.vertices) < 0.009 * size
    np.testing.assert_allclose(dense_faces([face]).vertices[0], face.mesh.vertices, atol=1e-3)
    coarse = dense_faces([face], coarse=True).vertices[0]
    np.testing.assert_allclose(coarse, face.coarse_mesh.vertices, atol=1e-3)
    # Of landmarks that are its own nothing moves.
    import dataclasses

    own = dataclasses.replace(face, landmarks=face.coarse_landmarks)
    np.testing.assert_array_equal(own.mesh.vertices, own.coarse_mesh.vertices)


def test_what_landmarks_do_not_show_stays_as_it_was():
    """Gaze, cheeks and tongue: kept by a face that follows, and 0 where a head is fitted."""
    model = MorphableModel.load(HEAD)
    unseen = model.landmark_basis.unseen
    names = np.array(model.expression_names)[unseen].tolist()
    assert len(names) == 10 and {"eyeLookUpLeft", "cheekPuff", "tongueOut"} <= set(names)
    shape, expression, pose = faces(model)
    landmarks = model.landmarks(shape, expression, pose) + np.float32([2, 1, 0])
    landmarks[:, 36:48, 1] += 1
    found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose)
    np.testing.assert_allclose(found.expression[:, unseen], expression[:, unseen], atol=1e-6)
    assert np.abs(found.expression - expression).max() > 0.03
    assert not model.fit(landmarks).expression[:, unseen].any()


def test_lips_close_no_further_than_the_jaw_has_opened_them():
    """Also where a network says that they do, and the points as well."""
    model = MorphableModel.load(HEAD)
    opens, closes = (model.expression_names.index(name) for name in ("jawOpen", "mouthClose"))
    assert model.landmark_basis.closing == (opens, closes)
    shape, expression, pose = faces(model, 12)
    jaw, lips = np.meshgrid([0, 0.3, 1], [0, 0.5, 0.9, 1])
    expression[:, opens], expression[:, closes] = jaw.ravel(), lips.ravel()
    landmarks = model.landmarks(shape, expression, pose) + np.float32([1, 2, 0])
    found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, pose).expression
    assert (found[:, closes] <= found[:, opens] + 1e-6).all()
    assert found.min() >= 0 and found.max() <= 1
    both = expression[:, opens] >= expression[:, closes]
    np.testing.assert_allclose(found[both, opens], expression[both, opens], atol=0.15)
    np.testing.assert_allclose(found[both, closes], expression[both, closes], atol=0.15)


def test_models_without_those_expressions_have_no_such_pair():
    model = MorphableModel.load(HEAD)
    assert model.truncated(60, 20).landmark_basis.closing is None
    assert generic_model().landmark_basis.closing is None
