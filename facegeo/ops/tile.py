"""The innermost loop of the mesh kernel: vector code, compiled for the processor at hand.

One *tile* is :data:`LANES` vertices of a few faces. Their sums over the modes stay in registers,
then the pose is applied and x, y, z are interleaved, so each vertex is written once and nothing of
the size of a mesh is ever stored in between. Loops written in Python reach a third of this: Numba
does not keep the sums in registers.

On x86 the sums are integers. Bases and coefficients are 16-bit fixed point; one instruction
multiplies 2 x 16 pairs and adds neighbours (``vpmaddwd``; LLVM fuses it with the addition into
``vpdpwssd`` where the processor has it), twice the rate of float32. The coefficients are scaled so
that no partial sum leaves 32 bits. Elsewhere the bases are converted and summed in float32.

This module imports Numba; it is imported when the first kernel is made. Code and loop share a file
because Numba renews its cache on disk when the file of the loop changes, and only then.
"""

from __future__ import annotations

import platform
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from facegeo.ops.jit import compiled


class Variant(NamedTuple):
    """Way in which tiles are computed on one kind of processor."""

    lanes: int  # vertices of a tile
    faces: int  # faces of a tile: 3 sums each must fit into the registers
    madd: str | None  # LLVM's name of the integer multiply-add; None: sums are float32


def choose_variant(features: str, machine: str) -> Variant:
    """The tile for a processor with these LLVM feature flags (``"+avx2,-avx512f,..."``)."""
    flags = set(features.split(","))
    if {"+avx512f", "+avx512bw"} <= flags:
        return Variant(16, 8, "llvm.x86.avx512.pmaddw.d.512")
    if "+avx2" in flags:
        return Variant(8, 3, "llvm.x86.avx2.pmadd.wd")
    return Variant(4, 8 if machine.lower() in ("arm64", "aarch64") else 3, None)


def _target_features() -> str:
    """Features of the processor that Numba compiles for; a user may have set another than ours."""
    settings: Any = config
    if settings.CPU_FEATURES is not None:
        return str(settings.CPU_FEATURES)
    return "" if settings.CPU_NAME else str(get_host_cpu_features())


# Compile-time constants of the loops. Numba's cache on disk is keyed by the same features.
VARIANT = choose_variant(_target_features(), platform.machine())
LANES, FACES = VARIANT.lanes, VARIANT.faces
INTEGER = VARIANT.madd is not None

#: Tiles of a cache block: their bases (25 to 80 kB) stay in the second-level cache while all faces
#: of the batch pass, and each face is written in runs of a few kilobytes.
BLOCK = 256 // LANES

#: float32 numbers of a packed pose: 3 rows of ``[A | t]``, then the scale of the integer sums.
POSE_STRIDE = 16
_SCALE = 12

#: The largest int16 that is used, so that a sign may change.
FULL = 32767
# 65535 * 32767 is the largest sum of products below 2**31.
_SUM_LIMIT = 65535

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_FLOATS = ir.VectorType(_F32, LANES)
_PAIRS = ir.VectorType(_I16, 2 * LANES)
_SUMS = ir.VectorType(_I32, LANES) if INTEGER else _FLOATS
_STORED = _PAIRS if INTEGER else ir.VectorType(_I16, LANES)
_STORED_BYTES = _STORED.count * 2


def _indices(values: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(values)), values)


