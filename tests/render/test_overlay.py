"""Meshes over photos."""

from __future__ import annotations

import numpy as np
import pytest
from test_zbuffer import HEIGHT, WIDTH, bumpy_head

from facegeo.bench.raster import ellipsoid
from facegeo.errors import InvalidImageError, InvalidInputError
from facegeo.render import draw_mesh, draw_textured, draw_wireframe, rasterize

PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
TRIANGLE = np.array([[20, 20, 0], [20, 160, 0], [200, 20, 0]], np.float32)


@pytest.mark.parametrize("draw", [draw_mesh, draw_wireframe])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_only_the_mesh_changes_and_the_photo_never(draw, samples):
    vertices, triangles = bumpy_head()
    before = PHOTO.copy()
    result = draw(PHOTO, vertices, triangles, samples=samples)
    np.testing.assert_array_equal(PHOTO, before)
    inside = rasterize(vertices, triangles, HEIGHT, WIDTH).covered
    # One pixel around the border may be touched by its samples.
    near = inside.copy()
    for axis in (0, 1):
        near |= np.roll(near, 1, axis) | np.roll(near, -1, axis)
    np.testing.assert_array_equal(result[~near], PHOTO[~near])
    assert (result[inside] != PHOTO[inside]).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("draw", [draw_mesh, draw_wireframe])
@pytest.mark.parametrize(
    ("vertices", "triangles"),
    [
        pytest.param(TRIANGLE, np.zeros((0, 3), int), id="no triangles"),
        pytest.param(TRIANGLE + 5000, [[0, 1, 2]], id="outside"),
        pytest.param(TRIANGLE - 5000, [[0, 1, 2]], id="outside, left and above"),
        pytest.param(np.zeros((0, 3, 3)), [[0, 1, 2]], id="no meshes"),
        pytest.param(TRIANGLE * [1, 0, 1], [[0, 1, 2]], id="no area"),
    ],
)
def test_nothing_to_draw_gives_the_photo(draw, vertices, triangles):
    result = draw(PHOTO, vertices, triangles)
    np.testing.assert_array_equal(result, PHOTO)
    assert result is not PHOTO


def test_opacity_mixes_linearly():
    vertices, triangles = bumpy_head()
    full = draw_mesh(PHOTO, vertices, triangles, opacity=1).astype(float)
    half = draw_mesh(PHOTO, vertices, triangles, opacity=0.5).astype(float)
    none = draw_mesh(PHOTO, vertices, triangles, opacity=0)
    np.testing.assert_array_equal(none, PHOTO)
    assert np.abs(half - (full + PHOTO) / 2).max() <= 1.01


def test_light_comes_from_the_upper_left():
    vertices, triangles = ellipsoid(2000, HEIGHT, WIDTH)
    black = np.zeros_like(PHOTO)
    grey = draw_mesh(black, vertices, triangles, color=(200, 200, 200), opacity=1)[..., 0]
    shaded = grey.astype(float)
    shaded[grey == 0] = np.nan
    middle_y, middle_x = HEIGHT // 2, WIDTH // 2
    assert np.nanmean(shaded[:middle_y, :middle_x]) > 1.3 * np.nanmean(shaded[middle_y:, middle_x:])


def test_border_is_smoothed_by_coverage():
    # The left border runs through the middle of pixels 20: half of each is covered.
    black = np.zeros_like(PHOTO)
    result = draw_mesh(black, TRIANGLE, [[0, 1, 2]], opacity=1, samples=4)[60, :, 0].astype(float)
    assert result[20] == pytest.approx(result[25] / 2, abs=1)
    assert result[19] == 0
    assert result[21] == pytest.approx(result[25], abs=1)


def test_wireframe_draws_edges_and_leaves_the_inside():
    black = np.zeros_like(PHOTO)
    drawn = draw_wireframe(black, TRIANGLE, [[0, 1, 2]], color=(0, 255, 0), opacity=1, thickness=4)
    rows, columns = np.nonzero(drawn[..., 1])
    x, y = columns - 20.0, rows - 20.0
    to_slanted = np.abs(x / 180 + y / 140 - 1) / np.hypot(1 / 180, 1 / 140)
    assert np.minimum(np.minimum(x, y), to_slanted).max() <= 3  # the lines: left, top, slanted
    assert (drawn[100, 21], drawn[21, 100]) == (pytest.approx([0, 255, 0]),) * 2
    assert (drawn[60, 60] == 0).all()


