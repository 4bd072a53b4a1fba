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
    # What networks say that know what is seen, and how sure they are.
    deviation = np.linspace(1, 9, 68, dtype=np.float32)
    covariance = np.square(deviation)[:, None, None] * np.eye(2, dtype=np.float32)
    seen = np.linspace(0, 1, 68, dtype=np.float32)
    return replace(face, visibility=seen, covariance=covariance)


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


def test_contours_are_the_landmarks_lines_without_their_points(face, sample_photo):
    black = np.zeros_like(sample_photo)
    lines, points = (annotate(black, [face], [style]) for style in ("contours", "landmarks"))
    jaw = face.landmarks[:17, :2]
    middle = np.rint((jaw[1:] + jaw[:-1]) / 2).astype(int)  # between two points
    drawn = cv2.dilate(lines.max(axis=2), np.ones((3, 3)))
    assert (drawn[middle[:, 1], middle[:, 0]] > 80).all()
    white = (points == 255).all(axis=2)
    assert white.any() and not (lines == 255).all(axis=2).any()
    apart = cv2.dilate(points.min(axis=2), np.ones((5, 5))) == 0
    assert np.array_equal(points[apart], lines[apart])


def test_the_outline_runs_around_what_is_seen_of_the_face(face, sample_photo):
    dense = dense_faces([face])
    black = np.zeros_like(sample_photo)
    drawn = annotate(black, [face], ["outline"], lambda: dense).max(axis=2) > 60
    seen = dense.raster(*black.shape[:2]).covered.astype(np.uint8)
    inside = cv2.distanceTransform(seen, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - seen, cv2.DIST_L2, 5)
    assert (inside[drawn] + outside[drawn]).max() < 4
    border = (seen == 1) & (inside < 1.5)
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7)))
    assert near[border].mean() > 0.98


def test_a_textured_face_has_the_photos_colours(face, sample_photo):
    dense = dense_faces([face])
    drawn = annotate(sample_photo, [face], ["textured"], lambda: dense)
    points = np.rint(face.landmarks[[27, 28, 29, 30, 2, 14], :2]).astype(int)
    before, after = (picture[points[:4, 1], points[:4, 0]] for picture in (sample_photo, drawn))
    assert np.abs(before.astype(int) - after).mean() < 40  # lit, and no other face
    assert np.array_equal(drawn[-150:], sample_photo[-150:])
    bare = replace(dense, model=replace(dense.model, uv=None, uv_triangles=None))
    with pytest.raises(InvalidInputError, match="textured needs texture coordinates"):
        annotate(sample_photo, [face], ["textured"], lambda: bare)


@pytest.mark.parametrize("style", ANNOTATORS)
def test_opacity_mixes_drawing_and_photo(face, sample_photo, style):
    faces = [replace(face, track_id=1)]
    dense = dense_faces(faces)
    full, half, none = (
        annotate(sample_photo, faces, [style], lambda: dense, opacity=opacity).astype(float)
        for opacity in (1, 0.5, 0)
    )
    assert np.array_equal(none, sample_photo)
    assert np.abs(half - (full + sample_photo) / 2).max() <= 1.01


@pytest.mark.parametrize("opacity", [1.5, -0.1, float("nan"), "half"])
def test_bad_opacities_are_named(face, sample_photo, opacity):
    with pytest.raises(InvalidInputError, match=r"opacity: expected a number in 0\.\.1"):
        annotate(sample_photo, [face], ["landmarks"], opacity=opacity)


def test_hidden_points_are_red_and_seen_ones_green(face, sample_photo):
    drawn = annotate(np.zeros_like(sample_photo), [face], ["visibility"])
    x, y = np.rint(face.landmarks[67, :2]).astype(int)
    assert np.abs(drawn[y, x].astype(int) - (110, 230, 90)).max() < 12
    hidden = replace(face, visibility=np.zeros(68, np.float32))
    drawn = annotate(np.zeros_like(sample_photo), [hidden], ["visibility"]).astype(int)
    painted = drawn[drawn.max(axis=2) > 200]
    assert len(painted) and (painted[:, 2] > painted[:, 1] + 100).all()


def test_ellipses_hold_nine_of_ten_errors(face):
    """A long ellipse, leaning to the lower right."""
    points = np.tile(np.float32([300, 300, 0]), (68, 1))
    points[36:48, 0] += np.arange(12)  # the line width follows the face's size
    long = np.float32([[500, 400], [400, 500]])
    one = replace(face, landmarks=points, covariance=np.tile(long, (68, 1, 1)))
    drawn = annotate(np.zeros((600, 600, 3), np.uint8), [one], ["uncertainty"])
    rows, columns = np.nonzero(drawn[..., 0] > 128)
    # Eigenvalues 900 and 100; sqrt(-2 log 0.1) = 2.146 deviations.
    along, across = (columns + rows) / np.sqrt(2), (columns - rows) / np.sqrt(2)
    assert np.ptp(along) / 2 == pytest.approx(30 * 2.146 + 4, abs=6)
    assert np.ptp(across) / 2 == pytest.approx(10 * 2.146 + 4, abs=6)


@pytest.mark.parametrize("name", ["visibility", "covariance"])
def test_what_a_network_does_not_tell_is_not_drawn(face, sample_photo, name):
    style = {"visibility": "visibility", "covariance": "uncertainty"}[name]
    unknown = replace(face, **{name: np.full_like(getattr(face, name), np.nan)})
    with pytest.raises(InvalidInputError, match=f"tells no {name}"):
        annotate(sample_photo, [unknown], [style])
