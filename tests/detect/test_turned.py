"""The search of turned images gives boxes and turns of the image as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegeo.detect import Detections
from facegeo.detect.turned import find_turned

SHAPE = (160, 240)
#: Of the face, which is a white rectangle with a grey forehead: higher than wide.
BOX = (50, 40, 90, 100)


def upright_finder(image: np.ndarray) -> Detections:
    """Finds the rectangle where it stands on its chin, and nothing else."""
    bright = image[:, :, 0] > 0
    if not bright.any():
        return Detections.none()
    y, x = np.nonzero(bright)
    box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], np.float32)
    grey = np.nonzero(image[:, :, 0] == 100)
    stands = grey[0].mean() < y.mean() - 5
    return Detections(box, np.float32([0.9])) if stands else Detections.none()


def picture(turn: int | None) -> np.ndarray:
    image = np.zeros((*SHAPE, 3), np.uint8)
    x0, y0, x1, y1 = BOX
    image[y0:y1, x0:x1] = 255
    image[y0 : y0 + 20, x0:x1] = 100
    return image if turn is None else cv2.rotate(image, turn)


@pytest.mark.parametrize(
    ("turn", "degrees"),
    [
        (cv2.ROTATE_90_CLOCKWISE, 90),
        (cv2.ROTATE_180, 180),
        (cv2.ROTATE_90_COUNTERCLOCKWISE, -90),
    ],
)
def test_a_turned_face_is_found_where_it_is(turn, degrees):
    image = picture(turn)
    found = find_turned(upright_finder, image)
    assert found.rotations.tolist() == [degrees]
    y, x = np.nonzero(image[:, :, 0])
    # Edges of boxes count from the middle of the first pixel: one more or less.
    expected = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    assert np.abs(found.boxes[0] - expected).max() <= 1
