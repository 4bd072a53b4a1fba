"""Normals of meshes in photo pixels. The facing rule is stated in :mod:`facegeo.render`."""

from __future__ import annotations

import numpy as np

_SMALLEST = 1e-20


def face_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward normals of twice the triangles' area.

    Parameters
    ----------
    vertices : (..., V, 3) float
        Photo pixels (y down).
    triangles : (F, 3) integers
        Counter-clockwise seen from outside in the y-up model frame.

    Returns
    -------
    (..., F, 3) float, photo pixels; z > 0 where the triangle faces the viewer.
    """
    a, b, c = (vertices[..., triangles[:, corner], :] for corner in range(3))
    # A reflection (y down) turns the cross product around.
    return -np.cross(b - a, c - a)


def signed_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the area of each triangle in the image, negative where it faces the viewer.

    Parameters
    ----------
    vertices : (V, 3) float
        Photo pixels.
    triangles : (F, 3) integers

    Returns
    -------
    (F,) float64
    """
    a, b, c = (vertices[triangles[:, corner], :2].astype(np.float64) for corner in range(3))
    ab, ac = b - a, c - a
    return ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals, the mean of the adjacent triangles weighted by area.

    Parameters
    ----------
    vertices : (V, 3) float
        Photo pixels.
    triangles : (F, 3) integers

    Returns
    -------
    (V, 3) float32
        Zero at vertices without a triangle of positive area.
    """
    normals = face_normals(np.asarray(vertices, np.float64), triangles)
    flat = triangles.ravel()
    total = np.stack(
        [
            np.bincount(flat, np.repeat(normals[:, axis], 3), len(vertices)).astype(float)
            for axis in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > _SMALLEST).astype(
        np.float32
    )
