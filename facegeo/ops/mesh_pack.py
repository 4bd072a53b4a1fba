"""Input of the GPU mesh kernel: the packed model, its arguments, the launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from facegeo.geometry.crop import CROP_SIZE, CropConvention

# The constants of facegeo/ops/csrc/mesh_core.h.
TILE_VERTICES: Final = 16
STEP_MODES: Final = 16
THREADS: Final = 128
_WARPS: Final = 4
_TILE_FACES: Final = 8
_SCALAR_FACES: Final = 4
_WEIGHT_PAD: Final = 8
_STAGED_BYTES: Final = 4 * _WARPS * _TILE_FACES * 60

#: From this batch on the tensor cores' products of 8 faces are worth their padding.
TENSOR_BATCH: Final = 8

#: Faces of a block: its vertices are read once for so many.
_CHUNK: Final = 64

#: Shared memory that every GPU gives a block without being asked.
_SHARED_BYTES: Final = 48 * 1024

#: A mode may be so many times as large as the mean's unit before that grows with it.
_LARGEST_SCALE: Final = 1024

#: Most blocks of a launch.
_LARGEST_GRID: Final = 2**31 - 1

#: Steps for which the kernel that keeps the basis in registers is compiled.
_KEPT_STEPS: Final = 4

OutputName = Literal["float32", "float16"]

#: ``MeshArgs`` of mesh_core.h, field for field.
ARGS: Final = np.dtype(
    [
        ("basis", np.uint64),
        ("scale", np.uint64),
        ("pose", np.uint64),
        ("coefficients", np.uint64),
        ("rois", np.uint64),
        ("out", np.uint64),
        ("vertices", np.int64),
        ("batch", np.int64),
        ("pose_stride", np.int64),
        ("coefficient_stride", np.int64),
        ("modes", np.int32),
        ("steps", np.int32),
        ("chunk", np.int32),
        ("frame", np.int32),
        ("half_output", np.int32),
        ("unit", np.float32),
        ("shift", np.float32),
        ("centre", np.float32),
        ("size", np.float32),
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class PackedModel:
    """A morphable model in the kernel's layout.

    Attributes
    ----------
    words : (tiles, steps, 3, 32, 4) uint32
        Pairs of halves in the order of the tensor cores' operand; see mesh_core.h.
    scale : (M,) float32
        What a coefficient is multiplied by: the stored mode times this, times ``unit``, is the
        mode. A power of two.
    unit : float
        Model units of a stored 1, a power of two.
    """

    words: np.ndarray
    scale: np.ndarray
    unit: float
    num_vertices: int

    @property
    def num_coefficients(self) -> int:
        """Modes of the model, without the mean's two."""
        return len(self.scale)

    @property
    def steps(self) -> int:
        """Products of 16 modes."""
        return int(self.words.shape[1])


class Launch(NamedTuple):
    """Launch parameters of a batch."""

    kernel: str
    grid: int  # blocks, in one dimension
    shared_bytes: int
    chunk: int  # faces of a block


class Pointers(NamedTuple):
    """Addresses on the device, and how far apart faces are, in floats."""

    basis: int
    scale: int
    pose: int
    coefficients: int
    out: int
    rois: int
    pose_stride: int
    coefficient_stride: int


