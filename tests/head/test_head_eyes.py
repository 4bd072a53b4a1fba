"""Eyeballs of the shipped head as the model gives them."""

from __future__ import annotations

import numpy as np
import pytest
from head_archive import ASSET, FLIP, shipped

from facegeo.morphable import MorphableModel
from facegeo.render import rasterize


@pytest.fixture
def head(cache) -> MorphableModel:
    return MorphableModel.load(ASSET)


def sphere_centre(points: np.ndarray) -> np.ndarray:
    """Of the ball that fits points best: |p|^2 = 2 p c + (r^2 - |c|^2)."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    return np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]


def test_centres_and_irises_mirror(head: MorphableModel) -> None:
    eyes, mirror = head.eyes, head.mirror
    assert eyes is not None and mirror is not None
    np.testing.assert_allclose(eyes.centre[1], eyes.centre[0] * FLIP, atol=1e-4)
    assert eyes.iris.shape == (2, 9)
    assert set(mirror.vertices[eyes.iris[0]].tolist()) == set(eyes.iris[1].tolist())
    rest = np.zeros((1, head.num_shape)), np.zeros((1, head.num_expression))
    points = head.landmarks(*rest, layout="iris")[0]
    np.testing.assert_allclose(head.mean[eyes.iris].reshape(18, 3), points, atol=1e-4)
    assert eyes.radius[0] == pytest.approx(eyes.radius[1], rel=1e-3)
    # The left eye is the person's: at positive x.
    assert eyes.centre[1, 0] > 25


def test_centres_are_those_of_each_persons_eyeballs(head: MorphableModel) -> None:
    eyes = head.eyes
    assert eyes is not None
    shape = np.random.default_rng(2).normal(size=(6, head.num_shape)).astype(np.float32)
    still = np.zeros((6, head.num_expression), np.float32)
    vertices = head.vertices(shape, still).astype(np.float64)
    for side, part in enumerate(("eye_right", "eye_left")):
        rows = np.unique(head.triangles[head.part(part)])
        # All but the cornea, which bulges.
        behind = rows[head.mean[rows, 2] < head.mean[eyes.iris[side, 1:], 2].min() - 1]
        for person in range(6):
            found = eyes.centres(shape, still)[person, side]
            expected = sphere_centre(vertices[person, behind])
            assert np.linalg.norm(found - expected) < 0.3


def test_eyes_look_about_their_centre(head: MorphableModel) -> None:
    eyes = head.eyes
    assert eyes is not None
    rest = np.linalg.norm(head.mean[eyes.iris[1]] - eyes.centre[1], axis=1)
    for number, name in enumerate(head.expression_names):
        one = np.eye(head.num_expression, dtype=np.float32)[number : number + 1]
        shape = np.zeros((1, head.num_shape), np.float32)
        centre = eyes.centres(shape, one)[0, 1]
        assert np.linalg.norm(centre - eyes.centre[1]) < 0.1, name
        if name.startswith("eyeLook"):
            seen = head.mean[eyes.iris[1]] + head.expression_basis[number][eyes.iris[1]]
            away = np.linalg.norm(seen - centre, axis=1)
            # A mode is linear: an eye that turns grows a little.
            np.testing.assert_allclose(away, rest, rtol=0.12, err_msg=name)


def test_upper_lid_covers_the_iris_a_little_and_the_lower_reaches_it() -> None:
    """What the front of the left eye shows in the pupil's column, as in a relaxed human eye."""
    head = shipped()
    pupil, *rim = head.mean[head.arrays["landmarks/iris/rows"][9:]]
    radius = np.linalg.norm(np.array(rim)[:, :2] - pupil[:2], axis=1).mean()
    assert 5.5 < radius < 6.2
    scale, half = 20, 15  # pixels a millimetre; half the picture's height, millimetres
    corner = pupil + np.array([-half, half, 0])
    pixels = ((head.mean - corner) * [scale, -scale, scale]).astype(np.float32)
    seen = rasterize(pixels, head.fine.triangles, 2 * half * scale, 2 * half * scale).triangle
    eye = (seen >= 0) & (head.part[np.maximum(seen, 0)] == "eye_left")
    rows = np.flatnonzero(eye[:, half * scale])
    above, below = half - rows[0] / scale, (rows[-1] + 1) / scale - half
    assert 1.0 < radius - above < 2.0
    assert 0.0 < radius - below < 0.8
