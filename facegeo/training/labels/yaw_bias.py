"""Heads that are turned too far to the side: an error that grows with the sine of the yaw.

One photo hardly tells a head that looks further to the side from a flatter one. What a network
makes of that is constant enough to be taken out by one number, the turn too much of a profile.
"""

from __future__ import annotations

import numpy as np

from facegeo.geometry import pose as pose_maths
from facegeo.geometry.axes import flip_rows, flip_y


def yaw_bias_deg(rotation: np.ndarray, truth: np.ndarray) -> float:
    """Of heads, compared with what they should be: least squares over both ``(N, 3, 3)``."""
    sine = _sine_of_yaw(truth)
    relative = pose_maths.euler_from_rotation(np.swapaxes(truth, 1, 2) @ rotation)[:, 0]
    total = float(sine @ sine)
    return float(relative @ sine) / total if total > 0 else 0.0


def turned_back(rotation: np.ndarray, yaw_bias_deg: float) -> np.ndarray:
    """Rotations of heads without their overshoot.

    Parameters
    ----------
    rotation : (N, 3, 3) float
        Model to camera axes.
    yaw_bias_deg : float
        How much too far a head in profile is turned about its own vertical axis, in degrees.

    Returns
    -------
    rotation : (N, 3, 3) float64
    """
    angles = np.zeros((len(rotation), 3))
    angles[:, 0] = -yaw_bias_deg * _sine_of_yaw(rotation)
    return np.asarray(rotation @ pose_maths.rotation_from_euler(angles))


def with_depth_turned(
    landmarks: np.ndarray, rotation: np.ndarray, turned: np.ndarray
) -> np.ndarray:
    """Landmarks of heads that turn out to look elsewhere: x and y stay, the image shows them.

    Depth is nothing but what the pose makes of it. Landmarks that keep the depth of a pose that is
    corrected contradict it, and a network that learns both stays between them.

    Parameters
    ----------
    landmarks : (N, K, 3) float
        Crop pixels, y down.
    rotation, turned : (N, 3, 3) float
        Of the same heads before and after, model to the y-up frame.

    Returns
    -------
    landmarks : (N, K, 3)
        Each face turned about its own middle, for its depth alone.
    """
    change = flip_y(flip_rows(turned @ np.swapaxes(rotation, 1, 2)))
    middle = landmarks.mean(axis=1, keepdims=True)
    corrected = landmarks.copy()
    corrected[..., 2:] = (landmarks - middle) @ change[:, 2, :, None] + middle[..., 2:]
    return corrected


def _sine_of_yaw(rotation: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(np.radians(pose_maths.euler_from_rotation(rotation)[:, 0])))