def test_hidden_edges_are_not_drawn():
    front = TRIANGLE + np.float32([-10, -10, 50])
    inner = np.array([[40, 40, 0], [40, 80, 0], [80, 40, 0]], np.float32)
    vertices = np.vstack([front, inner])
    alone = draw_wireframe(PHOTO, front, [[0, 1, 2]])
    both = draw_wireframe(PHOTO, vertices, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize("draw", [draw_mesh, draw_wireframe])
@pytest.mark.parametrize(
    "photo",
    [None, "photo.jpg", PHOTO[..., 0], PHOTO.astype(float), PHOTO[:0], np.dstack([PHOTO, PHOTO])],
)
def test_refuses_what_is_no_photo(draw, photo):
    with pytest.raises(InvalidImageError, match="image: expected a"):
        draw(photo, TRIANGLE, [[0, 1, 2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opacity": 1.5}, "opacity"),
        ({"opacity": float("nan")}, "opacity"),
        ({"samples": 0}, "samples"),
        ({"color": (1, 2)}, "color"),
        ({"thickness": 0}, "thickness"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(InvalidInputError, match=message):
        draw_wireframe(PHOTO, TRIANGLE, [[0, 1, 2]], **options)


@pytest.mark.parametrize("draw", [draw_mesh, draw_wireframe])
def test_refuses_vertices_that_are_not_finite(draw):
    with pytest.raises(InvalidInputError, match="vertices: expected finite"):
        draw(PHOTO, TRIANGLE * np.nan, [[0, 1, 2]])


@pytest.mark.parametrize("draw", [draw_mesh, draw_wireframe])
def test_engines_agree(draw):
    pytest.importorskip("numba")
    vertices, triangles = bumpy_head(2000)
    compiled = draw(PHOTO, vertices, triangles, implementation="numba").astype(int)
    assert np.abs(compiled - draw(PHOTO, vertices, triangles, implementation="numpy")).max() <= 1


#: Two triangles that fill a square of 80 pixels, and where its corners lie in a texture.
SQUARE = np.array([[20, 20, 0], [20, 100, 0], [100, 100, 0], [100, 20, 0]], np.float32)
HALVES = [[0, 1, 2], [0, 2, 3]]
CORNERS = np.array([[0, 1], [0, 0], [1, 0], [1, 1]], np.float32)
QUARTERS = np.zeros((4, 4, 3), np.uint8)
QUARTERS[:2, :2], QUARTERS[:2, 2:], QUARTERS[2:, :2] = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def test_a_texture_lies_as_its_coordinates_say():
    before = PHOTO.copy()
    drawn = draw_textured(PHOTO, SQUARE, HALVES, QUARTERS, CORNERS, lit=False)
    np.testing.assert_array_equal(PHOTO, before)
    # v = 1 is the texture's first row; the square faces the viewer, unturned.
    assert drawn[30, 30].tolist() == [200, 0, 0] and drawn[30, 90].tolist() == [0, 200, 0]
    assert drawn[90, 30].tolist() == [0, 0, 200] and drawn[90, 90].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(drawn[:, 102:], PHOTO[:, 102:])
    # Its own table of corners: the texture upside down.
    turned = draw_textured(PHOTO, SQUARE, HALVES, QUARTERS, CORNERS[::-1], HALVES, lit=False)
    assert turned[90, 90].tolist() != drawn[90, 90].tolist()


def test_light_leaves_a_surface_that_faces_the_viewer_as_it_is():
    white = np.full((4, 4, 3), 200, np.uint8)
    lit = draw_textured(PHOTO, SQUARE, HALVES, white, CORNERS)
    assert np.abs(lit[40:80, 40:80].astype(int) - 200).max() <= 1
    slanted = SQUARE + np.outer(SQUARE[:, 0] - 20, [0, 0, 2]).astype(np.float32)  # to the left
    away = SQUARE - np.outer(SQUARE[:, 0] - 20, [0, 0, 2]).astype(np.float32)
    left, right = (
        draw_textured(PHOTO, square, HALVES, white, CORNERS)[60, 60].mean()
        for square in (slanted, away)
    )
    assert left > right + 10  # the key light stands at the left


def test_each_face_has_its_own_texture_and_the_photo_shows_through():
    both = np.stack([SQUARE, SQUARE + np.float32([100, 0, 0])])
    one, two = (np.full((3, 5, 3), grey, np.uint8) for grey in (40, 240))
    drawn = draw_textured(PHOTO, both, HALVES, [one, two], CORNERS, lit=False)
    assert drawn[60, 60].tolist() == [40] * 3 and drawn[60, 160].tolist() == [240] * 3
    half = draw_textured(PHOTO, both, HALVES, [one, two], CORNERS, lit=False, opacity=0.5)
    assert np.abs(half - (drawn.astype(float) + PHOTO) / 2).max() <= 1.01
    none = draw_textured(PHOTO, both, HALVES, [one, two], CORNERS, opacity=0)
    np.testing.assert_array_equal(none, PHOTO)
    outside = draw_textured(PHOTO, both + 5000, HALVES, [one, two], CORNERS)
    np.testing.assert_array_equal(outside, PHOTO)


def test_textures_of_engines_agree():
    pytest.importorskip("numba")
    drawn = [
        draw_textured(PHOTO, SQUARE, HALVES, QUARTERS, CORNERS, implementation=name).astype(int)
        for name in ("numba", "numpy")
    ]
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"textures": QUARTERS[..., 0]}, "image: expected a"),
        ({"textures": [QUARTERS, QUARTERS]}, "textures: expected 1, got 2"),
        ({"uv": CORNERS[:3]}, "uv_triangles: expected indices from 0 to 2"),
        ({"uv_triangles": [[0, 1, 2]]}, "triangles: expected the raster's 2 rows"),
        ({"opacity": 2}, "opacity"),
    ],
)
def test_bad_textures_are_named(change, message):
    good = {"textures": QUARTERS, "uv": CORNERS}
    with pytest.raises(InvalidInputError, match=message):
        draw_textured(PHOTO, SQUARE, HALVES, **(good | change))
