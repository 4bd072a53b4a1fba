"""Every GPU measurement in one call of under ten minutes; one JSON.

    python benchmarks/gpu_suite.py --out benchmarks/results/gpu-h200.json --model mb05

A measurement that cannot be made here says "not measured" and why; nothing is guessed. The exit
code is 0 when everything that ran was right, 1 when a result was wrong, 3 when nothing ran.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base import files
from facegeo.bench.mesh import BASEL, HEAD, ModelSize, random_faces, random_model
from facegeo.bench.timing import machine, wall_times
from facegeo.errors import FacegeoError
from facegeo.ops.reference import build_meshes

BATCH = 256
VERTICES = (1, 1023, 38365, 53215)
SIZES = (*(ModelSize(vertices, BASEL.coefficients) for vertices in VERTICES), HEAD)
BATCHES = (1, 3, 64, 257)
TOLERANCE_PX = 0.02
#: Fastest first, by expectation.
BACKENDS = (
    ("tensorrt", "fp16"),
    ("pytorch", "fp16"),
    ("onnxruntime", "fp16"),
    ("onnxruntime", "fp32"),
)

#: Mean distance of landmarks from those of float32 on the CPU, crop pixels.
LANDMARKS_PX = 0.2

#: Figures that a data-centre GPU has to reach -> least value.
TARGETS = {
    "landmarks_per_s": 60_000.0,
    "dense_per_s": 40_000.0,
    "mesh_over_copy": 0.6,
    "mesh_over_cublas": 1.5,
}

Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; see the module's text for the exit code."""
    options = _parser().parse_args(arguments)
    deadline = time.monotonic() + options.seconds
    jobs: dict[str, Callable[[], Result]] = {
        "mesh_correct": check_mesh,
        "mesh_speed": time_mesh,
        "head_speed": time_head,
        "sanitizer": run_sanitizer,
    }
    jobs["export"] = lambda: export_half(options.model)
    for backend, precision in BACKENDS:
        jobs[f"landmarks_{backend}_{precision}"] = lambda b=backend, p=precision: time_landmarks(
            options.model, b, p
        )
    jobs["dense"] = lambda: time_dense(options.model)
    jobs["two_threads"] = lambda: check_threads(options.model)
    jobs["beyond_profile"] = lambda: check_large_batch(options.model)
    report: dict[str, Any] = {"machine": machine()}
    report["commit"] = report["machine"].pop("commit")

    def keep(results: Mapping[str, Result]) -> None:
        """After every job: a GPU that is lent may be taken back at any moment."""
        report.update(results=results, targets=compare(results))
        files.write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())

    results = run_jobs(jobs, deadline, keep=keep)
    print(json.dumps(report["targets"], indent=2))
    return exit_code(results)


def run_jobs(
    jobs: Mapping[str, Callable[[], Result]],
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    keep: Callable[[Mapping[str, Result]], None] = lambda _: None,
) -> dict[str, Result]:
    """Run each; one that fails or comes too late is "not measured", with the reason."""
    results: dict[str, Result] = {}
    for name, job in jobs.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        start = clock()
        if start >= deadline:
            results[name] = {"not_measured": "the time was spent"}
        else:
            try:
                results[name] = {**job(), "seconds": clock() - start}
            except Exception as error:  # noqa: BLE001 - nothing may cost the others' results
                results[name] = {"not_measured": f"{type(error).__name__}: {error}"}
        keep(results)
    return results


def compare(results: Mapping[str, Result]) -> dict[str, Any]:
    """Each target: the best value found, whether it is reached, or that it was not measured."""
    found: dict[str, Any] = {}
    for name, least in TARGETS.items():
        values = [result[name] for result in results.values() if name in result]
        found[name] = (
            {"least": least, "value": max(values), "reached": max(values) >= least}
            if values
            else {"least": least, "value": "not measured"}
        )
    return found


def exit_code(results: Mapping[str, Result]) -> int:
    """1 if a result was wrong, 3 if nothing ran, else 0."""
    if any(result.get("right") is False for result in results.values()):
        return 1
    return 3 if all("not_measured" in result for result in results.values()) else 0


def check_mesh() -> Result:
    """The kernel against float64 for each number of vertices and faces."""
    from facegeo.ops.cuda import CudaMeshKernel

    errors = {}
    for size in SIZES:
        for batch in BATCHES:
            rng = np.random.default_rng(0)
            mean, bases = random_model(rng, *size)
            coefficients, pose = random_faces(rng, batch, size.coefficients)
            out = np.full((batch, size.vertices, 3), np.nan, np.float32)
            CudaMeshKernel(mean, bases)(coefficients, pose, out)
            name = f"V={size.vertices} M={size.coefficients} batch={batch}"
            errors[name] = max_error(mean, bases, coefficients, pose, out)
    return {"max_error_px": errors, "right": all(e < TOLERANCE_PX for e in errors.values())}


