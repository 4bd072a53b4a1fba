"""Small models and reference files that several tests use."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from facegeo.morphable import MorphableModel
from facegeo.morphable.basis import Mirror
from helpers.shared_material import shared_folder


def shared(*parts: str) -> Path:
    """A path among the reference material; the test is skipped where that is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("reference material is not here (set FACEGEO_SHARED)")
    return folder.joinpath(*parts)


#: The face model before facegeo-head, which 62 parameters of the networks here are of.
GENERIC_FILE = Path(__file__).parents[2] / "models" / "facegeo-generic" / "facegeo-generic.npz"


@cache
def generic_model() -> MorphableModel:
    """``facegeo-generic``: 40 + 10 modes."""
    return MorphableModel.load(GENERIC_FILE)


#: Vertices of ICT-FaceKit's narrow face: no neck, ears, teeth or eyeballs.
_NARROW_FACE = 6706


def ict_faces(count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Random faces of ICT-FaceKit with three expressions each, of its own seed.

    Returns
    -------
    landmarks : (count, 68, 3) float32
    surface : (count, 6706, 3) float32
        Vertices of the face alone, in the landmarks' frame.
    unit_mm : float
    """
    from facegeo.morphable.readers import read_upstream_model

    ict = read_upstream_model(shared("upstream", "ict_facekit", "ict_facekit_light.npz"))
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(100, ict.num_shape))
    expression = np.zeros((100, ict.num_expression))
    for row in expression:
        row[rng.choice(len(row), 3, replace=False)] = rng.uniform(0, 1, 3)
    coefficients = shape[:count], expression[:count]
    surface = ict.vertices(*coefficients)[:, :_NARROW_FACE]
    return ict.landmarks(*coefficients), surface, ict.unit_mm


def ellipsoid(num_shape: int = 6, num_expression: int = 3, seed: int = 0) -> MorphableModel:
    """A closed, symmetric, face-sized model with smooth modes; millimetres.

    Rings of longitude around the y axis and two poles; mode i of each kind mirrors into itself with
    the sign that its x has.
    """
    rng = np.random.default_rng(seed)
    rings, around = 15, 24
    latitude = np.linspace(-1.4, 1.4, rings)[:, None]
    longitude = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    unit = np.stack(
        [
            np.cos(latitude) * np.sin(longitude),
            np.broadcast_to(np.sin(latitude), (rings, around)),
            np.cos(latitude) * np.cos(longitude),
        ],
        axis=-1,
    ).reshape(-1, 3)
    unit = np.concatenate([unit, [[0, -1, 0], [0, 1, 0]]])
    mean = unit * (70, 100, 80)
    i, j = np.meshgrid(np.arange(rings), np.arange(around), indexing="ij")
    index = np.arange(rings * around).reshape(rings, around)
    mirror_rows = np.r_[index[i, -j % around].ravel(), rings * around, rings * around + 1]
    triangles = _ellipsoid_triangles(index)
    modes, signs = [], []
    for _ in range(num_shape + num_expression):
        wave = np.sin(unit @ rng.normal(size=(3, 3)) + rng.normal(size=3)) * 4
        sign = rng.choice([-1, 1])
        modes.append((wave + sign * wave[mirror_rows] * (-1, 1, 1)) / 2)
        signs.append(sign)
    front = np.flatnonzero(unit[:, 2] > -0.2)
    return MorphableModel(
        name="ellipsoid",
        unit_mm=1.0,
        mean=mean,
        shape_basis=np.array(modes[:num_shape]).reshape(num_shape, -1, 3),
        expression_basis=np.array(modes[num_shape:]).reshape(num_expression, -1, 3),
        triangles=triangles,
        landmark_rows=rng.choice(front, 68, replace=False),
        uv=(unit[:, :2] + 1) / 2,
        expression_names=tuple(f"expression{k}" for k in range(num_expression)),
        regions={"upper": unit[:, 1] > 0},
        mirror=Mirror(
            vertices=mirror_rows,
            shape_index=np.arange(num_shape),
            shape_sign=np.array(signs[:num_shape]),
            expression_index=np.arange(num_expression),
            expression_sign=np.array(signs[num_shape:]),
        ),
    )


def _ellipsoid_triangles(index: np.ndarray) -> np.ndarray:
    """Counter-clockwise from outside; longitude runs from +z to +x, latitude upwards."""
    right = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1], right[:-1], right[1:], index[1:]
    sides = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    bottom, top = index.size, index.size + 1
    lower = np.stack([right[0], index[0], np.full(index.shape[1], bottom)], axis=1)
    upper = np.stack([index[-1], right[-1], np.full(index.shape[1], top)], axis=1)
    return np.concatenate([sides, lower, upper])


def volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Signed volume of a closed mesh; positive for outward triangles in a right-handed frame."""
    a, b, c = vertices.astype(np.float64)[triangles.T]
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def random_poses(count: int, seed: int = 0, *, y_down: bool = True) -> np.ndarray:
    """Similarity poses (N, 3, 4): any rotation, 0.5 to 2 px a unit."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    linear = Rotation.random(count, rng=rng).as_matrix() * rng.uniform(0.5, 2, (count, 1, 1))
    pose = np.concatenate([linear, rng.normal(size=(count, 3, 1)) * 100], axis=2)
    return pose * np.array([1, -1 if y_down else 1, 1])[:, None]


def face_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Normals of the triangles of meshes (..., V, 3), of twice their area: (..., F, 3)."""
    # By coordinates in a row each: four times as fast as vectors in a row each.
    rows = np.ascontiguousarray(np.moveaxis(vertices, -1, 0))
    a, b, c = (rows[..., corner] for corner in triangles.T)
    (x, y, z), (u, v, w) = b - a, c - a
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)
