"""Rotations as a space to filter in: differences are rotation vectors, steps follow geodesics."""

from __future__ import annotations

import cv2
import numpy as np


def rotation_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation vector that takes ``b`` to ``a`` ((3, 3) each): a row (1, 3), radians."""
    return np.asarray(cv2.Rodrigues(b.T @ a)[0]).T


def rotated(b: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``b`` (3, 3) turned by a rotation vector (1, 3); the inverse of the difference."""
    turned: np.ndarray = b @ cv2.Rodrigues(vector[0])[0]
    return turned
