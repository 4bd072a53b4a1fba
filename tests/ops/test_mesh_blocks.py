"""Which blocks of the bases the kernel keeps, and that leaving the others out changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.mesh_problems import TOLERANCE_PX

from facegeo.bench.mesh import HEAD, random_faces, random_model
from facegeo.ops.blocks import plan_blocks
from facegeo.ops.mesh import MeshKernel
from facegeo.ops.reference import build_meshes


def test_modes_of_a_step_move_the_same_tiles():
    # Lefts belong together although they are not neighbours, and so do those that move all.
    left, right, everywhere = (1, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 0), (1, 1, 1, 1, 1, 1)
    occupied = np.array([left, everywhere, right, left, right, everywhere], bool)
    plan = plan_blocks(occupied, 2)
    assert plan.order.reshape(-1, 2).tolist() == [[1, 5], [0, 3], [2, 4]]


def test_an_odd_mode_has_no_partner():
    plan = plan_blocks(np.array([(1, 1, 0), (1, 1, 1), (1, 1, 1)], bool), 2)
    assert plan.order.tolist() == [1, 2, 0, -1]
    assert plan.starts.tolist() == [0, 2, 4, 5] and plan.steps.tolist() == [0, 1, 0, 1, 0]


def test_a_tile_has_the_steps_that_move_it_in_ascending_order():
    occupied = np.array([(1, 0, 0), (0, 0, 0), (1, 0, 1)], bool)
    plan = plan_blocks(occupied, 1)
    assert plan.order.tolist() == [0, 1, 2]
    assert plan.starts.tolist() == [0, 2, 2, 3] and plan.steps.tolist() == [0, 2, 2]


def test_a_dense_model_keeps_every_block():
    plan = plan_blocks(np.ones((5, 7), bool), 2)
    assert plan.starts.tolist() == [3 * tile for tile in range(8)]
    assert plan.steps.tolist() == [0, 1, 2] * 7


def _head(vertices: int):
    mean, bases = random_model(np.random.default_rng(0), vertices, *HEAD[1:])
    return mean, bases, *random_faces(np.random.default_rng(1), 19, HEAD.coefficients)


@pytest.mark.parametrize("vertices", [1, 47, 3001])
def test_local_modes_agree_with_float64(vertices):
    mean, bases, coefficients, pose = _head(vertices)
    out = np.full((len(pose), vertices, 3), np.nan, np.float32)
    MeshKernel(mean, bases)(coefficients, pose, out)
    # Local modes of the same root mean square are larger where they move anything.
    bound = TOLERANCE_PX * max(1, np.abs(bases).max() / 3)
    assert np.abs(out - build_meshes(mean, bases, coefficients, pose)).max() < bound


def test_what_is_left_out_changes_no_bit():
    pytest.importorskip("numba")
    mean, bases, coefficients, pose = _head(3001)
    sparse = MeshKernel(mean, bases)
    # One displacement in every tile keeps all blocks; at these vertices alone faces differ.
    touched = np.arange(0, 3001, 4)
    filled = bases.copy()
    largest = np.abs(bases).max(axis=(1, 2))
    filled[:, touched] = np.where(
        bases[:, touched].any(axis=2, keepdims=True), bases[:, touched], largest[:, None, None]
    )
    dense = MeshKernel(mean, filled)
    assert len(sparse._kernel._basis) < 0.75 * len(dense._kernel._basis)
    rest = np.setdiff1d(np.arange(3001), touched)
    got, expected = (kernel(coefficients, pose)[:, rest] for kernel in (sparse, dense))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("modes", [0, 3])
def test_a_model_that_never_moves(modes):
    mean, _, coefficients, pose = _head(37)
    got = MeshKernel(mean, np.zeros((modes, 37, 3)))(coefficients[:, :modes], pose)
    expected = build_meshes(mean, np.zeros((modes, 37, 3)), coefficients[:, :modes], pose)
    np.testing.assert_allclose(got, expected, atol=1e-3)
