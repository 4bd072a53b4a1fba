"""The ways to build meshes on a CPU that were measured before the kernel was written.

python benchmarks/mesh_kernel_study.py            # needs torch, onnx, onnxruntime, openvino, numba

Prints one row a candidate: microseconds a face at batch 1 and 64, and the largest error. What is
not installed is left out. Candidates that stop at the product, without mean and pose, say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from facegeo.bench.mesh import median_seconds, numpy_baseline, random_faces, random_model
from facegeo.ops.mesh import MeshKernel
from facegeo.ops.reference import build_meshes

VERTICES, MODES, THREADS = 53215, 50, 2

# name, function, its result (meshes (N, V, 3) or None where it has none to compare)
Candidate = tuple[str, Callable[[], Any], np.ndarray | None]


def numpy_ways(mean: Any, bases: Any, weights: Any, pose: Any, out: Any) -> Iterator[Candidate]:
    copy = np.zeros_like(out)
    yield "np.copyto of the output", lambda: np.copyto(copy, out), None
    yield "NumPy float32", numpy_baseline(mean, bases, weights, pose, out), out
    kernel = MeshKernel(mean, bases, implementation="numpy")
    yield "NumPy float32 in blocks (our fallback)", lambda: kernel(weights, pose, out), out


def torch_ways(mean: Any, bases: Any, weights: Any, pose: Any, out: Any) -> Iterator[Candidate]:
    import torch

    torch.set_num_threads(THREADS)
    basis, c = torch.from_numpy(bases.reshape(MODES, -1)), torch.from_numpy(weights)
    matrix = torch.from_numpy(np.ascontiguousarray(pose[:, :, :3].transpose(0, 2, 1)))
    shift = torch.from_numpy(np.ascontiguousarray(pose[:, None, :, 3]))
    flat_mean, result = torch.from_numpy(mean).view(1, -1), torch.from_numpy(out)
    for kind in (torch.float32, torch.bfloat16):
        b, w = basis.to(kind), c.to(kind)
        product = torch.empty(len(c), 3 * VERTICES, dtype=kind)
        name = f"PyTorch {str(kind).removeprefix('torch.')}, product only"
        yield name, lambda b=b, w=w, product=product: torch.mm(w, b, out=product), None

    def build() -> None:
        shaped = torch.addmm(flat_mean, c, basis).view(-1, VERTICES, 3)
        torch.baddbmm(shift, shaped, matrix, out=result)

    yield "PyTorch float32", build, out


def onnx_graph(mean: np.ndarray, bases: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def floats(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["weights", "basis"], ["product"]),
            helper.make_node("Add", ["product", "mean"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["shaped"]),
            helper.make_node("MatMul", ["shaped", "matrix"], ["turned"]),
            helper.make_node("Add", ["turned", "shift"], ["out"]),
        ],
        "mesh",
        [
            floats("weights", ["N", MODES]),
            floats("matrix", ["N", 3, 3]),
            floats("shift", ["N", 1, 3]),
        ],
        [floats("out", ["N", VERTICES, 3])],
        [
            numpy_helper.from_array(bases.reshape(MODES, -1), "basis"),
            numpy_helper.from_array(mean.reshape(1, -1), "mean"),
            numpy_helper.from_array(np.array([-1, VERTICES, 3]), "shape"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return data


def engine_ways(mean: Any, bases: Any, weights: Any, pose: Any, out: Any) -> Iterator[Candidate]:
    import onnxruntime

    data = onnx_graph(mean, bases)
    inputs = {
        "weights": weights,
        "matrix": np.ascontiguousarray(pose[:, :, :3].transpose(0, 2, 1)),
        "shift": np.ascontiguousarray(pose[:, None, :, 3]),
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(data, options)
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("out", "cpu", 0, np.float32, out.shape, out.ctypes.data)
    yield "ONNX Runtime float32", lambda: session.run_with_iobinding(binding), out

    import openvino

    core = openvino.Core()
    for kind in ("f32", "bf16"):
        how = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": kind}
        request = core.compile_model(core.read_model(data), "CPU", how).create_infer_request()
        for name, value in inputs.items():
            request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
        request.set_tensor("out", openvino.Tensor(out, shared_memory=True))
        yield f"OpenVINO {kind}", request.infer, out


def plain_numba(mean: Any, bases: Any, weights: Any, pose: Any, out: Any) -> Iterator[Candidate]:
    """Loops as one would write them: blocks in cache, vectorised by the compiler."""
    import numba

    from facegeo.ops.threads import run_parallel, split_range

    block = 512
    planes = np.ascontiguousarray(bases.transpose(0, 2, 1))
    mean_planes = np.ascontiguousarray(mean.T)

    @numba.njit(nogil=True, fastmath=True)
    def build(planes, mean, weights, pose, out, first, last):  # type: ignore[no-untyped-def]
        total = np.empty((3, block), np.float32)
        x, y, z = total[0], total[1], total[2]
        for start in range(first, last, block):
            stop = min(start + block, last)
            for face in range(len(out)):
                for axis in range(3):
                    summed = total[axis, : stop - start]
                    summed[:] = mean[axis, start:stop]
                    for mode in range(len(planes)):
                        c = weights[face, mode]
                        basis = planes[mode, axis, start:stop]
                        for k in range(stop - start):
                            summed[k] += c * basis[k]
                for row in range(3):
                    a, b, c, t = pose[face, row]
                    placed = out[face, start:stop]
                    for k in range(stop - start):
                        placed[k, row] = a * x[k] + b * y[k] + c * z[k] + t

    def run() -> None:
        pieces = split_range(VERTICES, 2 * THREADS, block)
        calls = [(planes, mean_planes, weights, pose, out, *part) for part in pieces]
        run_parallel(build, calls, THREADS)

    yield "Numba float32, plain loops", run, out


def ours(mean: Any, bases: Any, weights: Any, pose: Any, out: Any) -> Iterator[Candidate]:
    from facegeo.ops.tile import VARIANT

    kernel = MeshKernel(mean, bases, implementation="numba", threads=THREADS)
    kind = "integer" if VARIANT.madd else "float32"
    name = f"tiles of {VARIANT.lanes} vertices x {VARIANT.faces} faces, {kind} sums"
    yield name, lambda: kernel(weights, pose, out), out


def measure(ways: list[Callable[..., Iterator[Candidate]]]) -> dict[str, list[str]]:
    rng = np.random.default_rng(0)
    mean, bases = random_model(rng, VERTICES, MODES)
    table: dict[str, list[str]] = {}
    for batch in (1, 64):
        weights, pose = random_faces(rng, batch, MODES)
        out = np.zeros((batch, VERTICES, 3), np.float32)
        some = slice(0, 16)
        expected = build_meshes(mean, bases, weights[some], pose[some])
        for way in ways:
            try:
                for name, function, result in way(mean, bases, weights, pose, out):
                    seconds = median_seconds(function, budget=0.5)
                    error = "" if result is None else f"{np.abs(out[some] - expected).max():.4f}"
                    table.setdefault(name, []).extend([f"{1e6 * seconds / batch:.0f}", error])
            except ImportError as missing:
                print(f"left out: {missing}", file=sys.stderr)
    return table


def main() -> None:
    if "--tiles-only" not in sys.argv:
        table = measure([numpy_ways, torch_ways, engine_ways, plain_numba, ours])
        print("| way | µs a face, batch 1 | error, px | µs a face, batch 64 | error, px |")
        print("|---|--:|--:|--:|--:|")
    else:
        table = measure([ours])
    for name, cells in table.items():
        print("|", " | ".join([name, *cells]), "|", flush=True)
    if "--tiles-only" not in sys.argv:
        for features in ("+avx2,+fma,+avx,+sse4.2,+f16c,+bmi,+bmi2,+popcnt", "+sse4.2"):
            older = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
            command = [sys.executable, __file__, "--tiles-only"]
            subprocess.run(command, env={**os.environ, **older}, check=True)


if __name__ == "__main__":
    main()
