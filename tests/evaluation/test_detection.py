"""Matching, curves and readers of the detection protocol, on cases worked out by hand."""

import json

import cv2
import numpy as np
import pytest

from facegeo import detect
from facegeo.cli import main
from facegeo.detect.base import Detections
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation import detection
from facegeo.evaluation.detection import Sample, Tally


def detections(boxes, scores):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)


def test_a_face_is_found_once_and_by_the_better_box():
    found = detections([[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8, 0.7])
    outcome, at = detection.match(found, BOXES, np.zeros(2, bool))
    assert outcome.tolist() == [1, 0, 0]
    assert at == pytest.approx([0.9, 0])


def test_an_ignored_face_is_neither_found_nor_false():
    found = detections([[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.8])
    outcome, at = detection.match(found, BOXES, np.array([True, False]))
    assert outcome.tolist() == [-1, 1]
    assert at == pytest.approx([0, 0.8])


def test_overlap_at_the_border_of_the_threshold():
    half = detections([[0, 0, 10, 5]], [0.9])
    assert detection.match(half, BOXES, np.zeros(2, bool), 0.5)[0].tolist() == [1]
    assert detection.match(half, BOXES, np.zeros(2, bool), 0.51)[0].tolist() == [0]


def test_figures_of_a_known_case():
    # By score: hit, miss, hit; three faces in two photos.
    result = Tally(
        np.array([0.9, 0.8, 0.4], np.float32),
        np.array([True, False, True]),
        np.array([0.9, 0.4, 0.0], np.float32),
        np.array([10.0, 70.0, -80.0], np.float32),
        2,
    )
    report = detection.figures(result, 0.5)
    assert report["recall"] == pytest.approx(1 / 3)
    assert report["precision"] == pytest.approx(1 / 2)
    assert report["false_per_photo"] == pytest.approx(1 / 2)
    assert report["ap"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert report["recall_by_yaw"] == {"0-30": 1.0, "60-90": 0.0}


def test_nothing_found_and_nothing_to_find():
    def nothing(_photo):
        return detections([], [])

    photo = np.zeros((4, 4, 3), np.uint8)
    sample = Sample(photo, np.zeros((0, 4), np.float32), np.zeros(0, bool))
    report = detection.figures(detection.tally(nothing, iter([sample])), 0.5)
    assert report["false_per_photo"] == 0
    assert np.isnan(report["recall"])


def test_wider_face_layout(tmp_path):
    (tmp_path / "images" / "0--Parade").mkdir(parents=True)
    (tmp_path / "split").mkdir()
    for name in ("a", "b"):
        path = tmp_path / "images" / "0--Parade" / f"{name}.png"
        path.write_bytes(cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    (tmp_path / "split" / "wider_face_val_bbx_gt.txt").write_text(
        "0--Parade/a.png\n2\n1 2 10 12 0 0 0 0 0 0 \n5 5 3 3 0 0 0 1 0 0 \n"
        "0--Parade/b.png\n0\n0 0 0 0 0 0 0 0 0 0 \n"
    )
    first, second = detection.wider_samples(tmp_path)
    assert first.boxes.tolist() == [[1, 2, 11, 14], [5, 5, 8, 8]]
    assert first.ignored.tolist() == [False, True]
    assert second.boxes.shape == (0, 4)


def test_broken_wider_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "x_bbx_gt.txt"
    path.write_text("a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n")
    with pytest.raises(CorruptFileError, match="line 2"):
        detection.read_wider(path)
    with pytest.raises(UnreadableFileError, match="bbx_gt"):
        list(detection.wider_samples(tmp_path / "images"))


def test_boxes_that_the_reference_explains_are_not_false():
    found = detections([[0, 0, 10, 10], [40, 40, 50, 50], [80, 0, 90, 10]], [0.9, 0.9, 0.3])
    assert detection.unexplained(found, detections([[1, 1, 10, 10]], [0.6])) == 1
    assert detection.unexplained(found, detections([[1, 1, 10, 10]], [0.4])) == 2


class Marked:
    """Finds every white rectangle of a photo, and, if it is told so, a false box in the corner."""

    def __init__(self, name, false_score=None):
        self.name, self.false_score = name, false_score

    def __call__(self, photo):
        boxes, scores = [], []
        rows, columns = np.nonzero(photo[:, :, 0] > 200)
        if len(rows):
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            scores.append(0.9)
        if self.false_score is not None:
            boxes.append([0, 0, 8, 8])
            scores.append(self.false_score)
        return detections(boxes, scores)


def picture(box=None):
    photo = np.zeros((60, 80, 3), np.uint8)
    if box is not None:
        photo[box[1] : box[3], box[0] : box[2]] = 255
    return cv2.imencode(".png", photo)[1].tobytes()


@pytest.fixture
def wider(tmp_path):
    folder = tmp_path / "wider"
    (folder / "images").mkdir(parents=True)
    lines = []
    for name, box in (("a.png", (20, 10, 50, 50)), ("b.png", (30, 20, 60, 50))):
        (folder / "images" / name).write_bytes(picture(box))
        numbers = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        lines += [name, "1", " ".join(map(str, [*numbers, 0, 0, 0, 0, 0, 0]))]
    (folder / "images" / "c.png").write_bytes(picture())
    lines += ["c.png", "1", "20 20 30 30 0 0 0 0 0 0"]
    (folder / "x_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def backgrounds(tmp_path):
    """Ten photos; the held-back ones are 0, with a "face", and 5, without."""
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    for k in range(10):
        (folder / f"{k}.png").write_bytes(picture((20, 10, 50, 50) if k == 0 else None))
    return folder


def test_detectors_are_compared_on_a_folder(wider, backgrounds):
    both = {"sure": Marked("sure"), "hasty": Marked("hasty", 0.6)}
    report = detection.evaluate(both, wider)
    assert report["photos"] == report["faces"] == 3
    sure, hasty = report["detectors"]["sure"], report["detectors"]["hasty"]
    assert sure["recall"] == hasty["recall"] == pytest.approx(2 / 3)
    assert sure["precision"] == 1 and hasty["precision"] == pytest.approx(2 / 5)
    assert hasty["false_per_photo"] == 1 and sure["ap"] == pytest.approx(2 / 3)
    assert detection.evaluate(both, wider, 0.7)["detectors"]["hasty"]["precision"] == 1
    curve = report["curve"]["curves"]["hasty"]
    assert curve["x"] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert curve["y"] == pytest.approx([1, 1, 2 / 5])
    false = detection.on_backgrounds(both, Marked("r"), backgrounds, (0.5, 0.7))
    assert false["photos"] == 2
    assert false["false_per_photo"] == {
        "sure": {"0.5": 0.0, "0.7": 0.0},
        "hasty": {"0.5": 1.0, "0.7": 0.0},
    }
    text = detection.to_markdown(report | {"backgrounds": false})
    assert "| hasty | 0.667 | 0.400 |" in text and "| hasty | 1.000 | 0.000 |" in text


def test_the_command_compares_by_name(wider, backgrounds, monkeypatch, tmp_path, capsys):
    opened = []

    def known(name, options, device):
        opened.append((name, options.score_threshold))
        return Marked("own", 0.6) if name == "default" else Marked(name)

    monkeypatch.setattr(detect, "open_detector", known)
    files = ["--markdown", str(tmp_path / "t.md"), "--curve", str(tmp_path / "c.png")]
    places = ["--data", str(wider), "--backgrounds", str(backgrounds)]
    assert main(["eval", "detection", *places, *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert opened == [("default", 0.05), ("faceboxes", 0.05)]
    assert report["run"] == {"default": "own", "faceboxes": "faceboxes"}
    assert report["default"]["recall"] == pytest.approx(2 / 3)
    assert set(report["default"]) == {"recall", "precision", "ap", "false_per_photo"}
    assert report["faceboxes"]["false_per_photo"] == 0
    assert report["backgrounds"]["false_per_photo"]["default"]["0.5"] == 1
    text = (tmp_path / "t.md").read_text()
    assert text.startswith("Detectors: default (own), faceboxes.") and "| default | 0.667 |" in text
    assert cv2.imread(str(tmp_path / "c.png")).shape == (720, 960, 3)
    assert main(["eval", "detection", "--data", str(wider), "--detectors", ","]) == 1
    assert "--detectors" in capsys.readouterr().err


def test_boxes_of_aflw2000_and_the_released_detector(models, shared, tmp_path):
    """The released FaceBoxes on the first photos finds nearly all annotated faces."""
    from itertools import islice

    from facegeo.detect import DetectorOptions, open_detector

    detector = open_detector("faceboxes", DetectorOptions(detection.CURVE_SCORE))
    samples = islice(detection.aflw2000_samples(shared / "data/aflw2000_dev"), 40)
    report = detection.figures(detection.tally(detector, samples), 0.5)
    assert report["recall"] >= 0.85
    assert set(report["recall_by_yaw"]) <= {"0-30", "30-60", "60-90"}
