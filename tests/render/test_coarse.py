"""Coarser meshes on the vertices of dense ones."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.bench.raster import ellipsoid
from facegeo.errors import InvalidInputError
from facegeo.render import coarse_mesh
from facegeo.render.normals import signed_areas


def test_triangles_cover_the_surface_evenly_and_keep_their_side():
    vertices, triangles = ellipsoid(12_000, 400, 400)
    rows, coarse = coarse_mesh(vertices, triangles, 300)
    assert len(np.unique(rows)) == len(rows) == 300
    area = signed_areas(vertices[rows], coarse)
    # Facing as the dense ones; at the outline a few stand nearly edge-on.
    assert (area < 0).mean() > 0.98
    whole = signed_areas(vertices, triangles).sum()
    assert 0.85 < area.sum() / whole < 1.0  # less a seam along the border
    edges = np.linalg.norm(vertices[rows][coarse] - vertices[rows][np.roll(coarse, 1, 1)], axis=2)
    assert edges.max() < 4 * np.median(edges)
    # Euler: a disc without holes.
    pairs = np.unique(np.sort(np.stack([coarse, np.roll(coarse, 1, 1)], -1).reshape(-1, 2)), axis=0)
    assert len(np.unique(coarse)) - len(pairs) + len(coarse) == 1


def test_a_mesh_that_is_coarse_already_stays_and_unused_vertices_go():
    vertices = np.array([[9, 9, 9], [0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0]], np.float32)
    triangles = [[1, 3, 2], [2, 3, 4]]
    rows, coarse = coarse_mesh(vertices, triangles, 10)
    assert rows.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(rows[coarse], triangles)


def test_parts_without_a_chosen_vertex_are_left_out():
    dense, triangles = ellipsoid(2_000, 400, 400)
    speck = np.float32([[200, 200, 0], [200.1, 200, 0], [200, 200.1, 0]])
    vertices = np.vstack([dense, speck])
    rows, coarse = coarse_mesh(vertices, np.vstack([triangles, len(dense) + np.arange(3)]), 20)
    assert coarse.min() >= 0
    assert coarse.max() < len(rows)


def test_no_triangles_give_an_empty_mesh():
    rows, coarse = coarse_mesh(np.zeros((5, 3)), np.zeros((0, 3), int))
    assert rows.shape == (0,)
    assert coarse.shape == (0, 3)


def test_refuses_bad_input():
    with pytest.raises(InvalidInputError, match="count: expected 3"):
        coarse_mesh(np.eye(3), [[0, 1, 2]], 2)
    with pytest.raises(InvalidInputError, match="one mesh, got 2"):
        coarse_mesh(np.zeros((2, 3, 3)), [[0, 1, 2]])
