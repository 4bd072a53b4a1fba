"""The 52 expressions of the shipped head: names, lids, lips, gaze."""

from __future__ import annotations

import numpy as np
import pytest
from head_archive import FLIP, shipped

from facegeo.render import rasterize

ARKIT = [
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
]


def _rims(rest: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower rows of a slit's ring that is open."""
    place = rest[ring]
    inner, outer = place[np.argmin(place[:, 0])], place[np.argmax(place[:, 0])]
    chord = np.interp(place[:, 0], [inner[0], outer[0]], [inner[1], outer[1]])
    return ring[place[:, 1] > chord], ring[place[:, 1] <= chord]


def _height(vertices: np.ndarray, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    rim = vertices[rows[np.argsort(vertices[rows, 0])]]
    return np.interp(x, rim[:, 0], rim[:, 1])


def _lid_gap(vertices: np.ndarray) -> np.ndarray:
    head = shipped()
    ring = head.cage_ring("lid_lining")
    ring = ring[head.mean[ring, 0] > 0]
    upper, lower = _rims(head.mean, ring)
    x = np.linspace(24, 42, 19)
    return _height(vertices, upper, x) - _height(vertices, lower, x)


def test_names_are_arkits_52() -> None:
    assert shipped().arrays["expression_names"].tolist() == ARKIT


def test_open_lids_are_open() -> None:
    assert _lid_gap(shipped().mean).max() > 6


def test_lids_meet_at_one_and_do_not_pass_each_other() -> None:
    assert np.abs(_lid_gap(shipped().vertices(eyeBlinkLeft=1))).max() < 0.3


def test_lids_of_a_blink_that_squints_pass_each_other_by_little() -> None:
    """Squints lift the lower lid, and so add to a blink; human lids would stop each other."""
    gap = _lid_gap(shipped().vertices(eyeBlinkLeft=1, eyeSquintLeft=1))
    assert gap.min() > -1.5
    assert gap.max() < 0.3


def _people(count: int) -> list[np.ndarray]:
    """Neutral faces of random people within two deviations."""
    head = shipped()
    generator = np.random.default_rng(3)
    amounts = np.clip(generator.normal(size=(count, len(head.shape))), -2, 2).astype(np.float32)
    return [head.mean + np.tensordot(amount, head.shape, 1) for amount in amounts]


@pytest.mark.parametrize(
    "count", [20, pytest.param(200, marks=pytest.mark.once)], ids=["some", "two hundred"]
)
def test_lids_meet_in_everybody_and_stay_before_the_eyeball(count: int) -> None:
    head = shipped()
    ring = head.cage_ring("lid_lining")
    ring = ring[head.mean[ring, 0] > 0]
    upper, lower = _rims(head.mean, ring)
    blink = head.expression[ARKIT.index("eyeBlinkLeft")]
    ball = np.unique(head.fine.triangles[head.part == "eye_left"])
    back = ball[head.mean[ball, 2] < 0]
    skin = np.unique(head.fine.triangles[head.part == "skin"])
    skin = skin[np.linalg.norm(head.mean[skin] - head.arrays["eyes/centre"][1], axis=1) < 25]
    widest = []
    for person in _people(count):
        shut = person + blink
        x = np.linspace(shut[ring, 0].min() + 3.5, shut[ring, 0].max() - 3.5, 19)
        widest.append(np.abs(_height(shut, upper, x) - _height(shut, lower, x)).max())
        terms = np.concatenate([2 * person[back], np.ones((len(back), 1))], axis=1)
        fitted = np.linalg.lstsq(terms, (person[back] ** 2).sum(axis=1))[0]
        radius = np.sqrt(fitted[3] + (fitted[:3] ** 2).sum())
        for face in (person, shut):
            assert np.linalg.norm(face[skin] - fitted[:3], axis=1).min() > radius
    assert np.median(widest) < 0.3
    assert max(widest) < 0.8


@pytest.mark.parametrize("blink", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_eyeball_stays_behind_the_lids(blink: float) -> None:
    """The lining's seam to the skin is what comes closest to the ball."""
    head = shipped()
    vertices = head.vertices(eyeBlinkLeft=blink)
    skin = np.unique(head.fine.triangles[head.part == "skin"])
    centre = head.arrays["eyes/centre"][1]
    ball = np.unique(head.fine.triangles[head.part == "eye_left"])
    radius = np.linalg.norm(vertices[ball] - centre, axis=1).max()
    distance = np.linalg.norm(vertices[skin] - centre, axis=1)
    assert distance.min() > radius - 0.45
    assert (distance < radius - 0.2).sum() < 12


def test_lips_are_closed_at_rest() -> None:
    clearance = _clearance(shipped().mean, np.linspace(-19, 19, 39))
    assert np.abs(clearance).max() < 0.2


@pytest.mark.parametrize(
    "name",
    ["jawForward", "jawLeft", "mouthSmileLeft", "mouthPucker", "mouthStretchLeft", "cheekPuff"],
)
def test_lips_stay_closed_where_they_move_against_each_other(name: str) -> None:
    clearance = _clearance(shipped().vertices(**{name: 1.0}), np.linspace(-12, 12, 25))
    assert np.abs(clearance).max() < 0.2


def test_jaw_opens_the_mouth_and_mouth_close_shuts_it() -> None:
    head = shipped()
    opened, closed = head.vertices(jawOpen=1), head.vertices(jawOpen=1, mouthClose=1)
    upper, lower = (rows[np.abs(head.mean[rows, 0]) < 8] for rows in _lips())
    assert opened[upper, 1].min() - opened[lower, 1].max() > 20
    assert np.abs(_clearance(closed, np.linspace(-8, 8, 9))).max() < 1


def _lips() -> tuple[np.ndarray, np.ndarray]:
    """Fine rows near the line where the lips meet, of the upper and of the lower lip."""
    head = shipped()
    names = head.arrays["expression_names"].tolist()
    drop = head.expression[names.index("jawOpen")][:, 1]
    skin = np.unique(head.fine.triangles[head.part == "skin"])
    ring = head.mean[head.cage_ring("mouth_inside")]
    near = np.linalg.norm(head.mean[skin][:, None] - ring, axis=2).min(axis=1) < 5
    lips = skin[near]
    # Towards the corners the jaw takes both lips along.
    half = 0.5 * np.interp(np.abs(head.mean[lips, 0]), [0, 10, 23], drop[lips].min() * FADE)
    low = drop[lips] < half
    return lips[~low], lips[low]


#: How far the jaw still takes the lower lip down at 0, 10 and 23 mm from the middle.
FADE = np.array([1.0, 0.9, 0.55])


def _clearance(vertices: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Least vertical distance between the lips in each section along x; negative inside."""
    triangles = shipped().fine.triangles
    upper, lower = (triangles[np.isin(triangles, rows).all(axis=1)] for rows in _lips())
    z = np.linspace(vertices[lower, 2].min(), vertices[upper, 2].max(), 60)
    place = np.stack(np.meshgrid(x, z, indexing="ij"), axis=-1).reshape(-1, 2)
    low = _heights(vertices[upper], place, np.fmin)
    high = _heights(vertices[lower], place, np.fmax)
    return np.nanmin((low - high).reshape(len(x), -1), axis=1)


def _heights(corners: np.ndarray, place: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Lowest or highest y of triangles ``(F, 3, 3)`` at places ``(n, 2)`` in x and z; or NaN."""
    found = np.full(len(place), np.nan)
    flat = corners[..., [0, 2]]
    for corner, triangle in zip(corners, flat, strict=True):
        box = (place >= triangle.min(axis=0)) & (place <= triangle.max(axis=0))
        rows = np.flatnonzero(box.all(axis=1))
        matrix = np.concatenate([triangle.T, np.ones((1, 3))])
        if not len(rows) or abs(np.linalg.det(matrix)) < 1e-9:
            continue
        there = np.concatenate([place[rows].T, np.ones((1, len(rows)))])
        shares = np.linalg.solve(matrix, there)
        inside = (shares >= 0).all(axis=0)
        rows, height = rows[inside], corner[:, 1] @ shares[:, inside]
        found[rows] = choose(found[rows], height)
    return found


@pytest.mark.parametrize(
    ("name", "turn"), [("In", (-1, 0)), ("Out", (1, 0)), ("Up", (0, 1)), ("Down", (0, -1))]
)
def test_gaze_turns_the_left_eye_about_its_middle(name: str, turn: tuple[int, int]) -> None:
    head = shipped()
    pupil = head.arrays["landmarks/iris/rows"][9]
    centre = head.arrays["eyes/centre"][1]
    moved = head.vertices(**{f"eyeLook{name}Left": 1})
    ball = np.unique(head.fine.triangles[head.part == "eye_left"])
    before = np.linalg.norm(head.mean[ball] - centre, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved[ball] - centre, axis=1), before, atol=0.02)
    step = (moved - head.mean)[pupil, :2]
    assert step @ turn > 5
    assert abs(step @ turn[::-1]) < 0.01


def test_right_is_the_mirror_image_of_left() -> None:
    head = shipped()
    for name in ARKIT:
        if name.endswith("Left"):
            other = name.removesuffix("Left") + "Right"
            left, right = (head.vertices(**{side: 1.0}) for side in (name, other))
            np.testing.assert_allclose(right[head.mirror] * FLIP, left, atol=2e-3)


@pytest.mark.parametrize(
    "expressions",
    [
        {},
        {"jawOpen": 1.0},
        {"jawOpen": 1.0, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
        {"jawOpen": 1.0, "mouthClose": 1.0},
        {"mouthPucker": 1.0},
        {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
        {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "jawOpen": 0.5},
    ],
    ids=lambda expressions: "+".join(expressions) or "rest",
)
def test_teeth_never_leave_the_face(expressions: dict[str, float]) -> None:
    """Seen from the front, no tooth is a little before the skin, which would then be pierced."""
    head = shipped()
    vertices = head.vertices(**expressions)
    pixels = (vertices * [4, -4, 4] + [400, 200, 0]).astype(np.float32)
    skin = rasterize(pixels, head.fine.triangles[head.part == "skin"], 800, 900).depth
    teeth = np.unique(head.fine.triangles[np.isin(head.part, ["teeth_upper", "teeth_lower"])])
    column, row = np.round(pixels[teeth, :2]).astype(int).T
    before = (pixels[teeth, 2] - skin[row, column]) / 4
    assert not ((before > 0.1) & (before < 8)).any()


def test_upper_teeth_show_in_a_laugh_and_stay_behind_the_lips() -> None:
    head = shipped()
    laugh = head.vertices(
        jawOpen=0.35, mouthSmileLeft=0.9, mouthSmileRight=0.9, mouthUpperUpLeft=0.3,
        mouthUpperUpRight=0.3,
    )  # fmt: skip
    teeth = np.unique(head.fine.triangles[head.part == "teeth_upper"])
    lips = laugh[_lips()[0]]
    middle = np.abs(lips[:, 0]) < 6
    front = teeth[(np.abs(laugh[teeth, 0]) < 6) & (laugh[teeth, 2] > 0)]
    assert laugh[front, 1].min() < lips[middle, 1].min() - 1
    assert laugh[front, 2].max() < lips[middle, 2].max()
