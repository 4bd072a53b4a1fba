"""Origin of depth: the middle of the outer eye corners, as :mod:`facegeo.conventions` says."""

from __future__ import annotations

import numpy as np

from facegeo.conventions import DEPTH_ORIGIN


def from_eyes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks with their depth counted from the eyes.

    Parameters
    ----------
    landmarks : (N, 68, 3) float32

    Returns
    -------
    landmarks : (N, 68, 3) float32
        x and y are the same.
    depths : (N,) float32
        What was taken off z.
    """
    depths = depths_of_eyes(landmarks)
    moved = landmarks.copy()
    moved[..., 2] -= depths[:, None]
    return moved, depths


def depths_of_eyes(landmarks: np.ndarray) -> np.ndarray:
    """Depth, ``(N,)`` float32, of the middle of the outer eye corners in ``(N, 68, 3)``."""
    right, left = DEPTH_ORIGIN
    return np.asarray((landmarks[:, right, 2] + landmarks[:, left, 2]) / 2)
