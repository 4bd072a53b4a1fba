"""Rendered faces: what their truth says is what their pixels show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facegeo.conventions import LANDMARK_REGIONS, NUM_POSE
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CROP_SIZE, find_convention, pose_from_crop
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.synthetic.expressions import EYE_SHAPES
from facegeo.synthetic.head import EYE, LINING, SKIN, TEETH, TONGUE, HeadTables
from facegeo.synthetic.rendered import FaceRenderer, random_params
from facegeo.synthetic.shading import SUPERSAMPLING, paint, random_look
from facegeo.zoo.face_models import load_face_model

CONVENTION = find_convention("exact")
GREEN, BLUE = (0, 255, 0), (255, 0, 0)
RIGHT, LEFT = (list(LANDMARK_REGIONS[name]) for name in ("right_eye", "left_eye"))


@pytest.fixture(scope="module")
def head() -> HeadTables:
    return HeadTables(load_face_model("default", detail="low"), CONVENTION)


@pytest.fixture(scope="module")
def renderer(head) -> FaceRenderer:
    return FaceRenderer(head)


@pytest.fixture
def face(head):
    """Parameters of the mean face in a crop; keywords are blendshapes."""

    def make(yaw: float = 0, pitch: float = 0, **shapes: float) -> np.ndarray:
        affine = np.zeros((1, 3, 4))
        turned = rotation_from_euler(np.array([[yaw, pitch, 0]]))[0]
        affine[0, :, :3] = 0.62 * np.diag([1, -1, 1]) @ turned
        affine[0, :, 3] = 60, 50, 0
        params = np.zeros(NUM_POSE + head.num_shape + len(head.names), np.float32)
        params[:NUM_POSE] = pose_from_crop(affine, CONVENTION).ravel()
        for name, value in shapes.items():
            params[NUM_POSE + head.num_shape + head.names.index(name)] = value
        return params

    return make


@pytest.fixture(scope="module")
def photo(head) -> np.ndarray:
    """A crop of a flat face of one colour with blue eyes, drawn by hand."""
    rng = np.random.default_rng(0)
    return np.clip(rng.normal((110, 140, 190), 3, (CROP_SIZE, CROP_SIZE, 3)), 0, 255).astype("u1")


@pytest.fixture
def skin(renderer, face, photo):
    return renderer.skin(photo, face(), np.random.default_rng(0))


def both(**shapes: float) -> dict[str, float]:
    """The same on both sides."""
    return {f"{name}{side}": value for name, value in shapes.items() for side in ("Left", "Right")}


def green(image: np.ndarray) -> np.ndarray:
    """Pixels of a green iris."""
    return (image[..., 1] > 1.5 * image[..., 2]) & (image[..., 1] > 1.5 * image[..., 0])


@pytest.fixture(scope="module")
def look():
    drawn = random_look(np.random.default_rng(0))
    return dataclasses.replace(drawn, iris=np.float32(GREEN), pupil=0.0, gloss=0.0, lashes=0.3)


@pytest.mark.parametrize("side", [-0.8, -0.3, 0.0, 0.5])
@pytest.mark.parametrize("yaw", [0, 25])
def test_irises_lie_where_the_gaze_says(head, face, skin, look, side, yaw):
    # To the image's right the person's left eye looks out and the right one in.
    out, inwards = max(side, 0), max(-side, 0)
    params = face(
        yaw,
        **both(eyeWide=1.0),
        eyeLookOutLeft=out,
        eyeLookInRight=out,
        eyeLookInLeft=inwards,
        eyeLookOutRight=inwards,
    )
    painted = paint(head, params, skin, look)
    gaze = head.gaze(params[None])[0]
    assert np.linalg.norm(gaze, axis=1) == pytest.approx([1, 1], abs=1e-5)
    horizontal = np.degrees(np.arctan2(gaze[:, 0], gaze[:, 2]))
    assert horizontal == pytest.approx(2 * [30 * side - yaw], abs=1.5)

    model = head.eyes
    vertices = head.vertices(params[None])[0]
    for eye, part in enumerate(("eye_right", "eye_left")):
        ball = vertices[load_face_model("default", detail="low").regions[part]]
        centre = (ball.min(axis=0) + ball.max(axis=0)) / 2
        radius_px = np.ptp(ball[:, 1]) / 2
        expected = centre[:2] + gaze[eye, :2] * (1, -1) * radius_px * np.cos(0.4)
        rows, columns = np.nonzero(green(painted.colour) & (painted.kind == EYE))
        near = np.abs(columns / SUPERSAMPLING - centre[0]) < radius_px
        found = (np.array([columns[near].mean(), rows[near].mean()]) + 0.5) / SUPERSAMPLING - 0.5
        # Lids cut off what is above and below.
        assert abs(found[0] - expected[0]) < 1.0
        assert abs(found[1] - expected[1]) < 2.0
    assert model is not None


def test_shut_eyes_show_skin_and_open_ones_irises(head, face, skin, look):
    shut = paint(head, face(**both(eyeBlink=1.0)), skin, look)
    opened = paint(head, face(), skin, look)
    assert green(opened.colour).sum() > 40
    assert green(shut.colour).sum() == 0
    inside = np.isin(shut.kind, (EYE, LINING)).sum()
    assert inside < 0.05 * np.isin(opened.kind, (EYE, LINING)).sum()


@pytest.mark.parametrize("shape", ["eyeWide", "eyeBlink", "eyeLookDown", "eyeSquint"])
def test_landmarks_of_the_lids_lie_where_the_eye_ends(head, face, skin, look, shape):
    params = face(**both(**{shape: 0.4}))
    kind = paint(head, params, skin, look).kind
    points = (head.landmarks(params[None])[0, :, :2] + 0.5) * SUPERSAMPLING - 0.5
    off = []
    for index in (37, 38, 43, 44, 40, 41, 46, 47):
        x, y = points[index]
        column = np.flatnonzero(np.isin(kind[:, round(x)], (EYE, LINING)))
        upper = index in (37, 38, 43, 44)
        edge = column.min() - 0.5 if upper else column.max() + 0.5
        off.append((y - edge) / SUPERSAMPLING)
    assert np.abs(off).max() < 0.75 and abs(np.mean(off)) < 0.3


def test_half_a_blink_hides_about_half_of_the_eye(head, face, skin, look):
    seen = [
        (paint(head, face(**both(eyeBlink=value)), skin, look).kind == EYE).sum()
        for value in (0, 0.5, 0.8)
    ]
    assert 0.25 < seen[1] / seen[0] < 0.75 and seen[2] < 0.45 * seen[0]


def test_lids_have_no_colour_of_a_photos_eyes(renderer, head, face, photo):
    crop = photo.copy()
    for points in (RIGHT, LEFT):
        x, y = head.landmarks(face()[None])[0, points, :2].mean(axis=0).round().astype(int)
        crop[y - 2 : y + 3, x - 5 : x + 6] = BLUE
    skin = renderer.skin(crop, face(), np.random.default_rng(0))
    assert not ((skin.texture[..., 0] > 200) & (skin.texture[..., 2] < 60)).any()
    shut = paint(head, face(**both(eyeBlink=1.0)), skin, random_look(np.random.default_rng(1)))
    assert shut.colour[shut.kind == SKIN][:, 0].max() < 180


def test_tongues_and_teeth_come_out_of_open_mouths(head, face, skin, look):
    def pixels(kind: int, **shapes: float) -> int:
        return int((paint(head, face(**shapes), skin, look).kind == kind).sum())

    assert pixels(TONGUE, jawOpen=0.3, tongueOut=1.0) > 60 > pixels(TONGUE)
    assert pixels(TEETH, **both(mouthSmile=1.0, mouthUpperUp=0.7), jawOpen=0.15) > 40
    assert pixels(TEETH) < 5


@pytest.mark.parametrize("yaw", [80, -80])
def test_a_turned_head_hides_its_far_eye(renderer, face, skin, yaw):
    background = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    drawn = renderer.alone(face(yaw), skin, background, np.random.default_rng(0))
    # A positive yaw turns the face to the image's left: the person's right eye goes away.
    far, near = (RIGHT, LEFT) if yaw > 0 else (LEFT, RIGHT)
    assert drawn.hidden[far].sum() >= 4 and not drawn.hidden[near].any()
    front = renderer.alone(face(), skin, background, np.random.default_rng(0))
    assert not front.hidden[LANDMARK_REGIONS["jaw"].stop :].any()


def test_the_same_generator_gives_the_same_face(renderer, head, skin):
    background = np.full((CROP_SIZE, CROP_SIZE, 3), 90, np.uint8)

    def drawn(seed: int):
        rng = np.random.default_rng(seed)
        return renderer.alone(random_params(rng, head), skin, background, rng)

    first, again, other = drawn(3), drawn(3), drawn(4)
    for field in dataclasses.fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.crop, other.crop)


def test_only_the_eyes_of_a_photo_change(renderer, head, face, photo, skin):
    before = face(jawOpen=0.3)
    landmarks = head.landmarks(before[None])[0] + np.float32(0.7)
    expression = before[NUM_POSE + head.num_shape :].copy()
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        expression[head.names.index(name)] = 1
    rng = np.random.default_rng(0)
    drawn = renderer.over_photo(photo, before, landmarks, expression, skin, rng, only_eyes=True)
    eyes = RIGHT + LEFT
    rest = np.setdiff1d(np.arange(68), eyes)
    assert np.flatnonzero(drawn.drawn).tolist() == sorted(eyes)
    # Elsewhere the photo's own points count; at the eyes those that were drawn.
    assert np.abs(drawn.landmarks[rest] - landmarks[rest]).max() < 0.3
    exact = head.landmarks(drawn.params[None])[0]
    assert drawn.landmarks[eyes] == pytest.approx(exact[eyes], abs=1e-4)
    opening = drawn.landmarks[[41, 46], 1] - drawn.landmarks[[37, 44], 1]
    assert (opening < 0.3 * (landmarks[[41, 46], 1] - landmarks[[37, 44], 1])).all()
    assert drawn.known.tolist() == [name in EYE_SHAPES for name in head.names]
    changed = np.abs(drawn.crop.astype(int) - photo).max(axis=2) > 12
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed.sum() > 30
    assert rows.max() < landmarks[LANDMARK_REGIONS["nose_base"], 1].min()


def test_a_mouth_opens_in_a_photo(renderer, head, face, photo, skin):
    before = face()
    expression = np.zeros(len(head.names), np.float32)
    expression[head.names.index("jawOpen")] = 0.8
    landmarks = head.landmarks(before[None])[0]
    rng = np.random.default_rng(0)
    drawn = renderer.over_photo(photo, before, landmarks, expression, skin, rng)
    lips = drawn.landmarks[[62, 66]]
    x, y = lips[:, :2].mean(axis=0).round().astype(int)
    assert lips[1, 1] - lips[0, 1] > 8
    dark = drawn.crop[y - 2 : y + 3, x - 3 : x + 4].mean()
    assert dark < 0.6 * photo.mean()
    assert drawn.known.all() and drawn.drawn[48:68].all() and not drawn.drawn[:17].any()


def test_a_model_without_texture_coordinates_is_refused():
    model = MorphableModel.default()
    bare = dataclasses.replace(model, uv=None, uv_triangles=None)
    with pytest.raises(InvalidInputError, match="texture coordinates"):
        HeadTables(bare, CONVENTION)
