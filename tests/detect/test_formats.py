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
    for none in (None, [], np.zeros((0, 4)), (), np.zeros((0, 5)), iter(())):
        for kind in ("mtcnn", "face_recognition", "yolo"):
            assert boxes_from(kind, none).shape == (0, 4)


def test_an_images_shape_is_its_size():
    for shape in ((160, 200, 3), np.zeros((160, 200)).shape, [160, 200], np.array([160, 200])):
        for kind in ("yolo", "mediapipe"):
            boxes = boxes_from(kind, AS_GIVEN[kind], shape)
            np.testing.assert_allclose(boxes, [[40, 20, 100, 100]], atol=1e-4)


def test_boxes_may_come_one_by_one():
    boxes = boxes_from("mtcnn", (found["box"] for found in [{"box": AS_GIVEN["mtcnn"]}] * 2))
    assert boxes.tolist() == [[40, 20, 100, 100]] * 2


@pytest.mark.parametrize(
    "boxes",
    [
        5,
        5.0,
        np.array(5.0),
        "boxes",
        [[1, 2, 3, 4], [1, 2]],
        [[1, 2], [1, 2, 3, 4, 5]],
        [None],
        [1, 2, 3],
        {"box": [1, 2, 3, 4]},
        [{"box": [1, 2, 3, 4]}],
        np.zeros((2, 2, 4)),
        [[1, 2, np.nan, 4]],
        object(),
    ],
)
@pytest.mark.parametrize("kind", ["mtcnn", "yolo", "face_recognition"])
def test_what_is_no_boxes_is_named(kind, boxes):
    with pytest.raises(InvalidInputError, match=r"^boxes: expected"):
        boxes_from(kind, boxes, (160, 200))


@pytest.mark.parametrize("image_hw", [None, "ab", 160, (160,), (160, None), (160.5, 200), (0, 200)])
def test_what_is_no_size_is_named(image_hw):
    with pytest.raises(InvalidInputError, match=r"^image_hw: expected height and width"):
        boxes_from("yolo", AS_GIVEN["yolo"], image_hw)


@pytest.mark.parametrize(("kind", "pixels"), [("yolo", "cxcywh"), ("mediapipe", "xywh")])
def test_pixels_are_no_parts_of_an_image(kind, pixels):
    with pytest.raises(InvalidInputError, match=f"boxes: expected parts.*in pixels are '{pixels}'"):
        boxes_from(kind, AS_GIVEN[pixels], (160, 200))
    cut = boxes_from("mediapipe", [-0.3, -0.2, 1.4, 1.5], (160, 200))  # a face beyond the edges
    np.testing.assert_allclose(cut, [[-60, -32, 220, 208]], atol=1e-3)


@pytest.mark.parametrize("kind", [["mtcnn"], None, 3, ("xywh",), {}])
def test_what_is_no_format_is_named(kind):
    with pytest.raises(InvalidInputError, match="kind: expected one of xyxy"):
        boxes_from(kind, [1, 2, 3, 4])


def test_what_is_wrong_is_named():
    with pytest.raises(InvalidInputError, match="image_hw"):
        boxes_from("yolo", AS_GIVEN["yolo"])
    with pytest.raises(InvalidInputError, match="kind: expected one of xyxy"):
        boxes_from("mtccn", [1, 2, 3, 4])
    with pytest.raises(InvalidInputError, match="x0 < x1"):
        boxes_from("xyxy", AS_GIVEN["xywh"][::-1])
    with pytest.raises(InvalidInputError, match="boxes"):
        boxes_from("xywh", [[1, 2, 3]])
