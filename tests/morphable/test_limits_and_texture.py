"""Fits that keep expressions within limits, and colours of the vertices."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.morphable_data import ellipsoid
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.morphable import MorphableModel
from facegeo.morphable.basis import VertexTexture
from facegeo.morphable.solver import similarity_transform


@pytest.fixture(scope="module")
def blendshapes() -> MorphableModel:
    """Six expressions of 0 to 1, none of them much more likely than another."""
    model = ellipsoid(5, 6)
    return dataclasses.replace(
        model,
        expression_basis=3 * model.expression_basis,
        expression_range=(0, 1),
        expression_std=np.full(6, 0.6),
    )


def noisy_faces(model: MorphableModel, count: int) -> np.ndarray:
    """Landmarks that ask for expressions from -1 to 2."""
    rng = np.random.default_rng(4)
    shape = rng.normal(size=(count, 5))
    expression = rng.uniform(-1, 2, (count, 6))
    points = model.landmarks(shape, expression).astype(np.float64)
    return points + rng.normal(size=points.shape)


def test_expressions_stay_within_their_limits(blendshapes: MorphableModel) -> None:
    landmarks = noisy_faces(blendshapes, 40)
    fit = blendshapes.fit(landmarks, frame="model")
    assert fit.expression.min() == 0 and fit.expression.max() == 1
    inside = (fit.expression > 0) & (fit.expression < 1)
    assert 0.2 < inside.mean() < 0.8
    free = dataclasses.replace(blendshapes, expression_range=None).fit(landmarks, frame="model")
    assert free.expression.min() < -0.5 and free.expression.max() > 1.3
    robust = blendshapes.fit(landmarks, frame="model", robust=True)
    assert robust.expression.min() >= 0 and robust.expression.max() <= 1


@pytest.mark.parametrize("noise", [1.5, 8.0])
def test_no_face_within_the_limits_fits_better(blendshapes: MorphableModel, noise: float) -> None:
    landmarks = noisy_faces(blendshapes, 6)
    fit = blendshapes.fit(landmarks, frame="model", landmark_noise_mm=noise)
    basis = blendshapes.landmark_basis
    modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(np.float64)
    std = np.concatenate([basis.shape_std, basis.expression_std])
    usual = np.repeat([0, -1], [5, 6])  # expressions of 0 to 1: the falling part of a density
    mean = basis.mean.astype(np.float64)
    start, _, _ = similarity_transform(mean, landmarks, np.ones((6, 68)))
    bounds = [(None, None)] * 12 + [(0, 1)] * 6
    for face in range(6):

        def objective(x: np.ndarray, face: int = face) -> float:
            turned = fit.rotation[face] @ Rotation.from_rotvec(x[:3]).as_matrix()
            moved = mean + np.einsum("m,mkj->kj", x[7:], modes)
            placed = fit.scale[face] * np.exp(x[3]) * moved @ turned.T
            placed += fit.pose[face, :, 3] + x[4:7]
            distance = ((placed - landmarks[face]) ** 2).sum() / (noise * start[face]) ** 2
            return float(distance + ((x[7:] / std - usual) ** 2).sum())

        x0 = np.concatenate([np.zeros(7), fit.shape[face], fit.expression[face]])
        best = minimize(objective, x0, method="L-BFGS-B", bounds=bounds)
        assert objective(x0) - best.fun < 5e-4 * best.fun


def test_faces_within_the_limits_are_fitted_as_without(blendshapes: MorphableModel) -> None:
    middle = blendshapes.landmarks(np.zeros((1, 5)), np.full((1, 6), 0.5)).astype(np.float64)
    fit = blendshapes.fit(middle, frame="model", landmark_noise_mm=0.1)
    np.testing.assert_allclose(fit.expression, 0.5, atol=0.02)
    free = dataclasses.replace(blendshapes, expression_range=None)
    again = free.fit(middle, frame="model", landmark_noise_mm=0.1)
    # Their priors differ by one standard deviation, which exact points leave almost no weight.
    np.testing.assert_allclose(again.expression, fit.expression, atol=1e-3)


def test_frames_of_one_person_keep_to_the_limits_too(blendshapes: MorphableModel) -> None:
    rng = np.random.default_rng(6)
    shape = np.repeat(rng.normal(size=(1, 5)), 25, axis=0)
    expression = np.where(rng.random((25, 6)) < 0.5, 0.0, 1.0)
    points = blendshapes.landmarks(shape, expression).astype(np.float64)
    points += rng.normal(size=points.shape) * 0.5
    fit = blendshapes.fit_shared_shape(points, frame="model")
    assert fit.expression.min() >= 0 and fit.expression.max() <= 1
    assert np.abs(fit.expression - expression).mean() < 0.1
    assert np.abs(fit.shape - shape).max() < 0.3


@pytest.mark.parametrize("limits", [(0.1, 1), (-1, 0), (1, 0), (0, np.nan), (0,), "01"])
def test_limits_must_lie_about_the_neutral_face(limits) -> None:
    with pytest.raises(InvalidInputError, match="expression_range: expected"):
        dataclasses.replace(ellipsoid(), expression_range=limits)


def coloured(model: MorphableModel) -> MorphableModel:
    rng = np.random.default_rng(7)
    texture = VertexTexture(
        mean=rng.uniform(0, 255, (model.num_vertices, 3)),
        basis=rng.normal(size=(2, model.num_vertices, 3)) * 20,
        std=np.array([1.0, 3.0]),
    )
    return dataclasses.replace(model, texture=texture)


def test_colours_are_linear_and_stay_colours() -> None:
    texture = coloured(ellipsoid()).texture
    assert texture is not None
    colours = texture.colors([[0, 0], [1, -2], [50, 0]])
    np.testing.assert_array_equal(colours[0], texture.mean)
    expected = np.clip(texture.mean + texture.basis[0] - 2 * texture.basis[1], 0, 255)
    np.testing.assert_allclose(colours[1], expected, atol=1e-3)
    assert colours[2].min() == 0 and colours[2].max() == 255
    with pytest.raises(InvalidInputError, match=r"coefficients: expected shape \(N, 2\)"):
        texture.colors(np.zeros((1, 3)))


@pytest.mark.parametrize(("storage", "tolerance"), [("float32", 0), ("int16", 1e-3)])
def test_limits_and_colours_are_stored(
    tmp_path: Path, blendshapes: MorphableModel, storage: str, tolerance: float
) -> None:
    model = coloured(blendshapes)
    model.save(tmp_path / "model.npz", storage=storage)
    again = MorphableModel.load(tmp_path / "model.npz")
    assert again.expression_range == (0, 1)
    assert again.texture is not None and model.texture is not None
    np.testing.assert_array_equal(again.texture.mean, model.texture.mean)
    np.testing.assert_array_equal(again.texture.std, model.texture.std)
    np.testing.assert_allclose(again.texture.basis, model.texture.basis, atol=tolerance * 5)
    assert again.truncated(2, 3).texture is not None
    assert again.truncated(2, 3).expression_range == (0, 1)


def test_a_part_of_a_texture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    coloured(ellipsoid()).save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files if key != "texture/std"}
    np.savez(path, **arrays)
    with pytest.raises(CorruptFileError, match="key 'texture/std' is missing"):
        MorphableModel.load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", np.zeros((3, 3)), "texture/mean: expected shape"),
        ("basis", np.zeros((2, 3, 3)), "texture/basis: expected shape"),
        ("std", np.ones(5), "texture/std: expected shape"),
    ],
)
def test_a_texture_of_another_mesh_is_refused(field: str, value: np.ndarray, message: str) -> None:
    model = coloured(ellipsoid())
    assert model.texture is not None
    with pytest.raises(InvalidInputError, match=message):
        dataclasses.replace(model, texture=dataclasses.replace(model.texture, **{field: value}))
