"""Rotations as a space to filter in: differences are rotation vectors, steps follow geodesics."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def rotation_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation vector that takes ``b`` to ``a`` ((3, 3) each): a row (1, 3), radians."""
    return Rotation.from_matrix(b.T @ a).as_rotvec()[None]


def rotated(b: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``b`` (3, 3) turned by a rotation vector (1, 3); the inverse of the difference."""
    turned: np.ndarray = b @ Rotation.from_rotvec(vector[0]).as_matrix()
    return turned
