"""Whose box it was hardly matters: a face is cut again by its own landmarks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.detect import Detections, boxes_from
from facegeo.errors import InvalidInputError
from facegeo.images.demo import sample_photo


@pytest.fixture(scope="module")
def predictor():
    return FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def photo():
    return sample_photo()


@pytest.fixture(scope="module")
def expected(predictor, photo):
    (face,) = predictor(photo)
    return face


def changed(box, dx=0.0, dy=0.0, wide=1.0, high=1.0):
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    middle, half = middle + size * [dx, dy], size * [wide, high] / 2
    return np.concatenate([middle - half, middle + half])


def difference(face, expected):
    """Mean distance of the landmarks in percent of the face."""
    size = np.sqrt(np.ptp(expected.landmarks[:, :2], axis=0).prod())
    away = np.linalg.norm((face.landmarks - expected.landmarks)[:, :2], axis=1)
    return 100 * away.mean() / size


BOXES = {
    "too wide": {"wide": 1.25},
    "too large": {"wide": 1.25, "high": 1.25},
    "too tight": {"wide": 0.75, "high": 0.75},
    "to the right": {"dx": 0.15},
    "to the left": {"dx": -0.15},
    "too low": {"dy": 0.15},
    "too high": {"dy": -0.15},
    "with hair": {"dy": -0.15, "wide": 1.1, "high": 1.3},
}


@pytest.mark.parametrize("name", BOXES)
def test_landmarks_do_not_depend_on_the_box(predictor, photo, expected, name):
    box = changed(expected.box, **BOXES[name])
    (face,) = predictor(photo, boxes=box)
    assert difference(face, expected) < 0.8
    assert abs(face.landmarks[:, 2] - expected.landmarks[:, 2]).mean() < 1.5
    (plain,) = FaceGeometry(backend="onnxruntime", precision="fp32", recrop=False)(photo, boxes=box)
    assert difference(plain, expected) > difference(face, expected)


def test_the_detectors_own_box_gives_the_same_face(predictor, photo, expected):
    (face,) = predictor(photo, boxes=expected.box)
    np.testing.assert_array_equal(face.landmarks, expected.landmarks)
    np.testing.assert_array_equal(face.roi, expected.roi)


def test_the_network_looks_again_only_where_another_crop_is_asked_for(photo, expected):
    predictor = FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")
    calls = []
    run = predictor.network.run
    predictor.network.run = lambda inputs: calls.append(len(inputs["crops"])) or run(inputs)
    predictor(photo, boxes=expected.box)
    assert calls == [1]
    calls.clear()
    predictor(photo, boxes=[expected.box, changed(expected.box, dx=0.2)])
    assert calls[:2] == [2, 1]  # only the one that lies elsewhere
    calls.clear()
    predictor.predict_crops(np.zeros((3, 96, 96, 3), np.uint8), np.float32([[0, 0, 99, 99]] * 3))
    assert calls == [3]


def test_imported_releases_are_cut_by_the_box_alone(installed_cache, monkeypatch, photo, expected):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
    released = FaceGeometry("mb05")
    (face,) = released(photo, boxes=changed(expected.box, dx=0.15))
    (asked,) = FaceGeometry("mb05", recrop=True)(photo, boxes=changed(expected.box, dx=0.15))
    assert not np.array_equal(face.roi, asked.roi)


def test_a_false_box_beside_a_face_gives_no_second_face(photo, expected):
    class Twice:
        name = "twice"

        def __call__(self, image):
            boxes = np.stack([expected.box, changed(expected.box, dx=0.3, dy=0.2)])
            return Detections(boxes.astype(np.float32), np.float32([0.9, 0.6]))

    predictor = FaceGeometry(detector=Twice(), backend="onnxruntime", precision="fp32")
    (face,) = predictor(photo)
    assert difference(face, expected) < 0.8 and face.score == pytest.approx(0.9)


def test_boxes_of_another_form_are_noticed(predictor, photo, expected):
    x0, y0, x1, y1 = expected.box
    given = [40 + x0, y0, x1 - x0, y1 - y0]
    with pytest.raises(InvalidInputError, match="boxes_from"):
        predictor(photo, boxes=given)
    with pytest.warns(UserWarning, match="boxes_from"):
        predictor(photo, boxes=[[20, 20, 60, 70]])  # the wall
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = boxes_from("xywh", [x0, y0, x1 - x0, y1 - y0])
        (face,) = predictor(photo, boxes=right)
    assert difference(face, expected) < 0.1


def test_the_warning_is_of_the_callers_line_and_argument(predictor, photo, expected):
    wall = [[20, 20, 60, 70]]
    points = expected.landmarks[None, :, :2] / 8 + 20
    for ask, name in (
        (lambda: predictor(photo, boxes=wall), "boxes"),
        (lambda: predictor([photo], boxes=[wall]), "boxes"),
        (lambda: list(predictor.predict_photos([photo], [wall])), "boxes"),
        (lambda: predictor(photo, landmarks=points), "landmarks"),
    ):
        with pytest.warns(UserWarning, match=f"^{name}: expected .*of photo 0, 1 of 1") as caught:
            ask()
        (warning,) = caught
        assert warning.filename == __file__
        assert ("boxes" in str(warning.message)) == (name == "boxes")
