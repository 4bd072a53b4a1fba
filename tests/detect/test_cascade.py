"""The detector of last resort."""

import logging

import numpy as np
import pytest

from facegeo.detect import open_detector
from facegeo.detect.cascade import as_faceboxes, merge
from facegeo.errors import ModelNotFoundError


def test_one_warning_says_how_to_get_the_better_detector(cache, caplog):
    with caplog.at_level(logging.WARNING, "facegeo"):
        detector = open_detector("auto")
    assert detector.name == "cascade"
    assert len(caplog.records) == 1 and "facegeo fetch faceboxes" in caplog.text


def test_a_detector_that_was_named_is_not_replaced(cache):
    with pytest.raises(ModelNotFoundError, match="facegeo fetch faceboxes"):
        open_detector("faceboxes")


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return common / (area - common)


def test_the_sample_face_is_found_once_where_faceboxes_sees_it(models, sample_photo):
    (truth,) = open_detector("faceboxes")(sample_photo).boxes
    found = overlap(open_detector("cascade")(sample_photo).boxes, truth)
    assert np.count_nonzero(found > 0.6) == 1
    assert np.count_nonzero(found > 0) == 1  # what else it takes for a face lies elsewhere


def test_overlapping_squares_become_their_mean_and_others_stay():
    squares = np.array(
        [[0, 0, 10, 10], [2, 2, 12, 12], [50, 50, 60, 60], [4, 4, 14, 14]], np.float32
    )
    merged = merge(squares)
    assert np.allclose(sorted(merged.tolist()), [[2, 2, 12, 12], [50, 50, 60, 60]])
    assert merge(squares[:0]).shape == (0, 4)


def test_boxes_grow_about_the_centre_of_the_square():
    (box,) = as_faceboxes(np.float32([[100, 100, 200, 200]]))
    assert np.allclose((box[:2] + box[2:]) / 2, 150)
    assert box[3] - box[1] > box[2] - box[0]


@pytest.mark.parametrize("size", [(16, 16), (20, 3000), (3000, 20)])
def test_photos_too_small_for_a_face_have_none(cache, size):
    assert len(open_detector("cascade")(np.zeros((*size, 3), np.uint8))) == 0
