"""The two frames' axes: images have y down, models and cameras y up; x and z are the same."""

from __future__ import annotations

from typing import Final

import numpy as np

#: Diagonal of the map between the image frame and the y-up frame, in both directions.
Y_FLIP: Final = np.array([1.0, -1.0, 1.0])
Y_FLIP.flags.writeable = False


#: From the y-up frame to the camera frame of computer vision (y down, z away), and back.
TO_VISION: Final = np.diag([1.0, -1.0, -1.0])
TO_VISION.flags.writeable = False


def flip_y(points: np.ndarray) -> np.ndarray:
    """Points or directions ``(..., 3)`` from the image frame to the y-up frame, or back."""
    return points * Y_FLIP.astype(points.dtype, copy=False)


def flip_rows(matrices: np.ndarray) -> np.ndarray:
    """Matrices ``(..., 3, C)`` whose results lie in the one frame, with results in the other."""
    return matrices * Y_FLIP.astype(matrices.dtype, copy=False)[:, None]
