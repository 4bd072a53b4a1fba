"""Faces that lean, lie on their side or stand on their head."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.errors import InvalidInputError
from facegeo.images import load_photo
from facegeo.images.demo import sample_photo


@pytest.fixture(scope="module")
def photo():
    return sample_photo()


@pytest.fixture(scope="module")
def predictors():
    how = {"backend": "onnxruntime", "device": "cpu", "precision": "fp32"}
    return {name: FaceGeometry(rotations=name, **how) for name in ("upright", "any")}


@pytest.fixture(scope="module")
def expected(predictors, photo):
    (face,) = predictors["upright"](photo)
    return face


def turned(photo, degrees):
    """The photo turned clockwise about its middle, and where its points are then."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    return cv2.warpAffine(photo, matrix, (width, height)), matrix


def checked(face, expected, matrix, degrees):
    """Points, roll and mesh are those of the upright face, turned."""
    points = expected.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    size = np.sqrt(np.ptp(expected.landmarks[:, :2], axis=0).prod())
    assert np.linalg.norm(face.landmarks[:, :2] - points, axis=1).mean() < 0.03 * size
    off = (face.pose.roll - expected.pose.roll - degrees + 180) % 360 - 180
    assert abs(off) < 4
    assert abs(face.pose.yaw - expected.pose.yaw) < 10
    rows = face.mesh_source.morphable.landmark_rows
    assert np.abs(face.coarse_mesh.vertices[rows] - face.coarse_landmarks).max() < 0.05


@pytest.mark.parametrize("degrees", [30, -30, 45, -45, 60])
@pytest.mark.parametrize("rotations", ["upright", "any"])
def test_a_head_that_leans_is_measured_rightly(predictors, photo, expected, degrees, rotations):
    image, matrix = turned(photo, degrees)
    (face,) = predictors[rotations](image)
    checked(face, expected, matrix, degrees)
    assert face.roi_rotation == pytest.approx(degrees, abs=12)


@pytest.mark.parametrize("degrees", [75, 90, 110, 135, 180, -75, -90, -135])
def test_any_rotation_is_found_where_it_is_asked_for(predictors, photo, expected, degrees):
    image, matrix = turned(photo, degrees)
    (face,) = predictors["any"](image)
    checked(face, expected, matrix, degrees)
    for face in predictors["upright"](image):  # the true face or none
        checked(face, expected, matrix, degrees)


def test_an_upright_face_takes_no_further_search(photo):
    predictor = FaceGeometry(rotations="any", backend="onnxruntime", device="cpu")
    searched = []
    find = predictor.detector

    class Counting:
        name = "counting"

        def __call__(self, image):
            searched.append(image.shape)
            return find(image)

    counted = FaceGeometry(rotations="any", detector=Counting(), backend="onnxruntime")
    assert len(counted(photo)) == 1 and len(searched) == 1
    assert len(counted(cv2.rotate(photo, cv2.ROTATE_180))) == 1 and len(searched) == 5


def test_boxes_of_the_callers_are_not_searched_for(predictors, photo, expected):
    image, matrix = turned(photo, 45)
    corners = expected.box.reshape(2, 2)[[[0, 0], [1, 0], [1, 1], [0, 1]], [0, 1]]
    there = corners @ matrix[:, :2].T + matrix[:, 2]
    (face,) = predictors["upright"](image, boxes=[*there.min(axis=0), *there.max(axis=0)])
    checked(face, expected, matrix, 45)


def test_a_video_follows_a_head_that_turns_over(predictors, photo, expected):
    """A clip in which the picture turns by 6 degrees a frame, once round."""
    frames = [turned(photo, 6.0 * k) for k in range(60)]
    with predictors["any"].stream([image for image, _ in frames], smooth=False) as stream:
        seen = [frame.faces for frame in stream]
    assert {face.track_id for faces in seen for face in faces} == {1}
    assert sum(len(faces) == 1 for faces in seen) >= 58
    for k, ((_, matrix), faces) in enumerate(zip(frames, seen, strict=True)):
        for face in faces:
            checked(face, expected, matrix, 6.0 * k)


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135, 180, -90, -135])
@pytest.mark.parametrize("rotations", ["upright", "any"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_stream_is_as_right_as_a_photo(predictors, photo, expected, degrees, rotations, padded):
    edge, shift = (200, np.array([[0, 0, 200], [0, 0, 200]])) if padded else (0, 0)
    image, matrix = turned(photo, degrees)
    image = cv2.copyMakeBorder(image, *[edge] * 4, cv2.BORDER_CONSTANT)
    there = predictors[rotations](image)
    with predictors[rotations].stream([image] * 4, smooth=False) as stream:
        for frame in stream:
            assert len(frame.faces) == len(there)
            for face in frame.faces:
                checked(face, expected, matrix + shift, degrees)


@pytest.mark.parametrize("degrees", [-45, -48, 45, 180])
def test_a_photo_with_black_corners_shows_the_true_face_or_none(predictors, shared, degrees):
    photo = load_photo(shared / "data" / "photos" / "JianzhuGuo.jpg")
    photo = cv2.resize(photo, None, fx=1000 / 551, fy=1000 / 551)
    (true,) = predictors["upright"](photo)
    height, width = photo.shape[:2]
    side = int(np.hypot(height, width))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
    image = cv2.warpAffine(photo, matrix, (side, side))
    points = true.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    found = {name: predictor(image) for name, predictor in predictors.items()}
    assert len(found["any"]) == 1
    for face in found["any"] + found["upright"]:
        assert np.linalg.norm(face.landmarks[:, :2] - points, axis=1).mean() < 10


def test_what_is_asked_for_is_checked():
    with pytest.raises(InvalidInputError, match="rotations: expected 'upright' or 'any'"):
        FaceGeometry(rotations="all")
