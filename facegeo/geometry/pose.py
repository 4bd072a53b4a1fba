"""Affine matrices, rotations and Euler angles. Pure batched functions; float64 inside.

Axes and signs are those of :mod:`facegeo.conventions`.
"""

from __future__ import annotations

import numpy as np


def rotation_from_euler(angles_deg: np.ndarray) -> np.ndarray:
    """R = Rx(pitch) Ry(yaw) Rz(roll), as 3DDFA and AFLW2000-3D's ``Pose_Para`` mean it.

    Parameters
    ----------
    angles_deg : (N, 3) float
        Yaw, pitch, roll in degrees.

    Returns
    -------
    rotation : (N, 3, 3) float64
        Model axes to camera axes (x right, y up, z to the viewer).
    """
    yaw, pitch, roll = np.radians(np.asarray(angles_deg, np.float64)).T
    cx, sx, cy, sy, cz, sz = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    rows = [
        [cy * cz, cy * sz, -sy],
        [sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy],
        [cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def euler_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """The inverse of :func:`rotation_from_euler`, exact for every rotation.

    Parameters
    ----------
    rotation : (N, 3, 3) float

    Returns
    -------
    angles_deg : (N, 3) float64
        Yaw in [-90, 90], pitch and roll in (-180, 180]. At yaw of +-90 roll is 0.
    """
    R = np.asarray(rotation, np.float64)
    cos_yaw = np.hypot(R[:, 1, 2], R[:, 2, 2])
    yaw = np.arctan2(-R[:, 0, 2], cos_yaw)
    # Float32 rotations reach cos(yaw) of about 3e-4 by rounding alone; below 1e-6 pitch is noise.
    locked = cos_yaw < 1e-6
    pitch = np.where(
        locked,
        np.arctan2(-R[:, 2, 1], R[:, 1, 1]),
        np.arctan2(R[:, 1, 2], R[:, 2, 2]),
    )
    # With pitch taken off, the middle row is (-sin roll, cos roll, 0): this stays exact near the
    # poles, where the usual atan2(R01, R00) divides noise by noise.
    middle = np.cos(pitch)[:, None] * R[:, 1] - np.sin(pitch)[:, None] * R[:, 2]
    roll = np.where(locked, 0.0, np.arctan2(-middle[:, 0], middle[:, 1]))
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation nearest to each 3x3 matrix in the Frobenius norm (polar decomposition).

    Parameters
    ----------
    matrix : (N, 3, 3) float

    Returns
    -------
    rotation : (N, 3, 3) float64
        Orthonormal, determinant +1, also where the matrix itself is a reflection.
    """
    U, _, Vt = np.linalg.svd(np.asarray(matrix, np.float64))
    U[:, :, 2] *= np.linalg.det(U @ Vt)[:, None]
    return U @ Vt


def decompose_affine(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split 3x4 matrices into the nearest similarity: scale, rotation, translation.

    Parameters
    ----------
    affine : (N, 3, 4) float
        Model frame to a y-up camera frame.

    Returns
    -------
    scale : (N,) float64
        Camera units per model unit: the mean singular value, which belongs to the rotation in the
        least-squares sense (Umeyama 1991, eq. 42).
    rotation : (N, 3, 3) float64
    translation : (N, 3) float64
    """
    A = np.asarray(affine, np.float64)
    rotation = nearest_rotation(A[:, :, :3])
    # sum_ij R_ij A_ij = trace(R^T A)
    scale = np.einsum("nij,nij->n", rotation, A[:, :, :3]) / 3
    return scale, rotation, A[:, :, 3]


def upstream_euler(affine: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll as 3DDFA's and SynergyNet's evaluation code computes them.

    Only for the protocol that is compared with published tables: it completes two normalised rows
    to a matrix that is no rotation (they are not orthogonal) and takes yaw from an element that
    equals sin(yaw) only without pitch and roll. :func:`euler_from_rotation` is the exact inverse.

    Parameters
    ----------
    affine : (N, 3, 4) float

    Returns
    -------
    angles_deg : (N, 3) float64
    """
    A = np.asarray(affine, np.float64)
    r1, r2 = (A[:, i, :3] / np.linalg.norm(A[:, i, :3], axis=1, keepdims=True) for i in (0, 1))
    r3 = np.cross(r1, r2)
    yaw = np.arcsin(np.clip(r3[:, 0], -1, 1))
    pitch = np.arctan2(r2[:, 2], r3[:, 2])
    roll = np.arctan2(r1[:, 1], r1[:, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))
