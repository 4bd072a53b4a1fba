"""Search for faces that lie on their side or stand on their head: the image is turned for it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from facegeo.detect.base import Detections

#: Degrees, clockwise as the viewer sees it, by which a face is turned -> how the image is turned
#: back. A detector of upright faces finds those that lean by up to about 45 degrees, some beyond.
_TURNED_BACK = {
    90.0: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180.0: cv2.ROTATE_180,
    -90.0: cv2.ROTATE_90_CLOCKWISE,
}


def find_turned(find: Callable[[np.ndarray], Detections], image: np.ndarray) -> Detections:
    """Faces that an upright search of the image may miss.

    Parameters
    ----------
    find : callable
        A detector of upright faces.
    image : (H, W, 3) uint8

    Returns
    -------
    found : Detections
        ``rotations`` are 90, 180 and -90. A face between two of them may be there twice.
    """
    parts = []
    for degrees, how in _TURNED_BACK.items():
        found = find(cv2.rotate(image, how))
        boxes = upright_boxes(found.boxes, degrees, (image.shape[0], image.shape[1]))
        parts.append(Detections(boxes, found.scores, found.rotations + np.float32(degrees)))
    return Detections.concatenate(parts)


def upright_boxes(boxes: np.ndarray, degrees: float, image_hw: tuple[int, int]) -> np.ndarray:
    """Boxes of an image that was turned back by ``degrees``, in the image as it is.

    Parameters
    ----------
    boxes : (N, 4) float
        ``xyxy``.
    degrees : {90, 180, -90}
        Clockwise turn of the faces that stand upright in the turned image.
    image_hw : (int, int)
        Of the image as it is.

    Returns
    -------
    boxes : (N, 4) float32
        ``xyxy``.
    """
    height, width = image_hw
    x0, y0, x1, y1 = np.asarray(boxes, np.float32).T
    right, bottom = width - 1, height - 1
    corners = {
        90.0: (right - y1, x0, right - y0, x1),
        180.0: (right - x1, bottom - y1, right - x0, bottom - y0),
        -90.0: (y0, bottom - x1, y1, bottom - x0),
    }[degrees]
    return np.stack(corners, axis=1).astype(np.float32)
