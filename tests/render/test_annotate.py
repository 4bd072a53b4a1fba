"""Annotators draw at the face, inside the photo, at any size."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facegeo.errors import InvalidInputError
from facegeo.render.annotate import ANNOTATORS, annotate, head_box
from facegeo.surface.dense import dense_faces


@pytest.fixture(scope="module")
def face(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    return face


@pytest.mark.parametrize("style", ANNOTATORS)
def test_the_photo_itself_is_not_touched(face, sample_photo, style):
    before = sample_photo.copy()
    faces = [replace(face, track_id=1)]
    drawn = annotate(sample_photo, faces, [style], lambda: dense_faces(faces))
    assert np.array_equal(sample_photo, before)
    assert (drawn != sample_photo).any()


def test_every_landmark_is_marked_where_it_is(face, sample_photo):
    drawn = annotate(np.zeros_like(sample_photo), [face], ["landmarks"])
    points = np.rint(face.landmarks[:, :2]).astype(int)
    assert (drawn[points[:, 1], points[:, 0]].max(axis=1) > 150).all()
    far = cv2.dilate((drawn > 0).any(axis=2).astype(np.uint8), np.ones((3, 3)))
    _, _, width, height = cv2.boundingRect(points[:, None].astype(np.int32))
    assert far.sum() < 0.6 * (width + 8) * (height + 8)


def test_the_head_box_holds_the_landmarks_and_turns_with_the_head(face):
    corners = head_box(face.landmarks, face.pose)
    upright = (corners * [1, -1, 1]) @ face.pose.rotation
    edges = upright[1] - upright[0], upright[2] - upright[1], upright[0] - upright[4]
    for edge, axis in zip(edges, np.eye(3), strict=True):
        assert np.allclose(np.cross(edge, axis), 0, atol=1e-6) and edge @ axis > 0
    points = (face.landmarks * [1, -1, 1]) @ face.pose.rotation
    low, high = upright.min(axis=0), upright.max(axis=0)
    inside = ((points[:, :2] >= low[:2] - 1) & (points[:, :2] <= high[:2] + 1)).all(axis=1)
    assert inside.mean() > 0.95
    # The front side is at the tip of the nose, the back behind the landmarks.
    assert abs(high[2] - points[:, 2].max()) < 0.1 * (high[2] - low[2])
    assert low[2] < points[:, 2].min()


@pytest.mark.parametrize("scale", [0.05, 1, 40])
def test_faces_of_any_size_and_beyond_the_border_can_be_drawn(face, scale):
    import dataclasses

    moved = dataclasses.replace(face, landmarks=face.landmarks * np.float32(scale) - 100)
    canvas = np.zeros((64, 48, 3), np.uint8)
    canvas = annotate(canvas, [moved], ANNOTATORS, lambda: dense_faces([moved]))
    assert canvas.shape == (64, 48, 3)


def test_unknown_styles_are_refused(sample_photo):
    with pytest.raises(InvalidInputError, match="landmarks"):
        annotate(sample_photo, [], ["moustache"])
