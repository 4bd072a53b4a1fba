"""Boxes to square crops of the photo, and crop pixels back to photo pixels.

A region of interest (ROI) is a square box whose corners are whole photo pixels; the crop is that
region resized bilinearly to S x S. How the pixels of the crop map back belongs to the model that
was trained on such crops, and is written in its card under ``crop_convention``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from facegeo.base.arrays import array_of
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import Y_FLIP

CROP_SIZE: Final = 120

#: A crop reaches this far beyond a detector box, and its centre lies lower (3DDFA_V2's rule).
BOX_ENLARGEMENT: Final = 1.58
BOX_CENTRE_DROP: Final = 0.14

#: Side of a region around landmarks, in longer sides of their box (3DDFA_V2's tracking rule).
REGION_SIDE: Final = 2**0.5

#: A region larger than this many times the photo's longer side is a mistake, not a face.
LARGEST_ROI: Final = 8


@dataclass(frozen=True)
class CropConvention:
    """Convention for where a model's numbers lie in a crop, and a crop's pixels in the photo.

    The 3x4 pose of the 62 parameters maps the model to ``X, Y, Z``, crop pixels with y up. Then

    - crop pixels, y down, zero-based: ``x = X - shift``, ``y = S - 1 + shift - Y``,
      ``z = Z - shift``;
    - photo pixels: ``x_photo = (x + centre) * sx - centre + x0`` with ``sx = (x1 - x0) / S``,
      likewise y; ``z_photo = z * (sx + sy) / 2``.

    Attributes
    ----------
    shift : float
        Index of the first pixel: 1 where upstream counts pixels from 1.
    centre : float
        0.5 where the resize is undone exactly (pixel centres), 0 where upstream ignores it.
    """

    name: str
    shift: float
    centre: float


CONVENTIONS: Final = {
    "3ddfa": CropConvention("3ddfa", shift=1.0, centre=0.0),
    "exact": CropConvention("exact", shift=0.0, centre=0.5),
}


def find_convention(name: str) -> CropConvention:
    """The crop convention of that name. Raises InvalidInputError for an unknown one."""
    try:
        return CONVENTIONS[name]
    except KeyError:
        known = ", ".join(sorted(CONVENTIONS))
        raise InvalidInputError(f"crop convention: expected one of {known}, got {name!r}") from None


def crop_from_pose_frame(convention: CropConvention, size: int = CROP_SIZE) -> np.ndarray:
    """The 3x4 matrix from the pose's frame ``(X, Y, Z)`` to crop pixels."""
    matrix = np.diag(Y_FLIP)
    origin = np.array([-convention.shift, size - 1 + convention.shift, -convention.shift])
    return np.column_stack([matrix, origin])


def crop_to_photo(
    points: np.ndarray, rois: np.ndarray, convention: CropConvention, size: int = CROP_SIZE
) -> np.ndarray:
    """Points in crop pixels to photo pixels.

    Parameters
    ----------
    points : (N, K, 3) float32
        Crop pixels, one crop a face.
    rois : (N, 4) float32
        ``xyxy`` of each crop in the photo.

    Returns
    -------
    points : (N, K, 3) float32
        Photo pixels.
    """
    scale, offset = _image_scale_offset(rois, convention, size)
    return points * scale[:, None] + offset[:, None]


def photo_to_crop(
    points: np.ndarray, rois: np.ndarray, convention: CropConvention, size: int = CROP_SIZE
) -> np.ndarray:
    """The exact inverse of :func:`crop_to_photo`."""
    scale, offset = _image_scale_offset(rois, convention, size)
    return (points - offset[:, None]) / scale[:, None]


def pose_to_photo(
    pose: np.ndarray, rois: np.ndarray, convention: CropConvention, size: int = CROP_SIZE
) -> np.ndarray:
    """Fold crop and ROI into the pose: model coordinates straight to photo pixels.

    Parameters
    ----------
    pose : (N, 3, 4) float
        The pose part of the parameters.
    rois : (N, 4) float32

    Returns
    -------
    affine : (N, 3, 4) float32
        ``photo_point = affine[:, :, :3] @ vertex + affine[:, :, 3]``; y down, so it mirrors.
    """
    scale, offset = _image_scale_offset(rois, convention, size)
    affine = pose_to_crop(pose, convention, size)
    affine *= scale[:, :, None]
    affine[:, :, 3] += offset
    return affine


def pose_to_crop(pose: np.ndarray, convention: CropConvention, size: int = CROP_SIZE) -> np.ndarray:
    """As :func:`pose_to_photo`, but to crop pixels: ``(N, 3, 4)`` float32."""
    to_crop = crop_from_pose_frame(convention, size).astype(np.float32)
    affine = to_crop[:, :3] @ np.asarray(pose, np.float32)
    affine[:, :, 3] += to_crop[:, 3]
    return affine


def pose_from_crop(affine: np.ndarray, convention: CropConvention) -> np.ndarray:
    """The inverse of :func:`pose_to_crop`: ``(N, 3, 4)`` float64."""
    to_crop = crop_from_pose_frame(convention)
    pose = np.array(affine, np.float64)
    pose[:, :, 3] -= to_crop[:, 3]
    return np.linalg.inv(to_crop[:, :3]) @ pose


def pose_from_photo(
    affine: np.ndarray, rois: np.ndarray, convention: CropConvention, size: int = CROP_SIZE
) -> np.ndarray:
    """The exact inverse of :func:`pose_to_photo`: ``(N, 3, 4)`` float32."""
    scale, offset = _image_scale_offset(rois, convention, size)
    pose = np.array(affine, np.float32)
    pose[:, :, 3] -= offset
    pose /= scale[:, :, None]
    to_crop = crop_from_pose_frame(convention, size).astype(np.float32)
    pose[:, :, 3] -= to_crop[:, 3]
    # The axes are only mirrored, so the matrix is its own inverse.
    return to_crop[:, :3] @ pose


