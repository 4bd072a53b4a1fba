"""Boxes to square crops of the photo, and crop pixels back to photo pixels.

A region of interest (ROI) is a square box whose corners are whole photo pixels; the crop is that
region resized bilinearly to S x S. A region may be turned about its middle: a rotation of theta
degrees is clockwise as the viewer sees it, so the crop of a head that leans by theta shows it
upright. How the pixels of the crop map back belongs to the model that was trained on such crops,
and is written in its card under ``crop_convention``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import cv2
import numpy as np

from facegeo.base.arrays import array_of
from facegeo.conventions import LANDMARK_REGIONS, NUM_LANDMARKS
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import Y_FLIP

CROP_SIZE: Final = 120

#: A crop's centre lies this much of a detector box's side below the box's (3DDFA_V2's rule).
BOX_CENTRE_DROP: Final = 0.14

_EYES = slice(LANDMARK_REGIONS["right_eye"].start, LANDMARK_REGIONS["left_eye"].stop)
_MOUTH = slice(LANDMARK_REGIONS["outer_lips"].start, LANDMARK_REGIONS["inner_lips"].stop)

_LEAST_UP = 0.2

#: Weights of the 68 points whose sum is the way from the mouth's middle to the eyes'.
_UP = np.zeros(NUM_LANDMARKS)
_UP[_EYES], _UP[_MOUTH] = 1 / 12, -1 / 20

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
      likewise y; ``z_photo = z * (sx + sy) / 2``. A region that is turned turns them about
      ``((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)``.

    Attributes
    ----------
    shift : float
        Index of the first pixel: 1 where upstream counts pixels from 1.
    centre : float
        0.5 where the resize is undone exactly (pixel centres), 0 where upstream ignores it.
    box_enlargement : float
        Side of the crop in sides of a detector's box. 1.58 is 3DDFA_V2's; 1.39 gives the crop that
        the face's own landmarks would (:func:`rois_from_landmarks`), which the networks of facegeo
        are trained on: on Helen and AFW their error falls from 3.81 to 3.65 percent.
    """

    name: str
    shift: float
    centre: float
    box_enlargement: float


