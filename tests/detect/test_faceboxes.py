"""FaceBoxes: anchors, decoding, options."""

import json

import numpy as np
import pytest

from facegeo.detect import DetectorOptions, faceboxes, open_detector
from facegeo.detect.base import suppress_overlaps
from facegeo.errors import InvalidInputError
from facegeo.images import read_photo


def test_anchors_of_one_cell():
    """Densification of the paper: a 32 px anchor every 8 px, 64 px every 16, the rest centred."""
    cell = faceboxes.anchors(32, 32)
    assert cell.shape == (21 + 1 + 1, 3)
    assert np.array_equal(cell[:5], [[0, 0, 32], [8, 0, 32], [16, 0, 32], [24, 0, 32], [0, 8, 32]])
    assert np.array_equal(
        cell[16:21], [[0, 0, 64], [16, 0, 64], [0, 16, 64], [16, 16, 64], [16, 16, 128]]
    )
    assert np.array_equal(cell[21:], [[32, 32, 256], [64, 64, 512]])


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (33, 47), (720, 1080), (16, 16), (129, 65)]
)
def test_there_is_an_anchor_for_every_output(models, height, width):
    detector = open_detector("faceboxes")
    photo = np.zeros((1, height, width, 3), np.uint8)
    outputs = detector._network.run({"photos": photo})
    assert outputs["scores"].shape[1] == len(faceboxes.anchors(height, width))


def test_decoding_a_known_offset():
    prior = faceboxes.anchors(32, 32)
    offsets = np.zeros((len(prior), 4), np.float32)
    scores = np.zeros(len(prior), np.float32)
    scores[20] = 0.9  # the 128 px anchor, centred at (16, 16)
    offsets[20] = (1, -2, np.log(2) / 0.2, 0)  # a tenth of 128 right, two tenths up, twice as wide
    boxes, found = faceboxes.decode(offsets, scores, (32, 32))
    x, y = 16 + 12.8, 16 - 25.6
    assert np.allclose(boxes, [[x - 128, y - 64, x + 128, y + 64]], atol=1e-3)
    assert np.allclose(found, [0.9])


def test_overlapping_boxes_leave_the_best():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [8, 0, 18, 10]], np.float32)
    scores = np.array([0.8, 0.9, 0.3, 0.7], np.float32)
    # 0 against 1: 90 / 110; 3 against 1: 30 / 170
    assert suppress_overlaps(boxes, scores, 0.3).tolist() == [1, 3, 2]
    assert suppress_overlaps(boxes[:0], scores[:0], 0.3).tolist() == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (480, 640)),
        ((1901, 3913), (524, 1080)),
        ((1440, 100), (720, 50)),
        ((20, 40000), (1, 1080)),
    ],
)
def test_large_photos_are_scaled_down_as_upstream_does(size, expected):
    scaled, scale = faceboxes.shrink(np.zeros((*size, 3), np.uint8))
    assert scaled.shape[:2] == expected
    assert scale == pytest.approx(min(1, 720 / size[0], 1080 / size[1]))


@pytest.mark.parametrize("name", ["emma.jpg", "trump_hillary.jpg", "JianzhuGuo.jpg"])
def test_boxes_equal_upstream_on_the_reference_photos(models, shared, name):
    reference = json.loads((shared / "reference/photos_faceboxes_mb05.json").read_text())[name]
    found = open_detector("faceboxes")(read_photo(shared / "data/photos" / name))
    expected = np.array([face["box_xyxy_score"] for face in reference])
    assert len(found) == len(expected)
    assert np.abs(found.boxes - expected[:, :4]).max() < 1
    assert np.abs(found.scores - expected[:, 4]).max() < 2e-3


def test_options_choose_faces(models, shared):
    photo = read_photo(shared / "data/photos/emma.jpg")
    everything = open_detector("faceboxes", DetectorOptions(score_threshold=0.0))(photo)
    best = open_detector("faceboxes", DetectorOptions(max_faces=1))(photo)
    large = open_detector("faceboxes", DetectorOptions(min_size=400))(photo)
    assert len(everything) > 3
    assert (np.diff(everything.scores) <= 0).all()
    assert len(best) == 1 and np.array_equal(best.boxes[0], everything.boxes[0])
    sides = (everything.boxes[:3, 2:] - everything.boxes[:3, :2]).min(axis=1)
    assert len(large) == np.count_nonzero(sides >= 400) == 2


@pytest.mark.parametrize(
    "options", [{"score_threshold": 2}, {"max_faces": 0}, {"min_size": -1}, {"min_size": np.nan}]
)
def test_senseless_options_are_refused(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        DetectorOptions(**options)
