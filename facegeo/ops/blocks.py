"""Blocks of a morphable model's bases that hold anything: the sparse layout of the mesh kernel.

A *block* is what one step over the modes adds to one tile of vertices. Expressions move a part of
the face, so most of their blocks are zero in every stored digit: they are neither kept nor
multiplied, and the sums are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class BlockPlan(NamedTuple):
    """Order of the modes, and the blocks that are kept.

    Attributes
    ----------
    order : (steps * modes_of_step,) int64
        Mode at each place, -1 for padding; neighbours form a step.
    starts : (tiles + 1,) int64
        The blocks of tile t are ``starts[t]`` to ``starts[t + 1]``.
    steps : (blocks,) int32
        Step of each block, ascending in a tile.
    """

    order: np.ndarray
    starts: np.ndarray
    steps: np.ndarray


def plan_blocks(occupied: np.ndarray, modes_of_step: int) -> BlockPlan:
    """The plan for modes that are not zero in some of the tiles.

    Parameters
    ----------
    occupied : (M, tiles) bool
        Where a mode has a stored digit that is not zero.
    modes_of_step : int
        1 or 2. Of two, modes of a step are chosen to move the same vertices: a block is kept where
        either does.
    """
    num_modes, num_tiles = occupied.shape
    if modes_of_step == 2:
        order = np.array([mode for pair in _pairs(occupied) for mode in pair], np.int64)
    else:
        order = np.arange(num_modes, dtype=np.int64)
    padded = np.concatenate([occupied, np.zeros((1, num_tiles), bool)])  # -1 is the last row
    kept = padded[order].reshape(-1, modes_of_step, num_tiles).any(axis=1)
    tiles, steps = np.nonzero(kept.T)
    starts = np.searchsorted(tiles, np.arange(num_tiles + 1))
    return BlockPlan(order, starts.astype(np.int64), steps.astype(np.int32))


def _pairs(occupied: np.ndarray) -> Iterator[tuple[int, int]]:
    """Modes in pairs, the largest first, each with the one that adds the fewest tiles to it."""
    shared = occupied.astype(np.float32) @ occupied.T.astype(np.float32)
    own = np.diagonal(shared)
    left = np.argsort(-own, kind="stable")
    while len(left) > 1:
        first, left = left[0], left[1:]
        # Tiles that only one of them has are multiplied in vain for the other.
        wasted = own[first] + own[left] - 2 * shared[first, left]
        place = int(np.argmin(wasted))
        yield int(first), int(left[place])
        left = np.delete(left, place)
    if len(left):
        yield int(left[0]), -1
