"""The mesh kernel over tiles: the packed model, and the work for the threads."""

from __future__ import annotations

import numpy as np

from facegeo.ops.threads import run_parallel, split_range
from facegeo.ops.tile import BLOCK, FULL, INTEGER, LANES, build_tiles, pack_faces

#: Multiplications of a piece of work: 10 to 40 us, so that the first thread goes on with the next
#: ones while the others, which take as long to wake, are not there yet.
_PIECE = 2_000_000
_PIECES_PER_THREAD = 8


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
        num_modes, num_vertices = bases.shape[:2]
        self._threads = threads
        self._tiles = -(-num_vertices // LANES)
        self._steps = -(-num_modes // 2) if INTEGER else num_modes
        self._largest = np.abs(bases).max(axis=(1, 2), initial=0.0).astype(np.float64)
        self._mean = self._packed_mean(mean)
        self._basis = self._packed_basis(bases)

    def _packed_mean(self, mean: np.ndarray) -> np.ndarray:
        padded = np.zeros((self._tiles * LANES, 3), np.float32)
        padded[: len(mean)] = mean
        return _aligned(padded.reshape(self._tiles, LANES, 3).transpose(0, 2, 1))

    def _packed_basis(self, bases: np.ndarray) -> np.ndarray:
        """``(tiles, steps, 3, LANES * modes of a step)`` int16."""
        modes_of_step = 2 if INTEGER else 1
        stored = np.zeros((self._steps * modes_of_step, self._tiles * LANES, 3), np.int16)
        for mode, basis in enumerate(bases):  # one at a time: no float copy of all of them
            if self._largest[mode] > 0:
                stored[mode, : basis.shape[0]] = np.rint(basis * (FULL / self._largest[mode]))
        shape = (self._steps, modes_of_step, self._tiles, LANES, 3)
        packed = stored.reshape(shape).transpose(2, 0, 4, 3, 1)
        return _aligned(packed.reshape(self._tiles, self._steps, 3, LANES * modes_of_step))

    def __call__(self, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None:
        if len(coefficients) == 0:
            return
        packed, packed_pose = pack_faces(coefficients, self._largest, pose)
        work = out.size * (coefficients.shape[1] + 12)
        pieces = max(1, min(work // _PIECE, _PIECES_PER_THREAD * self._threads))
        calls = [
            (self._basis, self._mean, packed, packed_pose, out, *part)
            for part in split_range(self._tiles, pieces, BLOCK)
        ]
        run_parallel(build_tiles, calls, self._threads)
