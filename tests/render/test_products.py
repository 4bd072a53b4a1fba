"""Pictures and facts from a z-buffer: depth, PNCC codes, visibility."""

from __future__ import annotations

import numpy as np
import pytest
from test_zbuffer import HEIGHT, WIDTH, bumpy_head, ray_test

from facegeo.errors import InvalidInputError
from facegeo.render import (
    decode_depth,
    depth_image,
    depth_map,
    encode_depth,
    normalized_coordinates,
    rasterize,
    vertex_normals,
    visible_vertices,
)


def test_visibility_equals_a_ray_test_on_300_vertices():
    vertices, triangles = bumpy_head()
    raster = rasterize(vertices, triangles, HEIGHT, WIDTH)
    seen = visible_vertices(raster, vertices, triangles)
    facing = vertex_normals(vertices, triangles)[:, 2]
    rng = np.random.default_rng(0)
    # Seen exactly edge-on a vertex is neither visible nor hidden.
    chosen = rng.permutation(np.flatnonzero(np.abs(facing) > 0.1))[:300]
    agree = []
    for vertex in chosen:
        x, y, z = vertices[vertex].astype(float)
        own = (triangles == vertex).any(axis=1)
        hit = ray_test(vertices, triangles[~own], x, y)
        if (hit is not None and 0 < hit[2] - z < 3) or not (0 <= x < WIDTH and 0 <= y < HEIGHT):
            continue  # within the slack, or outside the photo
        agree.append(seen[vertex] == (facing[vertex] > 0 and (hit is None or hit[2] <= z)))
    assert 50 < seen[chosen].sum() < 280
    assert np.mean(agree) >= 0.97  # what a picture of finite resolution cannot tell apart


def test_another_mesh_hides_vertices():
    vertices, triangles = bumpy_head()
    flat = np.array([[-9, -9, 500], [WIDTH, -9, 500], [-9, HEIGHT, 500]], np.float32)
    both = np.vstack([vertices, flat])
    cover = len(vertices) + np.array([[0, 2, 1]])
    raster = rasterize(both, np.vstack([triangles, cover]), HEIGHT, WIDTH)
    before = visible_vertices(rasterize(vertices, triangles, HEIGHT, WIDTH), vertices, triangles)
    after = visible_vertices(raster, vertices, triangles)
    covered = vertices[:, 0] / WIDTH + vertices[:, 1] / HEIGHT < 0.9
    assert before[covered].sum() > 100
    assert not after[covered].any()
    far = vertices[:, 0] / WIDTH + vertices[:, 1] / HEIGHT > 1.1
    np.testing.assert_array_equal(after[far], before[far])


def test_vertices_outside_the_photo_are_not_visible():
    vertices, triangles = bumpy_head()
    moved = np.stack([vertices, vertices + np.float32([WIDTH / 2, 0, 0])])
    raster = rasterize(moved, triangles, HEIGHT, WIDTH)
    seen = visible_vertices(raster, moved, triangles)
    assert seen.shape == (2, len(vertices))
    assert seen[1].any()
    assert not seen[1][moved[1, :, 0] > WIDTH].any()


def test_depth_image_uses_the_full_range_for_each_mesh():
    vertices, triangles = bumpy_head()
    small = np.stack([vertices * np.float32(0.4), vertices * np.float32(0.4) + 90])
    raster = rasterize(small, triangles, HEIGHT, WIDTH)
    image = depth_image(raster)
    for mesh in range(2):
        grey = image[raster.mesh == mesh]
        assert (grey.min(), grey.max()) == (40, 255)
    assert (image[~raster.covered] == 0).all()
    assert np.argmax(raster.depth) == np.argmax(np.where(raster.mesh == 1, image, 0))


def test_depth_image_of_nothing_is_black():
    raster = rasterize(np.zeros((3, 3)), np.zeros((0, 3), int), 4, 5)
    assert (depth_image(raster) == np.zeros((4, 5), np.uint8)).all()


def test_normalized_coordinates_span_zero_to_one_on_each_axis():
    mean = np.array([[-2, 0, 5], [2, 1, 5], [0, 4, 5]], np.float32)
    expected = [[0, 0, 0], [1, 0.25, 0], [0.5, 1, 0]]
    np.testing.assert_allclose(normalized_coordinates(mean), expected)
    with pytest.raises(InvalidInputError, match="at least one vertex"):
        normalized_coordinates(np.zeros((0, 3)))


#: Two triangles of constant depth, 12 and 7 pixels.
LEVEL = np.array([[[0, 0, 12], [0, 9, 12], [9, 0, 12]], [[30, 0, 7], [30, 9, 7], [39, 0, 7]]])


def test_a_depth_map_is_in_pixels_or_in_each_faces_millimetres():
    raster = rasterize(LEVEL, [[0, 1, 2]], 20, 50)
    pixels, millimetres = depth_map(raster), depth_map(raster, [0.5, 2])
    assert pixels.dtype == millimetres.dtype == np.float32
    assert (pixels[2, 2], pixels[2, 32]) == (12, 7)
    assert (millimetres[2, 2], millimetres[2, 32]) == (6, 14)
    for depth in (pixels, millimetres):
        np.testing.assert_array_equal(np.isnan(depth), ~raster.covered)
    with pytest.raises(InvalidInputError, match="mm_per_px: expected a number for each of 2"):
        depth_map(raster, [0.5])
    empty = rasterize(np.zeros((0, 3, 3)), [[0, 1, 2]], 4, 5)
    assert np.isnan(depth_map(empty, [])).all()


def test_a_depth_map_as_a_16_bit_image():
    depth = np.array([[np.nan, 0, 1.234, -20.5], [327.67, -327.67, 400, -400]])
    image = encode_depth(depth)
    assert image.dtype == np.uint16
    # By hand: 32768 is no depth, and a millimetre is 100 steps.
    assert image.tolist() == [[0, 32768, 32891, 30718], [65535, 1, 65535, 1]]
    back = decode_depth(image)
    np.testing.assert_allclose(back[0], depth[0], atol=0.0051)
    np.testing.assert_allclose(back[1], [327.67, -327.67, 327.67, -327.67], atol=1e-3)
    with pytest.raises(InvalidInputError, match="depth_mm: expected shape"):
        encode_depth(np.zeros((2, 2, 3)))