def max_error(
    mean: np.ndarray, bases: np.ndarray, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray
) -> float:
    """Largest difference to float64; infinity if a number is not finite."""
    if not np.isfinite(out).all():
        return float("inf")
    return max(
        float(np.abs(out[n] - build_meshes(mean, bases, coefficients[[n]], pose[[n]])[0]).max())
        for n in range(len(pose))
    )


def time_head() -> Result:
    """The same for a head of 112 modes; its figures have names of their own, and no target."""
    return {f"head_{name}": value for name, value in time_mesh(HEAD).items()}


def time_mesh(size: ModelSize = BASEL) -> Result:
    """The kernel beside a copy of its output, and beside cuBLAS with the transform in PyTorch."""
    import torch

    from facegeo.ops.cuda import CudaMeshKernel

    rng = np.random.default_rng(0)
    mean, bases = random_model(rng, *size)
    kernel = CudaMeshKernel(mean, bases)
    coefficients, pose = (
        torch.tensor(a).cuda() for a in random_faces(rng, BATCH, size.coefficients)
    )
    out = torch.empty((BATCH, size.vertices, 3), device="cuda")
    other = torch.empty_like(out)
    basis = torch.tensor(bases.reshape(size.coefficients, -1)).cuda().half()
    flat = torch.tensor(mean.reshape(1, -1)).cuda().half()
    half, linear, shift = coefficients.half(), pose[:, :, :3].mT.half(), pose[:, None, :, 3].half()

    def cublas() -> None:
        shaped = torch.addmm(flat, half, basis).reshape(BATCH, -1, 3)
        torch.baddbmm(shift, shaped, linear)

    seconds = device_seconds(
        {
            "kernel": lambda: kernel(coefficients, pose, out),
            "copy": lambda: other.copy_(out),
            "cublas": cublas,
        }
    )
    nbytes = out.numel() * 4
    # A copy reads and writes: the same traffic could write twice as much.
    bandwidth = 2 * nbytes / seconds["copy"]
    return {
        "batch": BATCH,
        "seconds_per_call": seconds,
        "copy_bytes_per_s": bandwidth,
        "mesh_over_copy": nbytes / seconds["kernel"] / bandwidth,
        "mesh_over_cublas": seconds["cublas"] / seconds["kernel"],
        "meshes_per_s": BATCH / seconds["kernel"],
    }


def device_seconds(jobs: Mapping[str, Callable[[], object]], rounds: int = 20) -> dict[str, float]:
    """Median seconds a call by the device's own clock, in turns, 10 calls a turn."""
    import torch

    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 3):
        for name, job in jobs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            # Some ms in which the queue fills, so that the time of launching is not measured.
            torch.cuda._sleep(5_000_000)
            start.record()
            for _ in range(10):
                job()
            end.record()
            end.synchronize()
            if turn >= 3:
                times[name].append(start.elapsed_time(end) / 1e4)
    return {name: float(np.median(values)) for name, values in times.items()}


def export_half(model: str) -> Result:
    """The model's graph in half precision, which TensorRT needs, where it has none yet."""
    from facegeo.export.publishing import compared_graph, sample_crops
    from facegeo.zoo.store import add_files, find, role_of

    installed = find(model)
    if role_of("fp16") in installed.card.files:
        return {"was_there": True}
    graph, report = compared_graph(installed, "fp16", sample_crops(size=installed.card.crop_size))
    add_files(installed, {role_of("fp16"): graph})
    return {"parity": report["parity"]}


def time_landmarks(model: str, backend: str, precision: str) -> Result:
    """Host crops to host results at one batch size, on the wall's clock, and how right they are."""
    from facegeo.export.publishing import difference, sample_crops

    network = open_on_gpu(model, backend, precision)
    size = _crop_size(model)
    crops = np.resize(sample_crops(size=size), (BATCH, size, size, 3))
    seconds = wall_times(lambda: network.run({"crops": crops}), 50)
    exact = open_exact(model).run({"crops": crops[:64]})
    error = difference({k: v[:64] for k, v in network.run({"crops": crops}).items()}, exact)
    return {
        "backend": backend,
        "precision": precision,
        "batch": BATCH,
        "landmarks_per_s": BATCH / float(np.median(seconds)),
        **{f"p{p}_ms": float(np.percentile(seconds, p) * 1e3) for p in (50, 95, 99)},
        "against_float32": error,
        "right": error["landmarks_px_mean"] < LANDMARKS_PX,
    }


