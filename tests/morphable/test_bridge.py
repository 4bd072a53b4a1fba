"""A linear bridge between face models, against faces whose other parameters are known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.morphable_data import ellipsoid

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.params import join, split
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.morphable.bridge import ParameterBridge, compose, fit_bridge, ridge_regression


def poses(count: int, rng: np.random.Generator) -> np.ndarray:
    rotation = rotation_from_euler(rng.uniform(-40, 40, (count, 3)))
    shift = rng.uniform(20, 90, (count, 3, 1))
    return np.concatenate([rng.uniform(0.4, 0.9, (count, 1, 1)) * rotation, shift], axis=2)


def related_models(rng: np.random.Generator) -> tuple[MorphableModel, MorphableModel, np.ndarray]:
    """A model, and the same moved and sized with its modes mixed: the exact bridge's mixture."""
    source = ellipsoid(4, 2)
    mixture = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    size, shift = 1.25, np.array([4.0, -9.0, 2.0])
    modes = np.concatenate([source.shape_basis, source.expression_basis])
    mixed = np.tensordot(mixture, modes, 1) / size
    target = MorphableModel(
        name="mixed",
        unit_mm=size,
        mean=(source.mean - shift) / size,
        shape_basis=mixed[:4],
        expression_basis=mixed[4:],
        triangles=source.triangles,
        landmark_rows=source.landmark_rows,
    )
    return source, target, mixture


def params_of(count: int, model: MorphableModel, rng: np.random.Generator) -> np.ndarray:
    sizes = (model.num_shape, model.num_expression)
    return join(poses(count, rng), *(rng.normal(size=(count, n)) for n in sizes))


def test_a_bridge_between_two_forms_of_one_model_is_exact():
    rng = np.random.default_rng(0)
    source, target, mixture = related_models(rng)
    bridge = fit_bridge(source, target, params_of(400, source, rng), ridge=1e-6)
    params = params_of(20, source, rng)
    mapped = bridge(params)
    assert mapped.shape == params.shape and mapped.dtype == np.float32
    pose, shape, expression = split(params.astype(np.float32), 4)
    new_pose, new_shape, new_expression = split(mapped, 4)
    before = source.vertices(shape, expression, pose)
    after = target.vertices(new_shape, new_expression, new_pose)
    # Millimetres on a face of 200: the fit's own prior is what keeps it from zero.
    assert np.linalg.norm(before - after, axis=2).mean() / 0.65 < 0.5
    wanted = np.concatenate([shape, expression], axis=1) @ mixture.T
    got = np.concatenate([new_shape, new_expression], axis=1)
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.99


def test_refined_landmarks_are_taken_back_to_the_source_model():
    rng = np.random.default_rng(1)
    source, target, _ = related_models(rng)
    params = params_of(100, source, rng).astype(np.float32)
    pose, shape, expression = split(params, 4)
    flip = np.array([1, -1, 1], np.float32)[:, None]
    photo = source.landmarks(shape, expression, pose * flip)
    own = fit_bridge(source, target, params)
    given = fit_bridge(source, target, params, landmarks=photo, affine=pose * flip)
    np.testing.assert_allclose(given.matrix, own.matrix, atol=2e-3)


def test_a_mirrored_face_gets_mirrored_parameters():
    rng = np.random.default_rng(2)
    source, target = ellipsoid(4, 2, seed=3), ellipsoid(5, 3, seed=3)
    rows = source.landmark_rows.copy()  # in pairs, as those of a face
    pairs = np.flatnonzero(np.arange(68) < LANDMARK_MIRROR)
    rows[LANDMARK_MIRROR[pairs]] = source.mirror.vertices[rows[pairs]]
    middle = np.flatnonzero(np.arange(68) == LANDMARK_MIRROR)
    rows[middle] = np.flatnonzero(source.mirror.vertices == np.arange(source.num_vertices))[
        np.arange(len(middle)) % 3
    ]
    fields = {"landmark_rows": rows}
    source, target = (
        MorphableModel(**{**model.__getstate__(), **fields}) for model in (source, target)
    )
    bridge = fit_bridge(source, target, params_of(200, source, rng))
    params = params_of(1, source, rng)
    params[:, :12] = np.eye(3, 4).reshape(-1)
    mirrored = params.copy()
    mirrored[:, 12:16] *= source.mirror.shape_sign
    mirrored[:, 16:] *= source.mirror.expression_sign
    a, b = bridge(params)[0], bridge(mirrored)[0]
    np.testing.assert_allclose(b[12:17], a[12:17] * target.mirror.shape_sign, atol=1e-3)
    np.testing.assert_allclose(b[17:], a[17:] * target.mirror.expression_sign, atol=1e-3)
    flip = np.diag([-1, 1, 1])
    np.testing.assert_allclose(
        b[:12].reshape(3, 4)[:, :3], flip @ a[:12].reshape(3, 4)[:, :3] @ flip, atol=1e-3
    )