def pack_model(mean: np.ndarray, bases: np.ndarray) -> PackedModel:
    """Pack a model.

    Parameters
    ----------
    mean : (V, 3) float array
    bases : (M, V, 3) float array
    """
    num_vertices, num_modes = len(mean), len(bases)
    tiles = -(-num_vertices // TILE_VERTICES)
    steps = -(-(num_modes + 2) // STEP_MODES)
    largest = [_power_of_two(float(np.abs(basis).max(initial=0.0))) for basis in bases]
    # Weights are coefficient * largest / unit in half precision: a mean that is tiny beside the
    # modes would send them beyond its range.
    least = max(largest, default=0.0) / _LARGEST_SCALE
    unit = max(_power_of_two(float(np.abs(mean).max(initial=0.0))), least)
    stored = np.zeros((steps * STEP_MODES, tiles * TILE_VERTICES, 3), np.float16)
    for mode, basis in enumerate(bases):  # one at a time: no float copy of all of them
        stored[mode, :num_vertices] = np.asarray(basis, np.float64) / largest[mode]
    scaled = np.asarray(mean, np.float64) / unit
    stored[num_modes, :num_vertices] = scaled
    rest = scaled - stored[num_modes, :num_vertices].astype(np.float64)
    stored[num_modes + 1, :num_vertices] = rest
    # Mode = 16 step + 8 h + 2 t + b, vertex = 16 tile + 8 r + g; lane = 4 g + t, word = 2 h + r,
    # b is the half within the word.
    parts = stored.reshape(steps, 2, 4, 2, tiles, 2, 8, 3).transpose(4, 0, 7, 6, 2, 1, 5, 3)
    halves = np.ascontiguousarray(parts).astype("<f2", copy=False)
    words = halves.view("<u4").reshape(tiles, steps, 3, 32, 4)
    scale = (np.array(largest, np.float64) / unit).astype(np.float32).reshape(num_modes)
    return PackedModel(words, scale, unit, num_vertices)


def plan_launch(model: PackedModel, batch: int) -> Launch:
    """The kernel and the number of its blocks for a batch of at least one face.

    Raises
    ------
    OverflowError
        If the batch needs more blocks than a launch may have.
    """
    tiles = len(model.words)
    chunk = _chunk_of(model.steps, batch)
    if batch < TENSOR_BATCH or chunk == 0:
        blocks = -(-tiles * 8 // THREADS) * -(-batch // _SCALAR_FACES)
        launch = Launch("facegeo_mesh_scalar", blocks, 0, _TILE_FACES)
    else:
        blocks = -(-tiles // _WARPS) * -(-batch // chunk)
        kept = model.steps == _KEPT_STEPS
        kernel = "facegeo_mesh_tensor4" if kept else "facegeo_mesh_tensor"
        launch = Launch(kernel, blocks, shared_bytes(model.steps, chunk), chunk)
    if launch.grid > _LARGEST_GRID:
        raise OverflowError(
            f"{batch} faces of {model.num_vertices} vertices need {launch.grid} blocks, a launch "
            f"has at most {_LARGEST_GRID}"
        )
    return launch


def shared_bytes(steps: int, chunk: int) -> int:
    """Shared memory of a block of the tensor path."""
    return 2 * chunk * (steps * STEP_MODES + _WEIGHT_PAD) + 48 * chunk + _STAGED_BYTES


def arguments(
    model: PackedModel,
    launch: Launch,
    pointers: Pointers,
    batch: int,
    convention: CropConvention | None,
    output: OutputName,
    size: int = CROP_SIZE,
) -> np.void:
    """The kernel's one argument.

    Parameters
    ----------
    convention : CropConvention or None
        None: the pose leads straight to the result. Else it leads to the pose's frame, and the
        result is in crop pixels, or in photo pixels where ``pointers.rois`` is not 0.
    """
    args = np.zeros((), ARGS)
    for name in Pointers._fields:
        args[name] = getattr(pointers, name)
    args["vertices"], args["batch"] = model.num_vertices, batch
    args["modes"], args["steps"], args["chunk"] = model.num_coefficients, model.steps, launch.chunk
    args["half_output"] = output == "float16"
    args["unit"] = model.unit
    if convention is not None:
        args["frame"] = 2 if pointers.rois else 1
        args["shift"], args["centre"], args["size"] = convention.shift, convention.centre, size
    record: np.void = args.reshape(1)[0]
    return record


def _chunk_of(steps: int, batch: int) -> int:
    """Faces of a block, a multiple of 8; 0 if not even 8 fit into shared memory."""
    chunk = min(_CHUNK, -(-batch // _TILE_FACES) * _TILE_FACES)
    while chunk and shared_bytes(steps, chunk) > _SHARED_BYTES:
        chunk -= _TILE_FACES
    return chunk


def _power_of_two(size: float) -> float:
    """The least power of two that is not below ``size``; 1 for 0."""
    return float(2.0 ** np.ceil(np.log2(size))) if size > 0 else 1.0
