"""Boxes of other detectors, in the form that facegeo takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from facegeo.base.arrays import array_of, boxes_xyxy
from facegeo.errors import InvalidInputError

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
    """

    numbers: str
    to_xyxy: _ToXyxy
    is_relative: bool
    who: str


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
        "middle x, middle y, width, height", _middle_and_size, True, "YOLO: label files, xywhn"
    ),
    "mediapipe": BoxFormat(
        "xmin, ymin, width, height", _corner_and_size, True, "MediaPipe's relative_bounding_box"
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
    boxes : (N, 4 or more) array-like, or one box
        Numbers behind the fourth, such as scores, are left out. None is no box.
    image_hw : (int, int), optional
        Height and width of the image, which ``yolo`` and ``mediapipe`` need: their boxes are parts
        of it.

    Returns
    -------
    boxes : (N, 4) float32
        ``xyxy``, photo pixels.

    Raises
    ------
    InvalidInputError
        If the format is unknown, the image's size is missing, or a box has no width or height.
    """
    if kind not in FORMATS:
        raise InvalidInputError(f"kind: expected one of {', '.join(FORMATS)}, got {kind!r}")
    form = FORMATS[kind]
    if boxes is None or len(boxes) == 0:
        return np.zeros((0, 4), np.float32)
    numbers = np.asarray(boxes)
    if numbers.dtype.kind in "iuf":
        numbers = np.atleast_2d(numbers)[..., :4]
    numbers = array_of("boxes", numbers, ("N", 4), np.float64)
    placed = form.to_xyxy(numbers)
    if form.is_relative:
        if image_hw is None:
            raise InvalidInputError(
                f"image_hw: expected height and width of the image, of which boxes of {kind!r} are "
                "parts, got None"
            )
        height, width = image_hw
        placed = placed * np.array([width, height, width, height])
    return boxes_xyxy(placed)
