"""Presence as a second opinion: the rule, the predictor that follows it, its evaluation."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.landmark_network import LandmarkNetwork
from helpers.morphable_data import GENERIC_FILE

from facegeo import detect
from facegeo.cli import main
from facegeo.detect import Detections, PresenceFilter
from facegeo.errors import InvalidInputError
from facegeo.evaluation import presence_filter
from facegeo.evaluation.detection import Sample
from facegeo.geometry.crop import find_convention
from models.release.package import write_shipped


def test_only_doubtful_boxes_without_presence_are_dropped():
    lenient = PresenceFilter(sure_score=0.8, least_presence=0.3)
    scores = np.array([0.9, 0.6, 0.6, 0.6, np.nan], np.float32)
    presence = np.array([0.0, 0.1, 0.4, np.nan, 0.0], np.float32)
    assert lenient.keeps(scores, presence).tolist() == [True, False, True, True, True]
    assert PresenceFilter(1.0, 0.0).keeps(scores, presence).all()
    for wrong in ({"sure_score": 1.1}, {"least_presence": -0.1}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            PresenceFilter(**wrong)


class Boxes:
    """A face of 40 px at (30, 30) and a false box at (90, 30) on every photo."""

    name = "boxes"

    def __init__(self, face_score=0.6, false_score=0.55):
        self.scores = np.array([face_score, false_score], np.float32)

    def __call__(self, photo):
        boxes = np.array([[30, 30, 70, 70], [90, 30, 130, 70]], np.float32)
        return Detections(boxes, self.scores)


class Nothing:
    name = "faceboxes"

    def __call__(self, photo):
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class Predictor:
    """Presence is how bright the crop's middle is."""

    card = SimpleNamespace(name="known")
    crop_size, crop_convention = 120, find_convention("3ddfa")
    network = SimpleNamespace(name="none", device="cpu", precision="fp32")

    def predict_crops(self, crops, rois):
        middle = crops[:, 40:80, 40:80].mean(axis=(1, 2, 3)) / 255
        return SimpleNamespace(presence=middle.astype(np.float32))


def photo():
    image = np.full((120, 160, 3), 25, np.uint8)
    image[20:80, 20:80] = 200
    return image


@pytest.fixture
def samples(monkeypatch):
    face = np.array([[30, 30, 70, 70]], np.float32)
    annotated = [Sample(photo(), face, np.zeros(1, bool)) for _ in range(2)]
    monkeypatch.setattr(presence_filter, "aflw2000_samples", lambda folder: iter(annotated))


@pytest.fixture
def backgrounds(tmp_path):
    for k in range(2):
        dark = np.full((120, 160, 3), 25, np.uint8)
        (tmp_path / f"{k}.png").write_bytes(cv2.imencode(".png", dark)[1].tobytes())
    return tmp_path


def test_what_each_threshold_keeps(samples, backgrounds):
    report = presence_filter.evaluate(Predictor(), Boxes(), Nothing(), "", backgrounds, 0.8)
    assert report["photos"] == 2 and report["backgrounds"] == 1
    rows = {(row["score"], row["least_presence"]): row for row in report["rows"]}
    alone, filtered, strict = rows[0.5, 0.0], rows[0.5, 0.3], rows[0.5, 0.9]
    assert (alone["recall"], alone["false_per_photo"], alone["false_per_background"]) == (1, 1, 2)
    assert (filtered["recall"], filtered["false_per_photo"], filtered["false_per_background"]) == (
        1,
        0,
        0,
    )
    assert strict["recall"] == 0 and rows[0.6, 0.0]["false_per_photo"] == 0
    sure = presence_filter.evaluate(Predictor(), Boxes(), Nothing(), "", backgrounds, 0.5)
    assert all(row["recall"] == 1 for row in sure["rows"])
    text = presence_filter.to_markdown(report)
    assert "| 0.5 | 0.300 | 1.000 | 0.000 | 0.000 |" in text


def test_a_network_without_presence_has_no_second_opinion(samples, backgrounds):
    class Blind(Predictor):
        def predict_crops(self, crops, rois):
            return SimpleNamespace(presence=np.full(len(crops), np.nan, np.float32))

    with pytest.raises(InvalidInputError, match="'known' has no presence output"):
        presence_filter.evaluate(Blind(), Boxes(), Nothing(), "", backgrounds)


def test_the_command_tries_thresholds(samples, backgrounds, monkeypatch, capsys):
    from facegeo.cli import evaluate

    opened = {"auto": Boxes(), "faceboxes": Nothing()}
    monkeypatch.setattr(detect, "open_detector", lambda name, *_: opened[name])
    monkeypatch.setattr(evaluate, "_predictor", lambda options: Predictor())
    places = ["--data", str(backgrounds), "--backgrounds", str(backgrounds)]
    assert main(["eval", "second-opinion", *places, "--sure", "0.7", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sure_score"] == 0.7 and report["run"]["model"] == "known"
    assert len(report["rows"]) == 32


class Network(LandmarkNetwork):
    """Sees a face in the middle of every crop, and believes none of them much."""

    def _run(self, inputs):
        count = len(inputs["crops"])
        params = np.zeros((count, 62), np.float32)
        params[:, [0, 5, 10]], params[:, [3, 7]] = 0.5, 60
        landmarks = np.random.default_rng(0).uniform(30, 90, (count, 68, 3)).astype(np.float32)
        presence = np.full(count, 0.12, np.float32)
        return {"params": params, "landmarks": landmarks, "presence": presence}


@pytest.fixture
def predictor_of(tmp_path, monkeypatch, cache):
    """Makes predictors with that network and with :class:`Boxes`."""
    from facegeo import FaceGeometry
    from facegeo.zoo import Card, shipped

    shutil.copy(GENERIC_FILE, tmp_path)
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    card = Card("tiny", "landmarks", "synergynet", "a test", "MIT", {}, crop_convention="exact")
    write_shipped(card, b"onnx", {"morphable": "facegeo-generic.npz"})

    def make(**options):
        return FaceGeometry("tiny", detector=Boxes(0.9, 0.6), network=Network(), **options)

    return make


def test_the_predictor_drops_what_its_network_does_not_believe(predictor_of):
    two = [photo(), photo()]
    filtered = predictor_of()(two)
    assert [[round(face.score, 2) for face in faces] for faces in filtered] == [[0.9], [0.9]]
    assert filtered[0][0].presence == pytest.approx(0.12, abs=0.01)
    assert filtered[1][0].box.tolist() == [30, 30, 70, 70]
    alone = predictor_of(second_opinion=None)(two)
    assert [len(faces) for faces in alone] == [2, 2]
    lenient = predictor_of(second_opinion=PresenceFilter(0.8, 0.1))(two)
    assert [len(faces) for faces in lenient] == [2, 2]
    given = predictor_of()(photo(), boxes=[[30, 30, 70, 70], [90, 30, 130, 70]])
    assert len(given) == 2
