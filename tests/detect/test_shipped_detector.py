"""The detector in the package, as it ships: it needs nothing and finds the faces that are there."""

from __future__ import annotations

import json
import logging

import cv2
import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.bench import detectors as bench
from facegeo.bench import main as bench_main
from facegeo.detect import DetectorOptions, Search, open_detector
from facegeo.errors import BackendUnavailableError, InvalidInputError, ModelNotFoundError
from facegeo.track.boxes import overlaps
from facegeo.zoo import find
from facegeo.zoo.store import role_of

#: Where the released FaceBoxes sees the sample photo's face.
SAMPLE_FACE = np.float32([[181, 67, 270, 176]])

#: Faces on each photo of the reference material.
COUNTS = {"emma.jpg": 3, "trump_hillary.jpg": 2, "JianzhuGuo.jpg": 1}


@pytest.fixture
def nothing(cache, monkeypatch):
    """An environment without models, downloads or reference material."""
    monkeypatch.setenv("FACEGEO_OFFLINE", "1")
    monkeypatch.delenv("FACEGEO_SHARED", raising=False)
    return cache


def precisions():
    card = find("default", task="detection").card
    return [p for p in ("fp32", "int8") if role_of(p) in card.files]


def test_the_sample_face_is_found_once_with_nothing_installed(nothing, sample_photo, caplog):
    with caplog.at_level(logging.WARNING):
        detector = open_detector("auto")
        found = detector(sample_photo)
    assert detector.name == "detector" and not caplog.records and not nothing.exists()
    assert len(found) == 1 and overlaps(found.boxes, SAMPLE_FACE)[0, 0] > 0.6


def test_a_detector_that_was_named_is_not_replaced(nothing):
    with pytest.raises(ModelNotFoundError, match="facegeo fetch faceboxes"):
        open_detector("faceboxes")


def test_every_face_of_the_photos_is_found_and_nothing_else(shared, cache):
    predictor = FaceGeometry()
    faces = {name: len(predictor(shared / "data/photos" / name)) for name in COUNTS}
    assert faces == COUNTS


def test_the_clip_shows_one_face(shared, cache):
    """On every frame; here on each fifth, for time's sake."""
    clip = cv2.VideoCapture(str(shared / "data/photos/talking_head.mp4"))
    frames = []
    while (frame := clip.read()[1]) is not None:
        frames.append(frame)
    assert len(frames) > 50
    detector = open_detector()
    assert [len(detector(frame)) for frame in frames[::5]] == [1] * len(frames[::5])


def test_boxes_lie_where_the_released_detector_puts_them(models, sample_photo):
    """One rule for regions of interest serves both."""
    (theirs,) = open_detector("faceboxes")(sample_photo).boxes
    assert overlaps(theirs[None], SAMPLE_FACE)[0, 0] > 0.9
    (ours,) = open_detector()(sample_photo).boxes
    assert overlaps(ours[None], theirs[None])[0, 0] > 0.6


def test_precisions_see_the_same(cache, sample_photo):
    if precisions() != ["fp32", "int8"]:
        pytest.skip("it ships in one precision")
    (exact,) = open_detector(precision="fp32")(sample_photo).boxes
    (small,) = open_detector(precision="int8")(sample_photo).boxes
    assert overlaps(exact[None], small[None])[0, 0] > 0.85


def test_a_tiny_face_in_a_large_photo_needs_tiles(cache, sample_photo):
    """The face is 6 pixels wide in the whole photo at 320 pixels, and 90 in a tile."""
    photo = np.full((900, 5000, 3), 128, np.uint8)
    photo[100:612, 4000:4512] = sample_photo
    face = SAMPLE_FACE + np.float32([4000, 100] * 2)
    without = open_detector(options=DetectorOptions(search=Search(max_side=320)))(photo)
    assert overlaps(without.boxes, face).max(initial=0) < 0.3
    found = open_detector(options=DetectorOptions(search=Search(max_side=320, tile=512)))(photo)
    assert (overlaps(found.boxes, face) > 0.6).sum() == 1


def test_what_cannot_be_told_how_to_search_says_so(models):
    with pytest.raises(InvalidInputError, match="only facegeo's own detector"):
        open_detector("faceboxes", DetectorOptions(search=Search(tile=512)))
    with pytest.raises(BackendUnavailableError, match="int8"):
        open_detector("faceboxes", precision="int8")


def test_a_higher_threshold_only_leaves_boxes_out(cache, sample_photo):
    """Boxes under the threshold are dropped before suppression: that must change nothing."""
    low = open_detector(options=DetectorOptions(0.05))(sample_photo)
    high = open_detector(options=DetectorOptions(0.5))(sample_photo)
    assert len(high) and np.array_equal(low.boxes[low.scores >= 0.5], high.boxes)


def test_the_benchmark_compares_with_the_released_detector(models, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SIZES", ((320, 240),))
    assert bench_main(["detectors", "--rounds", "1", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    rows = results["320x240"]
    assert set(rows) == {*precisions(), "faceboxes"}
    assert rows["fp32"]["time_over_faceboxes"] > 0
    assert rows["faceboxes"]["p95_ms"] >= rows["faceboxes"]["p50_ms"] > 0
    assert "time_over_faceboxes" not in rows["faceboxes"]


def test_the_benchmark_says_what_it_could_not_measure(cache, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SIZES", ((320, 240),))
    assert bench_main(["detectors", "--rounds", "1", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert "facegeo fetch faceboxes" in results["not_measured"]["faceboxes"]
    assert "time_over_faceboxes" not in results["320x240"]["fp32"]
