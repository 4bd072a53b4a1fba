"""Speed and accuracy of the mesh kernel beside NumPy and beside a copy of its output.

All three take turns in one process on the same random model, each warm and into buffers that exist
already. The copy is the least that any code which writes N meshes can cost.

There are two models: one of the size of Basel's, and one like a whole head, whose expressions move
a part of it each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from facegeo.bench.timing import announce, medians
from facegeo.ops.mesh import MeshKernel
from facegeo.ops.reference import build_meshes

DEFAULT_BATCHES = (1, 8, 64, 256, 1024)


class ModelSize(NamedTuple):
    """Size of a random model; ``local`` of its modes, the last, move few vertices each."""

    vertices: int
    coefficients: int
    local: int = 0


BASEL = ModelSize(53215, 50)
HEAD = ModelSize(43661, 112, 52)

#: Share of the vertices that two local modes move together, in runs of so many: a third of the
#: kernel's blocks of two modes hold anything then, as in the head's own order of vertices.
_LOCAL_SHARE = 0.28
_LOCAL_RUN = 45

_WIDTH_PX = 100.0  # width of the mean face
_MODE_RMS_PX = 0.5  # root mean square displacement of a vertex at one standard deviation
_ERROR_FACES = 16  # faces that are compared with float64 at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench mesh``, with the defaults of :func:`run_mesh_benchmark`."""
    parser.add_argument("--batches", type=int, nargs="+", default=list(DEFAULT_BATCHES))
    parser.add_argument("--vertices", type=int, default=BASEL.vertices)
    parser.add_argument("--coefficients", type=int, default=BASEL.coefficients)
    parser.add_argument(
        "--local", type=int, default=BASEL.local, help="coefficients that move few vertices each"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--engine",
        dest="implementation",
        choices=("auto", "numba", "numpy"),
        default="auto",
        help="how the loops run",
    )


def main(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run with parsed options; without a size of its own it runs the head after Basel's."""
    size = ModelSize(args.vertices, args.coefficients, args.local)
    sizes = [BASEL, HEAD] if size == BASEL else [size]
    return [
        row
        for size in sizes
        for row in run_mesh_benchmark(
            args.batches,
            **size._asdict(),
            seed=args.seed,
            threads=args.threads,
            implementation=args.implementation,
        )
    ]


def random_model(
    rng: np.random.Generator, vertices: int, coefficients: int, local: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A mean 100 px wide, (V, 3), and modes of 0.5 px rms each, (M, V, 3), both float32.

    The last ``local`` modes move runs of neighbouring vertices, the same by twos.
    """
    mean = rng.uniform(-_WIDTH_PX / 2, _WIDTH_PX / 2, (vertices, 3)).astype(np.float32)
    bases = rng.standard_normal((coefficients, vertices, 3), dtype=np.float32)
    for first in range(coefficients - local, coefficients, 2):
        runs = rng.random(-(-vertices // _LOCAL_RUN)) < _LOCAL_SHARE
        bases[first : first + 2, ~np.repeat(runs, _LOCAL_RUN)[:vertices]] = 0
    rms = np.sqrt(np.square(bases).sum(axis=2).mean(axis=1))
    bases *= (_MODE_RMS_PX / np.maximum(rms, np.finfo(np.float32).tiny))[:, None, None]
    return mean, bases


def random_faces(
    rng: np.random.Generator, faces: int, coefficients: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normal coefficients (N, M) and similarity poses (N, 3, 4), both float32."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.random(faces, rng).as_matrix()
    scale = rng.uniform(0.5, 2.0, (faces, 1, 1))
    shift = rng.uniform(0.0, 500.0, (faces, 3, 1))
    pose = np.concatenate([scale * rotation, shift], axis=2).astype(np.float32)
    return rng.standard_normal((faces, coefficients), dtype=np.float32), pose


def numpy_baseline(
    mean: np.ndarray, bases: np.ndarray, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray
) -> Callable[[], None]:
    """Function that one writes without this package: float32 products into buffers."""
    faces, vertices = out.shape[:2]
    basis, flat_mean = bases.reshape(len(bases), -1), mean.reshape(-1)
    matrix = np.ascontiguousarray(pose[:, :, :3].transpose(0, 2, 1))
    shift = np.ascontiguousarray(pose[:, None, :, 3])
    shaped = np.empty((faces, 3 * vertices), np.float32)

    def build() -> None:
        np.matmul(coefficients, basis, out=shaped)
        np.add(shaped, flat_mean, out=shaped)
        np.matmul(shaped.reshape(faces, vertices, 3), matrix, out=out)
        np.add(out, shift, out=out)

    return build


def _largest_error(
    mean: np.ndarray, bases: np.ndarray, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray
) -> float:
    errors = [
        np.abs(out[part] - build_meshes(mean, bases, coefficients[part], pose[part])).max()
        for first in range(0, len(out), _ERROR_FACES)
        for part in [slice(first, first + _ERROR_FACES)]
    ]
    return float(max(errors))


def run_mesh_benchmark(
    batches: Sequence[int] = DEFAULT_BATCHES,
    *,
    vertices: int = BASEL.vertices,
    coefficients: int = BASEL.coefficients,
    local: int = 0,
    seed: int = 0,
    threads: int | None = None,
    implementation: Any = "auto",
) -> list[dict[str, Any]]:
    """Time the mesh kernel.

    Parameters
    ----------
    batches : sequence of int
        Numbers of faces a call.
    vertices, coefficients, local : int
        Size of the random model, as :func:`random_model` takes it.
    threads, implementation
        As in :class:`facegeo.ops.mesh.MeshKernel`.

    Returns
    -------
    list of dict
        For each batch: the model's ``vertices``, ``coefficients`` and ``local``; ``batch``;
        ``engine``; ``faces_per_s``; ``ms_per_face``;
        ``speedup_over_numpy``, time of float32 NumPy divided by ours; ``time_over_copy``, our time
        divided by that of ``np.copyto`` of the output; ``max_error_px``, the largest difference to
        float64 of any coordinate; ``first_call_s``, which includes compilation or the reading of
        its cache. Times are medians.
    """
    rng = np.random.default_rng(seed)
    mean, bases = random_model(rng, vertices, coefficients, local)
    announce("compiling the kernel")
    kernel = MeshKernel(mean, bases, threads=threads, implementation=implementation)
    start = time.perf_counter()
    kernel(np.zeros((1, coefficients), np.float32), np.eye(3, 4, dtype=np.float32)[None])
    first_call = time.perf_counter() - start
    rows = []
    for number, batch in enumerate(batches, 1):
        announce(f"{batch} faces of {vertices} vertices ({number} of {len(batches)})")
        weights, pose = random_faces(rng, batch, coefficients)
        out = np.zeros((batch, vertices, 3), np.float32)
        copy = np.zeros_like(out)
        seconds = medians(
            {
                "numpy": numpy_baseline(mean, bases, weights, pose, out),
                "copy": partial(np.copyto, copy, out),
                "ours": partial(kernel, weights, pose, out),
            }
        )
        error = _largest_error(mean, bases, weights, pose, out)  # ours was the last to write
        rows.append(
            {
                "vertices": vertices,
                "coefficients": coefficients,
                "local": local,
                "batch": batch,
                "engine": kernel.implementation,
                "faces_per_s": batch / seconds["ours"],
                "ms_per_face": 1e3 * seconds["ours"] / batch,
                "speedup_over_numpy": seconds["numpy"] / seconds["ours"],
                "time_over_copy": seconds["ours"] / seconds["copy"],
                "max_error_px": error,
                "first_call_s": first_call,
            }
        )
    return rows