def rois_from_boxes(boxes: np.ndarray) -> np.ndarray:
    """ROIs of detector boxes, by the rule of 3DDFA_V2, rounded to whole pixels.

    A box of mean side s gives a square of side ``floor(1.58 s)`` whose centre lies 0.14 s below the
    box's.

    Parameters
    ----------
    boxes : (N, 4) float
        ``xyxy``, photo pixels, as FaceBoxes places them.

    Returns
    -------
    rois : (N, 4) float32
        Squares, ``xyxy``, whole numbers; they may reach beyond the photo.
    """
    left, top, right, bottom = np.asarray(boxes, np.float64).T
    size = (right - left + bottom - top) / 2
    centre = np.stack([(left + right) / 2, (top + bottom) / 2 + BOX_CENTRE_DROP * size], axis=1)
    return _squares(centre, np.floor(BOX_ENLARGEMENT * size))


def landmarks_xy(value: Any, name: str = "landmarks") -> np.ndarray:
    """Landmarks as ``(N, 68, 2)`` float32; of one face, and with a depth, they are taken too."""
    points = np.asarray(value)
    if points.ndim == 2:
        points = points[None]
    last = 3 if points.shape[-1:] == (3,) else 2
    return array_of(name, points, ("N", NUM_LANDMARKS, last))[:, :, :2]


def rois_from_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """ROIs around known landmarks, by the tracking rule of 3DDFA_V2.

    With r as half the longer side of the landmarks' box, a square of side ``2 sqrt(2) r`` about the
    same centre, rounded to whole pixels.

    Parameters
    ----------
    landmarks : (N, K, 2 or 3) float
        Photo pixels.

    Returns
    -------
    rois : (N, 4) float32
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    low, high = points.min(axis=1), points.max(axis=1)
    return _squares((low + high) / 2, REGION_SIDE * (high - low).max(axis=1))


def check_rois(rois: np.ndarray, image_hw: tuple[int, int]) -> None:
    """Refuse regions from which no face can be read.

    Raises
    ------
    InvalidInputError
        If a region does not overlap the photo, is empty, or is absurdly larger than the photo.
    """
    height, width = image_hw
    x0, y0, x1, y1 = np.asarray(rois).T
    side = np.maximum(x1 - x0, y1 - y0)
    for bad, wish in (
        ((x1 - x0 < 1) | (y1 - y0 < 1), "a region of at least one pixel"),
        ((x1 <= 0) | (y1 <= 0) | (x0 >= width) | (y0 >= height), "a box that overlaps the photo"),
        (side > LARGEST_ROI * max(image_hw), f"a box at most {LARGEST_ROI} photos wide"),
    ):
        if bad.any():
            index = int(np.argmax(bad))
            raise InvalidInputError(
                f"boxes: expected {wish} (photo {width}x{height}), "
                f"got the region {rois[index].tolist()} at index {index}"
            )


def crop_faces(
    image: np.ndarray, rois: np.ndarray, size: int = CROP_SIZE, out: np.ndarray | None = None
) -> np.ndarray:
    """Cut and resize regions of one photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
    rois : (N, 4) float
        ``xyxy``; corners are rounded to whole pixels, what lies outside the photo is black.
    out : (N, size, size, 3) uint8, optional
        Filled and returned when given.

    Returns
    -------
    crops : (N, size, size, 3) uint8
    """
    corners = np.rint(rois).astype(np.int64)
    crops = np.empty((len(corners), size, size, 3), np.uint8) if out is None else out
    for crop, roi in zip(crops, corners, strict=True):
        cv2.resize(_region(image, roi), (size, size), dst=crop, interpolation=cv2.INTER_LINEAR)
    return crops


def resized_crops(crops: np.ndarray, size: int) -> np.ndarray:
    """Crops of another side, by the mean of the area that a pixel covers.

    Parameters
    ----------
    crops : (N, S, S, 3) uint8
    size : int
        Not above S.

    Returns
    -------
    crops : (N, size, size, 3) uint8
        The same array where S is ``size``.
    """
    if crops.shape[1] == size:
        return crops
    smaller = np.empty((len(crops), size, size, 3), np.uint8)
    for crop, out in zip(crops, smaller, strict=True):
        cv2.resize(crop, (size, size), dst=out, interpolation=cv2.INTER_AREA)
    return smaller


def _region(image: np.ndarray, roi: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = roi.tolist()
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    inside = image[top:bottom, left:right]
    if (left, top, right, bottom) == (x0, y0, x1, y1):
        return inside
    region = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    region[top - y0 : bottom - y0, left - x0 : right - x0] = inside
    return region


def _squares(centre: np.ndarray, side: np.ndarray) -> np.ndarray:
    corner = np.rint(centre - side[:, None] / 2)
    return np.concatenate([corner, corner + np.rint(side)[:, None]], axis=1).astype(np.float32)


def _image_scale_offset(
    rois: np.ndarray, convention: CropConvention, size: int
) -> tuple[np.ndarray, np.ndarray]:
    rois = np.asarray(rois, np.float32)
    scale = np.empty((len(rois), 3), np.float32)
    offset = np.zeros((len(rois), 3), np.float32)
    sides = scale[:, :2]
    np.subtract(rois[:, 2:], rois[:, :2], out=sides)
    sides /= size
    scale[:, 2] = sides.mean(axis=1)
    offset[:, :2] = rois[:, :2] + convention.centre * (sides - 1)
    return scale, offset
