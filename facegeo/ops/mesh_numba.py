"""The mesh kernel over tiles: the packed model, and the work for the threads."""

from __future__ import annotations

import numpy as np

from facegeo.ops.blocks import BlockPlan, plan_blocks
from facegeo.ops.threads import run_parallel, split_range
from facegeo.ops.tile import BLOCK, FULL, INTEGER, LANES, build_tiles, pack_faces

#: Multiplications of a piece of work: 10 to 40 us, so that the first thread goes on with the next
#: ones while the others, which take as long to wake, are not there yet.
_PIECE = 2_000_000
_PIECES_PER_THREAD = 8

MODES_OF_STEP = 2 if INTEGER else 1


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy whose data starts at a multiple of 64 bytes."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    copy: np.ndarray = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class NumbaMeshKernel:
    """Bases packed for the tiles of this processor; see :class:`facegeo.ops.mesh.MeshKernel`."""

    def __init__(self, mean: np.ndarray, bases: np.ndarray, threads: int) -> None:
        self._threads = threads
        self._tiles = -(-len(mean) // LANES)
        # Not np.abs(bases): a temporary of all modes takes thirty times as long.
        extremes = [(basis.max(initial=0.0), -basis.min(initial=0.0)) for basis in bases]
        self._largest = np.array([max(pair) for pair in extremes], np.float64)
        self._mean = self._packed_mean(mean)
        self._basis, self._plan = self._packed_basis(bases)
        self._multiplications = 3 * LANES * self._basis.shape[0] * MODES_OF_STEP

    def _packed_mean(self, mean: np.ndarray) -> np.ndarray:
        padded = np.zeros((self._tiles * LANES, 3), np.float32)
        padded[: len(mean)] = mean
        return _aligned(padded.reshape(self._tiles, LANES, 3).transpose(0, 2, 1))

    def _packed_basis(self, bases: np.ndarray) -> tuple[np.ndarray, BlockPlan]:
        """``(blocks, 3, LANES * modes of a step)`` int16: the blocks that are not all zero."""
        stored = np.zeros((len(bases) + 1, self._tiles, 3, LANES), np.int16)  # and padding
        padded = np.zeros((self._tiles * LANES, 3))
        tiled = padded.reshape(self._tiles, LANES, 3).transpose(0, 2, 1)
        for mode, basis in enumerate(bases):  # one at a time: no float copy of all of them
            if self._largest[mode] > 0:
                np.multiply(basis, FULL / self._largest[mode], out=padded[: len(basis)])
                stored[mode] = np.rint(tiled, out=tiled)
        plan = plan_blocks(np.asarray(stored[:-1].any(axis=(2, 3))), MODES_OF_STEP)
        packed = np.empty((len(plan.steps), 3, LANES, MODES_OF_STEP), np.int16)
        tiles = np.repeat(np.arange(self._tiles), np.diff(plan.starts))
        modes = plan.order.reshape(-1, MODES_OF_STEP)
        for place in range(MODES_OF_STEP):
            packed[..., place] = stored[modes[plan.steps, place], tiles]
        return _aligned(packed.reshape(len(packed), 3, LANES * MODES_OF_STEP)), plan

    def __call__(self, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None:
        if len(coefficients) == 0:
            return
        packed, packed_pose = pack_faces(coefficients, self._largest, self._plan.order, pose)
        work = len(out) * self._multiplications + 12 * out.size
        pieces = max(1, min(work // _PIECE, _PIECES_PER_THREAD * self._threads))
        model = self._basis, self._plan.starts, self._plan.steps, self._mean
        calls = [
            (*model, packed, packed_pose, out, *part)
            for part in split_range(self._tiles, pieces, BLOCK)
        ]
        run_parallel(build_tiles, calls, self._threads)
