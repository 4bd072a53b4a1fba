"""A crop under similarities: the image moves, and its labels move with it.

A similarity is a ``(2, 3)`` matrix on crop pixels (x right, y down, pixel centres at whole
numbers). Depth scales with it about z = 0. All functions are batched over N faces.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import CROP_SIZE, CropConvention, pose_from_crop, pose_to_crop


def similarities(
    angle_deg: np.ndarray, scale: np.ndarray, shift: np.ndarray, size: int = CROP_SIZE
) -> np.ndarray:
    """Turn and scale about the crop's centre, then shift.

    Parameters
    ----------
    angle_deg : (N,) float
        Clockwise as the viewer sees it.
    scale : (N,) float
    shift : (N, 2) float
        Crop pixels, x right, y down.

    Returns
    -------
    matrices : (N, 2, 3) float64
    """
    angle = np.radians(angle_deg)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=-2)
    centre = np.full(2, (size - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[..., None]], axis=-1)


def inverted(matrices: np.ndarray) -> np.ndarray:
    """The inverse of ``(N, 2, 3)`` similarities."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], axis=-1)


def transform_landmarks(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Move ``(N, K, 3)`` points in crop pixels."""
    linear, offset = _lifted(matrices)
    return (points @ np.swapaxes(linear, 1, 2) + offset[:, None]).astype(points.dtype)


def transform_pose(
    pose: np.ndarray, matrices: np.ndarray, convention: CropConvention
) -> np.ndarray:
    """Move ``(N, 3, 4)`` poses (model to the pose's frame) with the image."""
    linear, offset = _lifted(matrices)
    moved = linear @ pose_to_crop(pose, convention)
    moved[:, :, 3] += offset
    return pose_from_crop(moved, convention).astype(pose.dtype)


def transform_params(
    params: np.ndarray, matrices: np.ndarray, convention: CropConvention
) -> np.ndarray:
    """Move ``(N, P)`` parameters: the pose changes, shape and expression stay."""
    moved = params.copy()
    pose = params[:, :NUM_POSE].reshape(-1, 3, 4)
    moved[:, :NUM_POSE] = transform_pose(pose, matrices, convention).reshape(-1, NUM_POSE)
    return moved


def moved_images(crops: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """``(N, 120, 120, 3)`` crops, each moved by its own ``(2, 3)`` similarity; black around it."""
    pairs = zip(crops, matrices, strict=True)
    return np.stack([_moved_image(crop, matrix) for crop, matrix in pairs])


def _moved_image(crop: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    zoom = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    source = np.ascontiguousarray(crop)
    if zoom < 0.75:  # one pixel stands for several: smooth first, or they alias
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / zoom)
    size = crop.shape[1::-1]
    return np.asarray(cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR))


def _lifted(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of the image as 3D ones: linear (N, 3, 3), offset (N, 3)."""
    linear = np.zeros((len(matrices), 3, 3))
    linear[:, :2, :2] = matrices[:, :, :2]
    linear[:, 2, 2] = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    offset = np.zeros((len(matrices), 3))
    offset[:, :2] = matrices[:, :, 2]
    return linear, offset
