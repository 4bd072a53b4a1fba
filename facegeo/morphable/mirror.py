"""A face in the mirror: landmarks and parameters of the horizontally flipped crop.

All functions are batched over N faces; the crop has the side that the parameters speak of, 120.
"""

from __future__ import annotations

import numpy as np

from facegeo.conventions import LANDMARK_MIRROR, NUM_POSE
from facegeo.geometry.crop import CROP_SIZE, CropConvention, pose_from_crop, pose_to_crop
from facegeo.morphable.basis import Mirror


def mirror_landmarks(points: np.ndarray) -> np.ndarray:
    """Landmarks ``(N, 68, 3)``, crop pixels, of the horizontally flipped crop."""
    mirrored = points[:, LANDMARK_MIRROR].copy()
    mirrored[:, :, 0] = CROP_SIZE - 1 - mirrored[:, :, 0]
    return mirrored


def mirror_pose(pose: np.ndarray, convention: CropConvention) -> np.ndarray:
    """Poses ``(N, 3, 4)`` of the horizontally flipped crop.

    With F the reflection of x, a face F(v) in the model is the same face with mirrored
    coefficients, so the pose A v + t becomes (F A F) v + (F t + offset).
    """
    affine = pose_to_crop(pose, convention)
    affine[:, 0] *= -1
    affine[:, 0, 3] += CROP_SIZE - 1
    affine[:, :, :3] *= np.array([-1.0, 1.0, 1.0])
    return pose_from_crop(affine, convention)


def mirror_params(params: np.ndarray, mirror: Mirror, convention: CropConvention) -> np.ndarray:
    """Parameters ``(N, P)`` of the horizontally flipped crop."""
    end = NUM_POSE + len(mirror.shape_index)
    mirrored = np.empty_like(params)
    pose = mirror_pose(params[:, :NUM_POSE].reshape(-1, 3, 4), convention)
    mirrored[:, :NUM_POSE] = pose.reshape(-1, NUM_POSE)
    mirrored[:, NUM_POSE:end] = params[:, NUM_POSE:end][:, mirror.shape_index] * mirror.shape_sign
    expression = params[:, end:][:, mirror.expression_index]
    mirrored[:, end:] = expression * mirror.expression_sign
    return mirrored


def mirror_matrix(mirror: Mirror, convention: CropConvention) -> tuple[np.ndarray, np.ndarray]:
    """:func:`mirror_params` as an affine map.

    Returns
    -------
    matrix : (P, P) float64
    offset : (P,) float64
        ``mirrored = params @ matrix.T + offset``.
    """
    size = NUM_POSE + len(mirror.shape_index) + len(mirror.expression_index)
    offset = mirror_params(np.zeros((1, size)), mirror, convention)
    moved = mirror_params(np.eye(size), mirror, convention)
    return (moved - offset).T, offset[0]