CONVENTIONS: Final = {
    "3ddfa": CropConvention("3ddfa", shift=1.0, centre=0.0, box_enlargement=1.58),
    "exact": CropConvention("exact", shift=0.0, centre=0.5, box_enlargement=1.39),
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
    points: np.ndarray,
    rois: np.ndarray,
    convention: CropConvention,
    size: int = CROP_SIZE,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """Points in crop pixels to photo pixels.

    Parameters
    ----------
    points : (N, K, 3) float32
        Crop pixels, one crop a face.
    rois : (N, 4) float32
        ``xyxy`` of each crop in the photo.
    rotations : (N,) float32, optional
        Degrees by which each region is turned; none is.

    Returns
    -------
    points : (N, K, 3) float32
        Photo pixels.
    """
    scale, offset = _image_scale_offset(rois, convention, size)
    placed = points * scale[:, None] + offset[:, None]
    if _is_turned(rotations):
        turn, middle = _turns(rois, rotations)
        placed[..., :2] = (placed[..., :2] - middle[:, None]) @ turn.mT + middle[:, None]
    return placed


def covariance_to_photo(
    covariance: np.ndarray,
    rois: np.ndarray,
    convention: CropConvention,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """Covariances of points in crop pixels to those in photo pixels: J S J^T.

    Parameters
    ----------
    covariance : (N, K, 3) float32
        xx, xy, yy.
    rois, convention, rotations
        As :func:`crop_to_photo` takes them.

    Returns
    -------
    covariance : (N, K, 2, 2) float32
    """
    scale, _ = _image_scale_offset(rois, convention, CROP_SIZE)
    jacobian = scale[:, :2, None] * np.eye(2)
    if _is_turned(rotations):
        turn, _ = _turns(rois, rotations)
        jacobian = turn @ jacobian
    matrices = covariance[..., [[0, 1], [1, 2]]]
    return (jacobian[:, None] @ matrices @ jacobian.mT[:, None]).astype(np.float32)


def photo_to_crop(
    points: np.ndarray,
    rois: np.ndarray,
    convention: CropConvention,
    size: int = CROP_SIZE,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """The exact inverse of :func:`crop_to_photo`."""
    scale, offset = _image_scale_offset(rois, convention, size)
    if _is_turned(rotations):
        turn, middle = _turns(rois, rotations)
        upright = (points[..., :2] - middle[:, None]) @ turn + middle[:, None]
        points = np.concatenate([upright, points[..., 2:]], axis=-1)
    return (points - offset[:, None]) / scale[:, None]


def pose_to_photo(
    pose: np.ndarray,
    rois: np.ndarray,
    convention: CropConvention,
    size: int = CROP_SIZE,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """Fold crop and ROI into the pose: model coordinates straight to photo pixels.

    Parameters
    ----------
    pose : (N, 3, 4) float
        The pose part of the parameters.
    rois : (N, 4) float32
    rotations : (N,) float32, optional
        As for :func:`crop_to_photo`.

    Returns
    -------
    affine : (N, 3, 4) float32
        ``photo_point = affine[:, :, :3] @ vertex + affine[:, :, 3]``; y down, so it mirrors.
    """
    scale, offset = _image_scale_offset(rois, convention, size)
    affine = pose_to_crop(pose, convention, size)
    affine *= scale[:, :, None]
    affine[:, :, 3] += offset
    if _is_turned(rotations):
        turn, middle = _turns(rois, rotations)
        affine[:, :2, 3] -= middle
        affine[:, :2] = turn @ affine[:, :2]
        affine[:, :2, 3] += middle
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
    affine: np.ndarray,
    rois: np.ndarray,
    convention: CropConvention,
    size: int = CROP_SIZE,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """The exact inverse of :func:`pose_to_photo`: ``(N, 3, 4)`` float32."""
    scale, offset = _image_scale_offset(rois, convention, size)
    pose = np.array(affine, np.float32)
    if _is_turned(rotations):
        turn, middle = _turns(rois, rotations)
        pose[:, :2, 3] -= middle
        pose[:, :2] = turn.mT @ pose[:, :2]
        pose[:, :2, 3] += middle
    pose[:, :, 3] -= offset
    pose /= scale[:, :, None]
    to_crop = crop_from_pose_frame(convention, size).astype(np.float32)
    pose[:, :, 3] -= to_crop[:, 3]
    # The axes are only mirrored, so the matrix is its own inverse.
    return to_crop[:, :3] @ pose


def rois_from_boxes(
    boxes: np.ndarray, convention: CropConvention, rotations: np.ndarray | None = None
) -> np.ndarray:
    """ROIs of detector boxes, by the rule of 3DDFA_V2, rounded to whole pixels.

    A box of mean side s gives a square of side ``floor(box_enlargement s)`` whose centre lies
    0.14 s below the box's: below as the face sees it, where it is turned.

    Parameters
    ----------
    boxes : (N, 4) float
        ``xyxy``, photo pixels, as FaceBoxes places them.
    convention : CropConvention
        Of the network that reads the crops: :attr:`facegeo.FaceGeometry.crop_convention`.
    rotations : (N,) float, optional
        Degrees by which each face is turned in the photo.

    Returns
    -------
    rois : (N, 4) float32
        Squares, ``xyxy``, whole numbers; they may reach beyond the photo.
    """
    left, top, right, bottom = np.asarray(boxes, np.float64).T
    size = (right - left + bottom - top) / 2
    centre = np.stack([(left + right) / 2, (top + bottom) / 2], axis=1)
    angle = np.radians(np.zeros(len(size)) if rotations is None else np.asarray(rotations, float))
    down = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    centre += BOX_CENTRE_DROP * size[:, None] * down
    return _squares(centre, np.floor(convention.box_enlargement * size))


def landmarks_xy(value: Any, name: str = "landmarks") -> np.ndarray:
    """Landmarks as ``(N, 68, 2)`` float32; of one face, and with a depth, they are taken too."""
    points = np.asarray(value)
    if points.ndim == 2:
        points = points[None]
    last = 3 if points.shape[-1:] == (3,) else 2
    return array_of(name, points, ("N", NUM_LANDMARKS, last))[:, :, :2]


def rois_from_landmarks(landmarks: np.ndarray, rotations: np.ndarray | None = None) -> np.ndarray:
    """ROIs around known landmarks, by the tracking rule of 3DDFA_V2.

    With r as half the longer side of the landmarks' box, a square of side ``2 sqrt(2) r`` about the
    same centre, rounded to whole pixels.

    Parameters
    ----------
    landmarks : (N, K, 2 or 3) float
        Photo pixels.
    rotations : (N,) float, optional
        Degrees by which each region is to be turned; the landmarks' box is turned with it.

    Returns
    -------
    rois : (N, 4) float32
    """
    if not _is_turned(rotations):
        return rois_around(landmark_boxes(landmarks))
    points = np.asarray(landmarks, np.float64)[..., :2]
    turn = rotation_matrices(rotations)
    upright = points @ turn
    low, high = upright.min(axis=1), upright.max(axis=1)
    centre = np.einsum("nij,nj->ni", turn, (low + high) / 2)
    return _squares(centre, REGION_SIDE * (high - low).max(axis=1))


def landmark_boxes(landmarks: np.ndarray) -> np.ndarray:
    """Boxes around landmarks ``(N, K, 2 or 3)``: ``(N, 4)`` of their dtype, ``xyxy``."""
    points = landmarks[..., :2]
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def rois_around(boxes: np.ndarray) -> np.ndarray:
    """ROIs of landmarks by their boxes ``(N, 4)``, as :func:`rois_from_landmarks` places them."""
    boxes = np.asarray(boxes, np.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    return _squares((low + high) / 2, REGION_SIDE * (high - low).max(axis=1))


def lean_of_faces(landmarks: np.ndarray) -> np.ndarray:
    """In-plane rotation of faces: how far each leans, clockwise as the viewer sees it.

    The direction from the mouth to the eyes. Unlike the roll of a pose it is what the photo shows,
    whatever yaw and pitch are.

    Parameters
    ----------
    landmarks : (N, 68, 2 or 3) float
        Photo pixels.

    Returns
    -------
    degrees : (N,) float64
        In (-180, 180]; 0 where eyes and mouth lie too near to each other to tell, by less than a
        fifth of the face.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    up = _UP @ points
    lean = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    sides = np.ptp(points, axis=1).max(axis=1)
    lean[np.hypot(up[:, 0], up[:, 1]) <= _LEAST_UP * sides] = 0.0
    return np.asarray(lean)


def rotation_matrices(degrees: np.ndarray) -> np.ndarray:
    """Rotations of photo pixels, clockwise as the viewer sees them: ``(N,)`` to ``(N, 2, 2)``."""
    angle = np.radians(np.asarray(degrees, np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)


def check_rois(rois: np.ndarray, image_hw: tuple[int, int]) -> None:
    """Refuse regions from which no face can be read.

    Raises
    ------
    InvalidInputError
        If a region does not overlap the photo, is empty, or is absurdly larger than the photo.
    """
    for index, roi in enumerate(rois):
        wish = wish_of_roi(roi, image_hw)
        if wish is not None:
            height, width = image_hw
            raise InvalidInputError(
                f"boxes: expected {wish} (photo {width}x{height}), "
                f"got the region {roi.tolist()} at index {index}"
            )


def wish_of_roi(roi: np.ndarray, image_hw: tuple[int, int]) -> str | None:
    """Wish that a region ``(4,)`` does not fulfil, to be cut out of a photo; None: it can be cut.

    In Python's numbers: of the few regions of a photo that is quicker than in arrays.
    """
    height, width = image_hw
    x0, y0, x1, y1 = roi.tolist()
    if not math.isfinite(x0 + y0 + x1 + y1):
        return "finite numbers"
    if x1 - x0 < 1 or y1 - y0 < 1:
        return "a region of at least one pixel"
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return "a box that overlaps the photo"
    if max(x1 - x0, y1 - y0) > LARGEST_ROI * max(image_hw):
        return f"a box at most {LARGEST_ROI} photos wide"
    return None


def crop_faces(
    image: np.ndarray,
    rois: np.ndarray,
    size: int = CROP_SIZE,
    out: np.ndarray | None = None,
    rotations: np.ndarray | None = None,
) -> np.ndarray:
    """Cut and resize regions of one photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
    rois : (N, 4) float
        ``xyxy``; corners are rounded to whole pixels, what lies outside the photo is black.
    out : (N, size, size, 3) uint8, optional
        Filled and returned when given.
    rotations : (N,) float, optional
        Degrees by which each region is turned; none is.

    Returns
    -------
    crops : (N, size, size, 3) uint8
    """
    corners = np.rint(rois).astype(np.int64)
    crops = np.empty((len(corners), size, size, 3), np.uint8) if out is None else out
    degrees = np.zeros(len(corners)) if rotations is None else np.asarray(rotations)
    for crop, roi, angle in zip(crops, corners, degrees, strict=True):
        if angle:
            _turned_crop(image, roi, angle, crop)
        else:
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


def _turned_crop(image: np.ndarray, roi: np.ndarray, degrees: float, out: np.ndarray) -> None:
    """Fill ``out`` with a region that is turned about its middle."""
    size = len(out)
    turn = rotation_matrices(np.array([degrees]))[0]
    scale = (roi[2:] - roi[:2]) / size
    middle = (roi[:2] + roi[2:] - 1) / 2
    # From the crop's pixel centres, so from its middle, to the photo's.
    linear = turn * scale
    matrix = np.column_stack([linear, middle - linear @ np.full(2, (size - 1) / 2)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(image, matrix, (size, size), dst=out, flags=flags)


def _is_turned(rotations: np.ndarray | None) -> TypeGuard[np.ndarray]:
    return rotations is not None and bool(np.any(rotations))


def _turns(rois: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations ``(N, 2, 2)`` and what they turn about, ``(N, 2)``: float32."""
    middle = (np.asarray(rois, np.float32)[:, :2] + np.asarray(rois, np.float32)[:, 2:] - 1) / 2
    return rotation_matrices(rotations).astype(np.float32), middle


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
