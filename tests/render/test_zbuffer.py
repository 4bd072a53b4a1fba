"""The z-buffer: against a ray test written differently, the fill rule, and both engines."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.bench.raster import ellipsoid
from facegeo.errors import BackendUnavailableError, InvalidInputError
from facegeo.ops.implementations import choose_implementation
from facegeo.render import (
    face_normals,
    interpolate,
    normalized_coordinates,
    pncc_image,
    rasterize,
    vertex_normals,
)

try:
    choose_implementation("numba")
    ENGINES = ("numba", "numpy")
except BackendUnavailableError:
    ENGINES = ("numpy",)

HEIGHT, WIDTH = 180, 240


def bumpy_head(num_triangles=6000, seed=0):
    """A head with bumps, so that some of its surface hides other parts of it."""
    vertices, triangles = ellipsoid(num_triangles, HEIGHT, WIDTH)
    rng = np.random.default_rng(seed)
    away = vertices - [WIDTH / 2, HEIGHT / 2, 0]
    wave = 1 + 0.15 * np.sin(away @ rng.normal(size=(3, 4)) * 0.2).sum(axis=1, keepdims=True)
    return (vertices + away * (wave - 1)).astype(np.float32), triangles


def ray_test(vertices, triangles, x, y):
    """The triangle hit first by the ray (x, y, +inf) -> (x, y, -inf), its weights, and z.

    Moeller-Trumbore over all triangles in float64; None if nothing is hit.
    """
    a, b, c = vertices[triangles].astype(np.float64).transpose(1, 0, 2)
    direction = np.array([0.0, 0.0, -1.0])
    origin = np.array([x, y, 1e4])
    p = np.cross(direction, c - a)
    determinant = np.einsum("ij,ij->i", b - a, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.einsum("ij,ij->i", origin - a, p) / determinant
        q = np.cross(origin - a, b - a)
        v = q @ direction / determinant
        distance = np.einsum("ij,ij->i", c - a, q) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1)
    if not hit.any():
        return None
    first = np.argmin(np.where(hit, distance, np.inf))
    weights = np.array([1 - u[first] - v[first], u[first], v[first]])
    return first, weights, origin[2] - distance[first]


@pytest.mark.parametrize("implementation", ENGINES)
def test_depth_and_pncc_equal_a_ray_test_on_200_random_pixels(implementation):
    vertices, triangles = bumpy_head()
    raster = rasterize(vertices, triangles, HEIGHT, WIDTH, implementation=implementation)
    mean = vertices * [1, -1, 1]
    code = normalized_coordinates(mean).astype(np.float64)
    pncc = pncc_image(raster, triangles, mean, implementation=implementation)
    rng = np.random.default_rng(1)
    hits = 0
    for i, j in zip(rng.integers(0, HEIGHT, 200), rng.integers(0, WIDTH, 200), strict=True):
        expected = ray_test(vertices, triangles, j, i)
        if expected is None:
            assert raster.triangle[i, j] == -1
            assert raster.depth[i, j] == -np.inf
            assert (pncc[i, j] == 0).all()
            continue
        hits += 1
        triangle, weights, z = expected
        assert raster.triangle[i, j] == triangle
        np.testing.assert_allclose(raster.barycentric[i, j], weights, atol=1e-4)
        np.testing.assert_allclose(raster.depth[i, j], z, atol=1e-3)
        np.testing.assert_allclose(pncc[i, j], weights @ code[triangles[triangle]], atol=1e-5)
    assert hits > 50


def covered(corners, implementation, size=8):
    vertices = np.array([[x, y, 0] for x, y in corners], np.float32)
    return rasterize(vertices, [[0, 1, 2]], size, size, implementation=implementation).covered


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (0, 2, 1), (2, 1, 0)])
def test_fill_rule_on_a_triangle_whose_edges_pass_through_pixel_centres(implementation, order):
    corners = [(1, 1), (5, 1), (1, 5)]
    got = covered([corners[k] for k in order], implementation)
    rows, columns = np.mgrid[:8, :8]
    # With its left and its top edge, without the slanted one.
    expected = (columns >= 1) & (rows >= 1) & (columns + rows < 6)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize("grid", [1.0, 0.5, 0.1, None])
def test_a_plane_cut_into_triangles_covers_each_pixel_once(implementation, grid):
    from scipy.spatial import Delaunay

    size = 24
    rng = np.random.default_rng(2)
    points = rng.uniform(0, size, (60, 2))
    if grid:  # corners and edges exactly on pixel centres
        points = np.unique(np.rint(points / grid) * grid, axis=0)
    points = np.vstack([points, [[-1, -1], [size, -1], [-1, size], [size, size]]])
    vertices = np.hstack([points, np.zeros((len(points), 1))]).astype(np.float32)
    triangles = Delaunay(vertices[:, :2]).simplices
    times = sum(
        rasterize(
            vertices, triangle[None], size, size, implementation=implementation
        ).covered.astype(int)
        for triangle in triangles
    )
    np.testing.assert_array_equal(times, np.ones((size, size), int))


@pytest.mark.skipif("numba" not in ENGINES, reason="needs Numba")
@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("kind", ["head", "soup", "lattice", "slivers"])
def test_engines_and_threads_agree_to_the_last_bit(kind, cull):
    rng = np.random.default_rng(3)
    if kind == "head":
        vertices, triangles = bumpy_head()
    else:
        vertices = rng.uniform(-80, 320, (400, 3)).astype(np.float32)
        if kind == "lattice":  # ties of depth, edges on centres, triangles without area
            vertices = np.rint(vertices / 20) * 20
        vertices[:3] *= 1e5  # larger than any picture
        triangles = rng.integers(0, 400, (600, 3))
        if kind == "slivers":
            a = rng.uniform(0, 200, (200, 3))
            b = a + rng.normal(size=(200, 3)) * 60
            c = (a + b) / 2 + rng.normal(size=(200, 3)) * 0.5
            vertices = np.stack([a, b, c], 1).reshape(-1, 3).astype(np.float32)
            triangles = np.arange(600).reshape(-1, 3)
    expected = rasterize(
        vertices, triangles, HEIGHT, WIDTH, cull_back_faces=cull, implementation="numpy"
    )
    assert expected.covered.sum() > 50
    for threads in (1, 3):
        got = rasterize(
            vertices,
            triangles,
            HEIGHT,
            WIDTH,
            cull_back_faces=cull,
            threads=threads,
            implementation="numba",
        )
        np.testing.assert_array_equal(got.triangle, expected.triangle)
        np.testing.assert_array_equal(got.depth, expected.depth)
        np.testing.assert_array_equal(got.barycentric, expected.barycentric)


@pytest.mark.parametrize("implementation", ENGINES)
def test_the_largest_z_is_seen_and_of_equal_ones_the_first_triangle(implementation):
    square = np.array([[-1, -1], [20, -1], [-1, 20]], np.float32)
    vertices = np.concatenate([np.column_stack([square, np.full(3, z)]) for z in (5, 9, 9, 1)])
    triangles = np.arange(12).reshape(4, 3)
    raster = rasterize(vertices, triangles, 4, 4, implementation=implementation)
    assert (raster.triangle == 1).all()
    assert (raster.depth == 9).all()


@pytest.mark.parametrize("implementation", ENGINES)
def test_several_meshes_share_one_buffer(implementation):
    vertices, triangles = bumpy_head()
    other = vertices + np.float32([40, 10, 5])
    raster = rasterize(
        np.stack([vertices, other]), triangles, HEIGHT, WIDTH, implementation=implementation
    )
    alone = [
        rasterize(v, triangles, HEIGHT, WIDTH, implementation=implementation)
        for v in (vertices, other)
    ]
    nearer = np.where(alone[1].depth > alone[0].depth, 1, 0)
    nearer[~alone[0].covered & ~alone[1].covered] = -1
    np.testing.assert_array_equal(raster.mesh, nearer)
    np.testing.assert_array_equal(raster.depth, np.maximum(alone[0].depth, alone[1].depth))
    # Attributes of each mesh: its own number.
    numbers = np.stack([np.full((len(vertices), 1), n, np.float32) for n in (0, 1)])
    drawn = interpolate(raster, triangles, numbers, background=-1, implementation=implementation)[
        ..., 0
    ]
    np.testing.assert_allclose(drawn, nearer, atol=1e-6)


def test_facing_rule():
    # Counter-clockwise seen from outside in the y-up model frame, outside towards the viewer.
    model = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0]], np.float32)
    photo = model * [1, -1, 1] + [1, 7, 0]
    front, back = [[0, 1, 2]], [[0, 2, 1]]
    assert face_normals(photo, np.array(front))[0] == pytest.approx([0, 0, 36])
    assert rasterize(photo, front, 9, 9, cull_back_faces=True).covered.any()
    assert not rasterize(photo, back, 9, 9, cull_back_faces=True).covered.any()
    assert rasterize(photo, back, 9, 9).covered.any()


def test_vertex_normals_of_an_ellipsoid_are_its_gradient():
    vertices, triangles = ellipsoid(20_000, HEIGHT, WIDTH)
    normals = vertex_normals(vertices, triangles)
    axes = np.array([0.3, 0.42, 0.36]) * HEIGHT
    gradient = (vertices - [WIDTH / 2, HEIGHT / 2, 0]) / axes**2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    assert (normals * gradient).sum(axis=1).min() > np.cos(np.radians(2))


def test_normals_without_triangles_are_zero():
    vertices = np.ones((4, 3), np.float32)
    assert (vertex_normals(vertices, np.zeros((0, 3), np.int32)) == 0).all()
    assert (vertex_normals(vertices, np.array([[0, 1, 2]])) == 0).all()


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize(
    ("vertices", "triangles"),
    [
        pytest.param(np.zeros((3, 3)), np.zeros((0, 3), int), id="no triangles"),
        pytest.param(np.zeros((0, 3)), np.zeros((0, 3), int), id="no vertices"),
        pytest.param(np.zeros((0, 5, 3)), [[0, 1, 2]], id="no meshes"),
        pytest.param(np.zeros((3, 3)), [[0, 1, 2]], id="no area"),
        pytest.param(np.eye(3) * 5 - 100, [[0, 1, 2]], id="left and above"),
        pytest.param(np.eye(3) * 5 + 1e6, [[0, 1, 2]], id="right and below"),
        pytest.param(np.eye(3) * 1e30 + 1e30, [[0, 1, 2]], id="very far"),
        pytest.param(np.eye(3) * 0.2 + 0.3, [[0, 1, 2]], id="between pixel centres"),
    ],
)
def test_nothing_to_see(implementation, vertices, triangles):
    raster = rasterize(vertices, triangles, 9, 11, implementation=implementation)
    assert raster.triangle.shape == (9, 11)
    assert not raster.covered.any()
    assert (raster.depth == -np.inf).all()
    assert (raster.barycentric == 0).all()
    assert (raster.mesh == -1).all()


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_small_pictures(implementation, height, width):
    vertices = np.array([[-99, -99, 2], [999, -99, 2], [-99, 999, 2]], np.float32)
    raster = rasterize(
        vertices, [[0, 1, 2]], height, width, threads=4, implementation=implementation
    )
    assert raster.covered.all()


GOOD = (np.zeros((3, 3)), [[0, 1, 2]], 9, 9)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, np.full((3, 3), np.nan), "vertices: expected finite"),
        (0, [[0, 0, 0], [1, 1, np.inf], [2, 2, 2]], "vertices: expected finite"),
        (0, np.zeros((3, 2)), r"vertices: expected shape \(V, 3\)"),
        (0, np.zeros(9), "vertices: expected shape"),
        (1, [[0, 1, 3]], "expected indices from 0 to 2, got 0 to 3"),
        (1, [[-1, 1, 2]], "expected indices from 0 to 2, got -1 to 2"),
        (1, [[0, 1, 2, 2]], r"triangles: expected shape \(F, 3\)"),
        (1, [[0.0, 1.5, 2.0]], "whole numbers"),
        (2, 0, "height: expected a whole number"),
        (3, 2.5, "width: expected a whole number"),
        (3, 10**6, "width: expected a whole number"),
    ],
)
def test_refuses_bad_input(position, value, message):
    arguments = [*GOOD]
    arguments[position] = value
    with pytest.raises(InvalidInputError, match=message):
        rasterize(*arguments)


def test_interpolate_refuses_attributes_that_do_not_fit():
    raster = rasterize(np.eye(3) * 8, [[0, 1, 2]], 9, 9)
    with pytest.raises(InvalidInputError, match="indices from 0 to 1"):
        interpolate(raster, [[0, 1, 2]], np.zeros((2, 1)))
    with pytest.raises(InvalidInputError, match="the raster's 1 rows"):
        interpolate(raster, [[0, 1, 2], [0, 1, 2]], np.zeros((3, 1)))
    with pytest.raises(InvalidInputError, match="attributes: expected finite"):
        interpolate(raster, [[0, 1, 2]], np.full((3, 1), np.nan))
