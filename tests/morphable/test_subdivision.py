"""Catmull-Clark subdivision of a cage, compared with values by hand and with geometry."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.errors import InvalidInputError
from facegeo.morphable.subdivision import Refinement, mirror_of_vertices, subdivide

CUBE = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
CORNERS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]
)
#: A flat sheet of 3 x 3 quads on 16 vertices.
SHEET = np.array(
    [[4 * r + c, 4 * r + c + 1, 4 * r + c + 5, 4 * r + c + 4] for r in range(3) for c in range(3)]
)
GRID = np.array([[c, r, 0] for r in range(4) for c in range(4)], float)


def _volume(points: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_points_on_a_cube_are_those_by_hand() -> None:
    """Every vertex lies where two steps take it, also where quads are split once only."""
    fine = subdivide(CUBE, np.ones(6, int), 8)
    points = fine.matrix @ CORNERS
    assert points.shape == (26, 3)
    # A corner of valence 3 goes to (Q + 2 R) / 3: middles of the quads and edges around it.
    corner, edge, quad = np.full(3, 2 / 9), np.array([0.5, 0.125, 0.125]), np.array([0.5, 0.5, 0])
    around = (corner + edge + quad + edge[[1, 0, 2]]) / 4
    middle = (corner + edge) / 2
    np.testing.assert_allclose(points[0], np.full(3, around.mean() + 2 * middle.mean()) / 3)


@pytest.mark.parametrize("levels", [[1] * 6, [2] * 6, [1, 2, 1, 1, 2, 1], [2, 1, 1, 1, 1, 1]])
def test_mixed_levels_stay_a_closed_surface(levels: list[int]) -> None:
    fine = subdivide(CUBE, np.array(levels), 8)
    np.testing.assert_allclose(fine.matrix.sum(axis=1), 1)
    pairs = np.stack([fine.triangles, np.roll(fine.triangles, -1, axis=1)], -1).reshape(-1, 2)
    edges, uses = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    assert (uses == 2).all()
    assert fine.matrix.shape[0] - len(edges) + len(fine.triangles) == 2
    assert 0.25 < _volume(fine.matrix @ CORNERS, fine.triangles) < 0.4


def test_first_rows_are_the_cages_vertices_and_sources_name_their_quad() -> None:
    fine = subdivide(SHEET, np.array([1, 1, 1, 1, 2, 1, 1, 1, 1]), 16)
    points = fine.matrix @ GRID
    np.testing.assert_allclose(points[5], GRID[5], atol=1e-12)
    middles = points[fine.triangles].mean(axis=1)
    for quad in range(9):
        inside = middles[fine.sources == quad]
        row, column = divmod(quad, 3)
        assert len(inside)
        assert (np.abs(inside[:, :2] - [column + 0.5, row + 0.5]) < 0.62).all()
    assert (fine.sources == 4).sum() == 32
    assert (fine.sources == 0).sum() == 8


def test_border_is_its_own_curve() -> None:
    """A cubic B-spline: 1/8, 3/4, 1/8, whatever lies beside it."""
    fine = subdivide(SHEET, np.ones(9, int), 16)
    row = fine.matrix[1].toarray()[0]
    once = np.zeros(16)
    once[[0, 1, 2]] = 1 / 8, 3 / 4, 1 / 8
    # The matrix stands for two steps at every vertex: the second acts on the first's border.
    twice = 0.75 * once
    twice[[0, 1]] += 0.125 * 0.5
    twice[[1, 2]] += 0.125 * 0.5
    np.testing.assert_allclose(row, twice)


def test_mirror_of_the_fine_vertices() -> None:
    mirror = np.array([1, 0, 3, 2, 5, 4, 7, 6])
    levels = np.array([2, 1, 1, 2, 1, 2])
    points = subdivide(CUBE, levels, 8).matrix @ (CORNERS - 0.5)
    reflected = mirror_of_vertices(CUBE, levels, mirror)
    np.testing.assert_allclose(points[reflected] * [-1, 1, 1], points, atol=1e-12)


def test_texture_follows_the_triangles_over_a_seam() -> None:
    """Two halves of the sheet laid out apart: every corner stays where its vertex is."""
    uv_faces = SHEET.copy()
    uv_faces[2::3] += 16
    levels = np.array([1, 1, 1, 1, 2, 1, 1, 1, 2])
    places = np.concatenate([GRID[:, :2], GRID[:, :2] + [0.5, 0]])
    fine_uv, triangles = Refinement(SHEET, levels, 16).texture(uv_faces, places)
    fine = subdivide(SHEET, levels, 16)
    assert triangles.shape == fine.triangles.shape
    uv = fine_uv[triangles].mean(axis=1)
    shift = np.where(fine.sources % 3 == 2, 0.5, 0.0)
    surface = (fine.matrix @ GRID)[fine.triangles].mean(axis=1)
    inner = fine.sources == 4
    np.testing.assert_allclose((uv[:, 0] - shift)[inner], surface[inner, 0], atol=0.07)


@pytest.mark.parametrize("levels", [[0] * 6, [3] * 6, [1] * 5])
def test_wrong_levels_are_refused(levels: list[int]) -> None:
    with pytest.raises(InvalidInputError, match="levels"):
        subdivide(CUBE, np.array(levels), 8)


@pytest.mark.parametrize(
    "faces",
    [
        [[0, 1, 2, 3], [0, 1, 4, 5], [1, 0, 6, 7]],  # three quads at an edge
        [[0, 1, 2, 3], [0, 4, 5, 6]],  # two sheets that touch in a vertex
    ],
)
def test_what_is_no_surface_is_refused(faces: list[list[int]]) -> None:
    with pytest.raises(InvalidInputError, match="faces: expected a surface"):
        subdivide(np.array(faces), np.ones(len(faces), int), np.max(faces) + 1)


@pytest.mark.parametrize("levels", [[1] * 9, [2] * 9, [1, 2, 1, 1, 2, 1, 2, 1, 1]])
def test_any_affine_map_goes_through(levels: list[int]) -> None:
    """Weights of a row add up to 1, at borders and within."""
    first, second = Refinement(SHEET, np.array(levels), 16).steps
    np.testing.assert_allclose(first.sum(axis=1), 1)
    np.testing.assert_allclose(second.sum(axis=1), 1)
