"""Boxes of other detectors, in the form that facegeo takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from facegeo.base.arrays import array_of, as_array, boxes_xyxy, whole_number
from facegeo.errors import InvalidInputError

#: Boxes of faces that the image's edge cuts reach beyond it, but not by another image.
_MOST_RELATIVE = 2.0

_ToXyxy = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class BoxFormat:
    """Format of a detector's boxes.

    Attributes
    ----------
    numbers : str
        What the first four numbers of a box are.
    to_xyxy : callable
        (N, 4) of those to (N, 4) ``xyxy``.
    is_relative : bool
        They are parts of the image's width and height.
    who : str
        Whose boxes they are.
    in_pixels : str
        Name of the same format in pixels, of a relative one.
    """

    numbers: str
    to_xyxy: _ToXyxy
    is_relative: bool
    who: str
    in_pixels: str = ""


def _corners(boxes: np.ndarray) -> np.ndarray:
    return boxes


def _corner_and_size(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _middle_and_size(boxes: np.ndarray) -> np.ndarray:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _top_right_bottom_left(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, [3, 0, 1, 2]]


#: Name of a format -> what it is.
FORMATS: Final = {
    "xyxy": BoxFormat("x0, y0, x1, y1", _corners, False, "facegeo's own"),
    "xywh": BoxFormat("x0, y0, width, height", _corner_and_size, False, "COCO, WIDER FACE, AFLW"),
    "cxcywh": BoxFormat("middle x, middle y, width, height", _middle_and_size, False, "pixels"),
    "opencv": BoxFormat(
        "x0, y0, width, height", _corner_and_size, False, "Haar cascades, FaceDetectorYN (YuNet)"
    ),
    "mtcnn": BoxFormat("x0, y0, width, height", _corner_and_size, False, "the package mtcnn"),
    "facenet-pytorch": BoxFormat("x0, y0, x1, y1", _corners, False, "MTCNN of facenet-pytorch"),
    "retinaface": BoxFormat(
        "x0, y0, x1, y1", _corners, False, "RetinaFace, SCRFD and others of InsightFace"
    ),
    "dlib": BoxFormat("left, top, right, bottom", _corners, False, "dlib's rectangles"),
    "face_recognition": BoxFormat(
        "top, right, bottom, left", _top_right_bottom_left, False, "the package face_recognition"
    ),
    "yolo": BoxFormat(
        "middle x, middle y, width, height",
        _middle_and_size,
        True,
        "YOLO: label files, xywhn",
        "cxcywh",
    ),
    "mediapipe": BoxFormat(
        "xmin, ymin, width, height",
        _corner_and_size,
        True,
        "MediaPipe's relative_bounding_box",
        "xywh",
    ),
}


def boxes_from(kind: str, boxes: Any, image_hw: tuple[int, int] | None = None) -> np.ndarray:
    """Boxes of another detector as :meth:`facegeo.FaceGeometry.__call__` takes them.

    >>> boxes = boxes_from("mtcnn", [found["box"] for found in MTCNN().detect_faces(image)])
    >>> faces = predictor(image, boxes=boxes)

    They may be tight or loose, with or without the hair: each face is cut again by its landmarks.

    Parameters
    ----------
    kind : str
        A name in :data:`FORMATS`: ``xyxy``, ``xywh``, ``cxcywh``, ``opencv``, ``mtcnn``,
        ``facenet-pytorch``, ``retinaface``, ``dlib``, ``face_recognition``, ``yolo`` or
        ``mediapipe``.
    boxes : (N, 4 or more) array-like, an iterator of boxes, or one box
        Numbers behind the fourth, such as scores, are left out. None is no box.
    image_hw : (int, int), or an image's shape, optional
        Height and width of the image, which ``yolo`` and ``mediapipe`` need: their boxes are parts
        of it.

    Returns
    -------
    boxes : (N, 4) float32
        ``xyxy``, photo pixels.

    Raises
    ------
    InvalidInputError
        If the format is unknown, the image's size is missing, a box has no width or height, or
        boxes that should be parts of the image are far larger than it.
    """
    if not isinstance(kind, str) or kind not in FORMATS:
        raise InvalidInputError(f"kind: expected one of {', '.join(FORMATS)}, got {kind!r}")
    form = FORMATS[kind]
    numbers = _rows_of_four(boxes)
    if form.is_relative and len(numbers):
        if np.abs(numbers).max() > _MOST_RELATIVE:
            raise InvalidInputError(
                f"boxes: expected parts of the image's width and height for {kind!r}, got "
                f"{np.abs(numbers).max():g}; boxes in pixels are {form.in_pixels!r}"
            )
        numbers = numbers * _size_of(image_hw, kind)
    return boxes_xyxy(form.to_xyxy(numbers))


def _rows_of_four(boxes: Any) -> np.ndarray:
    """(N, 4) float64 of what a caller has as boxes, without the columns behind the fourth."""
    if boxes is None:
        return np.zeros((0, 4))
    rows = as_array("boxes", list(boxes) if isinstance(boxes, Iterator) else boxes, "(N, 4)")
    if rows.ndim and len(rows) == 0:
        return np.zeros((0, 4))
    rows = rows[None] if rows.ndim == 1 else rows
    return array_of("boxes", rows[:, :4] if rows.ndim == 2 else rows, ("N", 4), np.float64)


def _size_of(image_hw: Any, kind: str) -> np.ndarray:
    """Width, height, width, height of an image; a shape with channels will do."""
    try:
        height, width = (whole_number("image_hw", side) for side in tuple(image_hw)[:2])
    except (TypeError, ValueError, InvalidInputError) as error:
        raise InvalidInputError(
            f"image_hw: expected height and width of the image, of which boxes of {kind!r} are "
            f"parts, got {image_hw!r}"
        ) from error
    return np.array([width, height, width, height], np.float64)
