"""What the default model must reach when it is fitted to faces that it has never seen."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.morphable_data import ict_faces, shared

from facegeo.geometry.pose import euler_from_rotation, nearest_rotation
from facegeo.morphable import MorphableModel
from facegeo.morphable.fitting import FitResult

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.default()


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(shared("reference", "mb05_aflw2000_dev.npz")) as archive:
        return {
            "landmarks": np.swapaxes(archive["landmarks_crop_px"], 1, 2),
            "affine": archive["params62"][:, :12].reshape(-1, 3, 4),
        }


@pytest.fixture(scope="module")
def fit(model: MorphableModel, reference: dict[str, np.ndarray]) -> FitResult:
    return model.fit(reference["landmarks"])


def test_residual_on_the_reference_faces(fit: FitResult, reference: dict[str, np.ndarray]) -> None:
    size = np.sqrt(np.prod(np.ptp(reference["landmarks"][..., :2], axis=1), axis=1))
    assert 100 * (fit.residual.mean(axis=1) / size).mean() <= 0.80


def test_coefficients_are_those_of_likely_faces(fit: FitResult) -> None:
    coefficients = np.concatenate([fit.shape, fit.expression], axis=1)
    assert (np.abs(coefficients) <= 3).mean() >= 0.95
    assert np.sqrt((coefficients**2).mean()) <= 1.5


def test_orientation_after_one_calibrating_rotation(
    fit: FitResult, reference: dict[str, np.ndarray]
) -> None:
    upstream = nearest_rotation(reference["affine"][:, :, :3])
    # The one rotation between the two models' frontal faces, best over all 500.
    between = nearest_rotation((np.swapaxes(fit.rotation, 1, 2) @ upstream).sum(axis=0)[None])
    difference = euler_from_rotation(fit.rotation @ between) - euler_from_rotation(upstream)
    error = np.abs((difference + 180) % 360 - 180).mean(axis=0)
    assert (error <= 3).all(), error


def test_surface_from_68_points_of_ict_faces(model: MorphableModel) -> None:
    """100 faces of another model, seen through their landmarks only: the surface between them."""
    landmarks, truth, unit_mm = ict_faces(100)
    fit = model.fit(landmarks, frame="model")
    fitted = model.vertices(fit.shape, fit.expression, fit.pose)
    distances = [
        distance_to_surface(points, vertices, model.triangles)
        for points, vertices in zip(truth, fitted, strict=True)
    ]
    assert np.mean(distances) * unit_mm <= 1.596


def distance_to_surface(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, candidates: int = 6
) -> np.ndarray:
    """Distance (P,) of points from the nearest of the triangles whose centres are nearest."""
    from scipy.spatial import cKDTree

    corners = vertices.astype(np.float64)[triangles]
    _, near = cKDTree(corners.mean(axis=1)).query(points, k=candidates)
    a, b, c = np.moveaxis(corners[near], 2, 0)  # (P, candidates, 3) each
    p = points[:, None].astype(np.float64)
    on_edges = [_distance_to_segment(p, *edge) for edge in ((a, b), (b, c), (c, a))]
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    sides = [(np.cross(w - v, p - v) * normal).sum(axis=2) for v, w in ((a, b), (b, c), (c, a))]
    height = np.abs(((p - a) * normal).sum(axis=2))
    inside = np.min(sides, axis=0) >= 0
    return np.where(inside, height, np.min(on_edges, axis=0)).min(axis=1)


def _distance_to_segment(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    along = ((p - a) * (b - a)).sum(axis=2) / ((b - a) ** 2).sum(axis=2)
    nearest = a + np.clip(along, 0, 1)[..., None] * (b - a)
    return np.linalg.norm(p - nearest, axis=2)


def test_distance_to_a_known_surface() -> None:
    vertices = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]])
    points = np.array([[1, 1, 3.0], [2, -2, 0], [-3, -4, 0], [3, 3, 0]])
    distance = distance_to_surface(points, vertices, np.array([[0, 1, 2]]), candidates=[1])
    np.testing.assert_allclose(distance, [3, 2, 5, np.sqrt(2)])