def time_dense(model: str) -> Result:
    """Host crops through the network and the mesh kernel; the meshes stay on the device."""
    import torch

    from facegeo.geometry import crop
    from facegeo.morphable import MorphableModel
    from facegeo.ops.cuda import CudaMeshKernel

    network, backend, precision = _usable(model)
    face = MorphableModel.default()
    kernel = CudaMeshKernel(face.mean, np.concatenate([face.shape_basis, face.expression_basis]))
    crops = _noise(model, BATCH)
    out = torch.empty((BATCH, kernel.num_vertices, 3), device="cuda")
    convention = crop.find_convention("exact")

    def work() -> None:
        params = torch.from_numpy(network.run({"crops": crops})["params"]).cuda()
        kernel(params[:, 12:], params[:, :12], out, convention=convention)
        torch.cuda.synchronize()

    return {
        "backend": backend,
        "precision": precision,
        "batch": BATCH,
        "vertices": kernel.num_vertices,
        "dense_per_s": BATCH / float(np.median(wall_times(work, 50))),
    }


def check_threads(model: str) -> Result:
    """Two predictors in two threads give what one gives alone."""
    crops = _noise(model, 32)
    networks = [_usable(model)[0] for _ in range(2)]
    alone = networks[0].run({"crops": crops})["landmarks"]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(networks[i % 2].run, {"crops": crops}) for i in range(40)]
        worst = max(float(np.abs(job.result()["landmarks"] - alone).max()) for job in jobs)
    return {"max_difference_px": worst, "right": worst < 0.1}


def check_large_batch(model: str) -> Result:
    """A batch beyond TensorRT's profile is the same as its parts."""
    network = open_on_gpu(model, "tensorrt", "fp16")
    crops = _noise(model, 600)
    whole = network.run({"crops": crops})["landmarks"]
    parts = [network.run({"crops": crops[i : i + 100]})["landmarks"] for i in range(0, 600, 100)]
    worst = float(np.abs(whole - np.concatenate(parts)).max())
    return {"max_difference_px": worst, "right": worst < 0.1}


def _crop_size(model: str) -> int:
    from facegeo.zoo.store import find

    return find(model).card.crop_size


def _noise(model: str, count: int) -> np.ndarray:
    """Crops of the model's size that hold nothing."""
    size = _crop_size(model)
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def run_sanitizer() -> Result:
    """``compute-sanitizer`` over small odd sizes of the kernel."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        raise FileNotFoundError("compute-sanitizer is not on the PATH")
    run = subprocess.run(
        sanitizer_command(tool), capture_output=True, text=True, timeout=150, check=False
    )
    return {"right": run.returncode == 0, "output": (run.stdout + run.stderr)[-2000:]}


def sanitizer_command(tool: str) -> list[str]:
    """The command: memcheck over both paths of the kernel, in a process of its own."""
    program = (
        "import numpy as np\n"
        "from facegeo.bench.mesh import BASEL, HEAD, ModelSize, random_faces, random_model\n"
        "from facegeo.ops.cuda import CudaMeshKernel\n"
        "rng = np.random.default_rng(0)\n"
        "for vertices in (1, 15, 17, 1023):\n"
        "    kernel = CudaMeshKernel(*random_model(rng, vertices, 50))\n"
        "    for batch in (1, 3, 9, 65):\n"
        "        kernel(*random_faces(rng, batch, 50))\n"
    )
    return [tool, "--error-exitcode", "9", sys.executable, "-c", program]


def open_on_gpu(model: str, backend: str, precision: str) -> Any:
    """The network on the first GPU; nothing else will do."""
    from facegeo.backends import open_network
    from facegeo.zoo.store import find

    return open_network(find(model), backend, "cuda:0", precision)


def open_exact(model: str) -> Any:
    """The network in float32 on the CPU."""
    from facegeo.backends import open_network
    from facegeo.zoo.store import find

    return open_network(find(model), "onnxruntime", "cpu", "fp32")


def _usable(model: str) -> tuple[Any, str, str]:
    """The first of :data:`BACKENDS` that runs here."""
    for backend, precision in BACKENDS:
        try:
            return open_on_gpu(model, backend, precision), backend, precision
        except (FacegeoError, ImportError):
            continue
    raise RuntimeError("no backend runs on this GPU")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file that is written")
    parser.add_argument("--model", default="default", help="name of an installed model")
    parser.add_argument("--seconds", type=float, default=540, help="start nothing after so long")
    return parser


if __name__ == "__main__":
    sys.exit(main())