class _Emitter:
    """Emits the code of one tile; a thin vocabulary over llvmlite's builder."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def address(self, base: Any, offset: Any) -> Any:
        return self.builder.add(base, _I64(offset) if isinstance(offset, int) else offset)

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=align)

    def store(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=4)

    def splat(self, scalar: Any, kind: Any) -> Any:
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _I32(0))
        return self.builder.shuffle_vector(first, undefined, _indices([0] * LANES))

    def call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        # Not llvm.fma, which is a library call for each number on processors without it.
        return self.call(f"llvm.fmuladd.v{LANES}f32", _FLOATS, [a, b, c])

    def accumulate(self, total: Any, stored: Any, coefficient: Any) -> Any:
        """``total + stored * coefficient`` for one step over the modes."""
        if not INTEGER:
            return self.multiply_add(stored, self.splat(coefficient, _FLOATS), total)
        pair = self.builder.bitcast(self.splat(coefficient, _SUMS), _PAIRS)
        return self.builder.add(total, self.call(str(VARIANT.madd), _SUMS, [stored, pair]))

    def interleave(self, xyz: list[Any]) -> list[Any]:
        """Three vectors x.., y.., z.. as three vectors of x y z x y z ..."""
        parts = []
        for part in range(3):
            lanes = [divmod(part * LANES + lane, 3) for lane in range(LANES)]
            from_xy = [LANES + vertex if axis == 1 else vertex for vertex, axis in lanes]
            with_z = [
                LANES + vertex if axis == 2 else lane for lane, (vertex, axis) in enumerate(lanes)
            ]
            mixed = self.builder.shuffle_vector(xyz[0], xyz[1], _indices(from_xy))
            parts.append(self.builder.shuffle_vector(mixed, xyz[2], _indices(with_z)))
        return parts


def _emit_sums(
    emit: _Emitter, basis: Any, steps: Any, count: Any, coefficients: Any, faces: int
) -> list[Any]:
    """Variables that hold the sums of the modes, three for each face."""
    builder = emit.builder
    zero = ir.Constant(_SUMS, None)
    # LLVM promotes these stack variables to registers.
    sums = [cgutils.alloca_once_value(builder, zero) for _ in range(3 * faces)]
    for variable in sums:
        builder.store(zero, variable)
    with cgutils.for_range(builder, count) as loop:
        row = emit.address(basis, builder.mul(loop.index, _I64(3 * _STORED_BYTES)))
        stored = [
            emit.load(emit.address(row, axis * _STORED_BYTES), _STORED, _STORED_BYTES)
            for axis in range(3)
        ]
        if not INTEGER:
            stored = [builder.sitofp(vector, _FLOATS) for vector in stored]
        place = emit.address(steps, builder.mul(loop.index, _I64(4)))
        step = builder.sext(emit.load(place, _I32), _I64)
        column = emit.address(coefficients, builder.mul(step, _I64(4 * faces)))
        for face in range(faces):
            scalar = emit.load(emit.address(column, 4 * face), _I32 if INTEGER else _F32)
            for axis in range(3):
                variable = sums[3 * face + axis]
                total = emit.accumulate(builder.load(variable), stored[axis], scalar)
                builder.store(total, variable)
    return sums


def _emit_face(emit: _Emitter, sums: list[Any], mean: list[Any], pose: Any, out: Any) -> None:
    """Mean and pose for the sums of one face, and the only write to memory."""

    def number(index: int) -> Any:
        return emit.splat(emit.load(emit.address(pose, 4 * index), _F32), _FLOATS)

    shaped = []
    for axis in range(3):
        total = emit.builder.load(sums[axis])
        if INTEGER:
            total = emit.builder.sitofp(total, _FLOATS)
            shaped.append(emit.multiply_add(total, number(_SCALE), mean[axis]))
        else:
            shaped.append(emit.builder.fadd(total, mean[axis]))
    posed = []
    for row in range(3):
        value = number(4 * row + 3)
        for axis in range(3):
            value = emit.multiply_add(shaped[axis], number(4 * row + axis), value)
        posed.append(value)
    for index, part in enumerate(emit.interleave(posed)):
        emit.store(part, emit.address(out, 4 * LANES * index))


@intrinsic(prefer_literal=True)
def compute_tile(typing_context, faces, basis, steps, count, coefficients, mean, pose, out, stride):  # type: ignore[no-untyped-def]
    """Write :data:`LANES` vertices of ``faces`` faces (a literal); pointers are plain addresses.

    Parameters
    ----------
    basis : address of (count, 3, LANES[, 2]) int16, aligned to a vector
    steps : address of (count,) int32, the step of each block of the basis
    count : blocks of the tile; a step is a pair of modes (integer sums) or a mode
    coefficients : address of (steps, faces), pairs of int16 or float32
    mean : address of (3, LANES) float32
    pose : address of (faces, POSE_STRIDE) float32
    out : address of the first vertex of the first face
    stride : bytes from a face to the next in ``out``
    """
    group = faces.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _, basis, steps, count, coefficients, mean, pose, out, stride = arguments
        emit = _Emitter(builder)
        sums = _emit_sums(emit, basis, steps, count, coefficients, group)
        means = [emit.load(emit.address(mean, 4 * LANES * axis), _FLOATS) for axis in range(3)]
        for face in range(group):
            _emit_face(
                emit,
                sums[3 * face : 3 * face + 3],
                means,
                emit.address(pose, 4 * POSE_STRIDE * face),
                emit.address(out, builder.mul(stride, _I64(face))),
            )
        return context.get_dummy_value()

    return types.void(faces, *[types.intp] * 8), generate


@compiled()
def pack_faces(coefficients, largest, order, pose):  # type: ignore[no-untyped-def]
    """Coefficients and poses in the order in which the tiles read them.

    Parameters
    ----------
    coefficients : (N, M) float32
    largest : (M,) float64
        What stands for 32767 in each basis.
    order : (steps * modes of a step,) int64
        Mode at each place of the steps, -1 for none.
    pose : (N, 3, 4) float32

    Returns
    -------
    packed : int16, four bytes for each face and step
        Groups of FACES faces interleaved, then single faces. Pairs of modes as 16-bit fixed point,
        or one mode as float32.
    packed_pose : (N, POSE_STRIDE) float32
    """
    num_faces, num_modes = coefficients.shape
    steps = len(order) // 2 if INTEGER else len(order)
    grouped = num_faces // FACES * FACES
    packed = np.zeros(2 * num_faces * steps, np.int16)
    floats = packed.view(np.float32)
    packed_pose = np.zeros((num_faces, POSE_STRIDE), np.float32)
    for face in range(num_faces):
        total = 0.0
        highest = 0.0
        for mode in range(num_modes):
            size = abs(coefficients[face, mode] * largest[mode])
            total += size
            highest = max(highest, size)
        # The finest unit with which neither a coefficient leaves 16 bits nor a sum 32; each
        # coefficient may be rounded up by half a unit.
        unit = max(total / (_SUM_LIMIT - num_modes), highest / FULL)
        for index in range(len(order)):
            mode = order[index]
            if mode < 0:
                continue
            weight = coefficients[face, mode] * largest[mode]
            step, half = (index // 2, index % 2) if INTEGER else (index, 0)
            place = face * steps + step
            if face < grouped:
                place = (face // FACES * steps + step) * FACES + face % FACES
            if not INTEGER:
                floats[place] = weight / FULL
            elif unit > 0:
                packed[2 * place + half] = np.int16(np.rint(weight / unit))
        for row in range(3):
            for column in range(4):
                packed_pose[face, 4 * row + column] = pose[face, row, column]
        packed_pose[face, _SCALE] = unit / FULL
    return packed, packed_pose


@compiled()
def build_tiles(basis, starts, steps, mean, coefficients, pose, out, first, last):  # type: ignore[no-untyped-def]
    """Tiles ``first`` to ``last`` of all faces; ``out`` is (N, V, 3), the rest is packed."""
    num_faces, num_vertices = out.shape[:2]
    face_numbers = len(coefficients) // num_faces  # 16-bit numbers of a face's coefficients
    block_bytes = basis.strides[0]
    face_bytes = 12 * num_vertices
    whole = num_vertices // LANES  # tiles that need no cutting
    grouped = num_faces // FACES * FACES
    scratch = np.empty((FACES, LANES, 3), np.float32)
    to_scratch = scratch.ctypes.data
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        face = 0
        while face < num_faces:
            group = FACES if face < grouped else 1
            row = coefficients.ctypes.data + 2 * face * face_numbers
            placed = pose.ctypes.data + 4 * POSE_STRIDE * face
            for tile in range(start, stop):
                block = starts[tile]
                count = starts[tile + 1] - block
                b = basis.ctypes.data + block * block_bytes
                s = steps.ctypes.data + 4 * block
                m = mean.ctypes.data + 12 * LANES * tile
                to, stride = out.ctypes.data + face * face_bytes + 12 * LANES * tile, face_bytes
                if tile >= whole:
                    to, stride = to_scratch, 12 * LANES
                if group == FACES:
                    compute_tile(FACES, b, s, count, row, m, placed, to, stride)
                else:
                    compute_tile(1, b, s, count, row, m, placed, to, stride)
                if tile >= whole:
                    for member in range(group):
                        for vertex in range(whole * LANES, num_vertices):
                            for axis in range(3):  # slices would triple the time to compile
                                out[face + member, vertex, axis] = scratch[
                                    member, vertex - whole * LANES, axis
                                ]
            face += group
