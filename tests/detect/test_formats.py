"""Boxes of other detectors become xyxy in photo pixels."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.detect import boxes_from
from facegeo.detect.formats import FORMATS
from facegeo.errors import InvalidInputError

#: One box, x 40 to 100 and y 20 to 100, of an image 200 wide and 160 high, as each would give it.
AS_GIVEN = {
    "xyxy": [40, 20, 100, 100],
    "xywh": [40, 20, 60, 80],
    "cxcywh": [70, 60, 60, 80],
    "opencv": [40, 20, 60, 80],
    "mtcnn": [40, 20, 60, 80],
    "facenet-pytorch": [40, 20, 100, 100],
    "retinaface": [40, 20, 100, 100, 0.99],
    "dlib": [40, 20, 100, 100],
    "face_recognition": [20, 100, 100, 40],
    "yolo": [0.35, 0.375, 0.3, 0.5],
    "mediapipe": [0.2, 0.125, 0.3, 0.5],
}


def test_all_formats_are_tested():
    assert set(AS_GIVEN) == set(FORMATS)


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_every_format_gives_the_same_box(kind):
    for given in (AS_GIVEN[kind], [AS_GIVEN[kind]] * 2, np.array([AS_GIVEN[kind]] * 2)):
        boxes = boxes_from(kind, given, (160, 200))
        assert boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, [[40, 20, 100, 100]] * len(boxes), atol=1e-4)
    assert len(boxes) == 2


def test_no_box_is_no_box():
    for none in (None, [], np.zeros((0, 4)), ()):
        assert boxes_from("mtcnn", none).shape == (0, 4)


def test_what_is_wrong_is_named():
    with pytest.raises(InvalidInputError, match="image_hw"):
        boxes_from("yolo", AS_GIVEN["yolo"])
    with pytest.raises(InvalidInputError, match="kind: expected one of xyxy"):
        boxes_from("mtccn", [1, 2, 3, 4])
    with pytest.raises(InvalidInputError, match="x0 < x1"):
        boxes_from("xyxy", AS_GIVEN["xywh"][::-1])
    with pytest.raises(InvalidInputError, match="boxes"):
        boxes_from("xywh", [[1, 2, 3]])
