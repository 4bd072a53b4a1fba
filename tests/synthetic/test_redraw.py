"""Crops drawn anew: what is around a face goes with it, and stays behind it."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.synthetic.redraw import Scene

SIZE = 60
FACE = np.s_[20:40, 20:40]
RED = (20, 20, 220)
CORNERS = np.float32([[19.5, 19.5, 5], [39.5, 19.5, 5], [39.5, 39.5, 5], [19.5, 39.5, 5]])
TRIANGLES = np.int32([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def scene() -> Scene:
    """A red square of depth 5 in the middle of a grey crop that grows brighter to the right."""
    crop = np.repeat(np.arange(SIZE, dtype=np.uint8)[None, :, None] + 100, SIZE, axis=0)
    crop = np.repeat(crop, 3, axis=2)
    crop[FACE] = RED
    scene = Scene.of(crop, CORNERS, TRIANGLES)
    assert scene is not None
    return scene


def test_around_the_face_counts_its_nearest_pixel(scene):
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    values = np.stack([columns, rows], axis=-1)
    found = scene.along(CORNERS[:, :2])
    assert found == pytest.approx(np.clip(values, 20, 39), abs=1e-4)
    assert (scene.points[..., 2] == 5).all()
    assert np.array_equal(scene.points[..., :2], values)


def test_without_a_face_there_is_no_scene():
    crop = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert Scene.of(crop, CORNERS + np.float32([100, 0, 0]), TRIANGLES) is None


@pytest.mark.parametrize("step", [-8, 8])
def test_a_face_that_moves_covers_what_is_around_it(scene, step):
    drawn = scene.drawn(scene.points + np.array([step, 0, 0]))
    assert (drawn[21:39, 21 + step : 39 + step] == RED).all()
    # Where it came from, its surroundings are stretched; far away nothing has changed.
    left = 14 if step > 0 else 36
    assert (drawn[25:35, left : left + 10, 2] < 200).all()
    still = scene.drawn(scene.points)
    assert np.array_equal(drawn[:, 50:], still[:, 50:])
    assert np.array_equal(drawn[:, :5], still[:, :5])


def test_a_face_that_shrinks_leaves_no_hole(scene):
    middle = np.array([29.5, 29.5, 5])
    drawn = scene.drawn(middle + 0.5 * (scene.points - middle))
    assert (drawn[27:33, 27:33] == RED).all()
    assert (drawn[22:24, 20:40, 2] < 200).all()
    assert drawn.min() > 15