def test_ridge_regression_is_least_squares_without_a_penalty():
    rng = np.random.default_rng(3)
    x, truth = rng.normal(size=(50, 3)), rng.normal(size=(4, 2))
    y = np.c_[np.ones(50), x] @ truth
    np.testing.assert_allclose(ridge_regression(x, y, 0.0), truth, atol=1e-9)
    # The constant is not pulled to zero, however large the penalty.
    shrunk = ridge_regression(x - x.mean(axis=0), y, 1e9)
    np.testing.assert_allclose(shrunk[0], y.mean(axis=0), atol=1e-6)
    assert np.abs(shrunk[1:]).max() < 1e-5


def test_an_input_that_never_changed_does_nothing():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 3))
    x[:, 1] = 0
    matrix = ridge_regression(x, rng.normal(size=(50, 2)), 0.0)
    assert np.abs(matrix[2]).max() < 1e-9


def test_composed_maps_are_applied_one_after_the_other():
    rng = np.random.default_rng(5)
    outer, inner = rng.normal(size=(2, 7, 3, 4))
    point = rng.normal(size=3)
    first = inner[:, :, :3] @ point + inner[:, :, 3]
    expected = np.einsum("nij,nj->ni", outer[:, :, :3], first) + outer[:, :, 3]
    composed = compose(outer, inner)
    np.testing.assert_allclose(composed[:, :, :3] @ point + composed[:, :, 3], expected)


BRIDGE = ParameterBridge("a", "b", 4, 5, np.arange(7 * 20.0).reshape(7, 20) / 100, (0, 1))


def test_a_bridge_is_stored_whole():
    again = ParameterBridge.parse(BRIDGE.to_bytes(), "bridge.npz")
    assert (again.source, again.target) == ("a", "b")
    assert (again.num_shape, again.target_num_shape) == (4, 5)
    assert again.expression_range == (0, 1) and again.target_num_expression == 3
    np.testing.assert_array_equal(again.matrix, BRIDGE.matrix)


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_damaged_bridge_is_refused(keep):
    with pytest.raises(CorruptFileError, match=r"bridge\.npz"):
        ParameterBridge.parse(BRIDGE.to_bytes()[:keep], "bridge.npz")


def test_parameters_of_another_model_are_refused():
    with pytest.raises(InvalidInputError, match=r"params: expected shape \(N, 18\), got \(1, 62\)"):
        BRIDGE(np.zeros((1, 62)))
    with pytest.raises(InvalidInputError, match="matrix: expected at least"):
        ParameterBridge("a", "b", 9, 5, np.zeros((7, 20)))
    with pytest.raises(InvalidInputError, match="affine: expected with landmarks"):
        model = ellipsoid()
        fit_bridge(model, model, np.zeros((2, 21)), landmarks=np.zeros((2, 68, 3)))
    with pytest.raises(InvalidInputError, match="two faces or more"):
        fit_bridge(model, model, np.zeros((1, 21)))


def test_what_every_face_is_off_by_is_no_expression():
    """Wider lips, lower brows, noses elsewhere: a face at rest has no expression all the same."""
    rng = np.random.default_rng(5)
    head = MorphableModel.default()
    count, names = 160, head.expression_names
    shape = np.zeros((count, 60), np.float32)
    shape[:, :8] = rng.normal(size=(count, 8))
    expression = np.zeros((count, 52), np.float32)
    expression[count // 2 :, names.index("jawOpen")] = rng.uniform(0.3, 0.9, count // 2)
    habit = np.zeros((68, 3), np.float32)
    habit[17:27, 1], habit[27:31, 2], habit[48:60, 1] = -2, 1.5, np.repeat([1.5, -1.5], [6, 6])
    habit[61:64, 1], habit[65:68, 1] = 0.8, -0.8  # lips that seem to be a little open
    pose = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (count, 3, 4))
    landmarks = head.landmarks(shape, expression) + habit
    params = join(pose, shape, expression)
    bridge = fit_bridge(head, head, params, landmarks=landmarks, affine=pose)
    found = split(bridge(params), 60).expression
    assert found[: count // 2].mean(axis=0).max() < 0.05, names[found[:80].mean(axis=0).argmax()]
    jaw = found[:, names.index("jawOpen")]
    wanted = expression[:, names.index("jawOpen")]
    assert np.corrcoef(jaw, wanted)[0, 1] > 0.95 and jaw[80:].mean() > 0.6 * wanted[80:].mean()
