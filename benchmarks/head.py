"""Cost of the head that ships: reading, expanding, mapping, moving it; writes JSON.

python benchmarks/head.py [--out benchmarks/results/head.json] [--wheel dist/facegeo-*.whl]

Times of reading are of new processes, one a figure: what is counted is the processor's time of the
thread, which is the clock's on an idle machine. The kernel's are the best of calls in processes
that take turns, for this processor and compiled for AVX2 alone: others may be at work here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.files import write_bytes
from facegeo.bench.timing import as_text, machine

ASSET = Path(__file__).resolve().parents[1] / "facegeo" / "assets" / "facegeo-head.npz"
BATCHES = (1, 64)

#: Name -> environment: this processor, and any with AVX2.
PROCESSORS: dict[str, dict[str, str]] = {
    "native": {},
    "avx2": {
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+f16c,+bmi,+bmi2,+popcnt",
    },
}
#: The kernel before it skipped blocks of modes that move nothing, on two AVX2 cores, faces/s.
BEFORE = {"avx2": {"1": 335, "64": 3802}}

_READ = """
import json, resource, sys, time
import numpy as np
{imports}
from facegeo.morphable import MorphableModel
stages, start = {{}}, (time.thread_time(), time.perf_counter())
def stage(name):
    global start
    now = time.thread_time(), time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = ((b - a) * 1e3 for a, b in zip(start, now))
    stages[name] = {{"cpu_ms": cpu, "wall_ms": wall, "peak_mb": peak}}
    start = time.thread_time(), time.perf_counter()
model = MorphableModel.load({path!r}, detail={detail!r})
stage("read")
model.landmarks(np.zeros((1, model.num_shape)), np.zeros((1, model.num_expression)))
stage("landmarks")
model.mean
stage("mesh")
print(json.dumps(stages))
"""

_KERNEL = """
import json, sys, time
import numpy as np
from facegeo.bench.mesh import random_faces
from facegeo.morphable import MorphableModel
from facegeo.ops.mesh import MeshKernel
model = MorphableModel.load({path!r})
kernel = MeshKernel(model.mean, np.concatenate([model.shape_basis, model.expression_basis]))
found = {{}}
for batch in {batches!r}:
    faces = random_faces(np.random.default_rng(0), batch, kernel.num_coefficients)
    out = np.zeros((batch, kernel.num_vertices, 3), np.float32)
    times = []
    for _ in range(1000 // batch + 40):
        start = time.perf_counter()
        kernel(*faces, out)
        times.append(time.perf_counter() - start)
    found[batch] = batch / min(times[2:])
print(json.dumps(found))
"""

#: Name -> detail, whether the cache folder is empty, what is imported before.
_WAYS = {
    "first": ("full", True, ""),
    "first, SciPy imported": ("full", True, "import scipy.sparse"),
    "later": ("full", False, ""),
    "first, low detail": ("low", True, ""),
    "later, low detail": ("low", False, ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--wheel", type=Path, help="whose size is given")
    parser.add_argument("--processes", type=int, default=20, help="of each way to read")
    parser.add_argument("--rounds", type=int, default=3, help="of the kernel's processes")
    parser.add_argument("--again", action="store_true", help="only more of the kernel, into --out")
    options = parser.parse_args()
    if options.again:
        report = json.loads(options.out.read_text(encoding="utf-8"))
        report["rounds"] += options.rounds
        report["kernel"] = time_kernel(options.rounds, report["kernel"])
    else:
        report = measured(options)
    print(as_text(report))
    if options.out:
        write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything."""
    report: dict[str, Any] = {"benchmark": "head", "machine": machine()}
    report["commit"] = report["machine"].pop("commit")
    report["file_bytes"] = ASSET.stat().st_size
    report["processes"], report["rounds"] = options.processes, options.rounds
    report["reading"] = time_reading(options.processes)
    report["kernel"] = time_kernel(options.rounds)
    if options.wheel:
        report["wheel"] = wheel_sizes(options.wheel)
    return report


def time_reading(processes: int) -> dict[str, Any]:
    """Median and least of each stage, by way."""
    found = {}
    for name, (detail, empty, imports) in _WAYS.items():
        program = _READ.format(path=str(ASSET), detail=detail, imports=imports)
        with tempfile.TemporaryDirectory() as folder:
            if not empty:
                _run(program, FACEGEO_CACHE_DIR=folder)
            runs = []
            for number in range(processes):
                place = str(Path(folder) / str(number)) if empty else folder
                runs.append(_run(program, FACEGEO_CACHE_DIR=place))
        found[name] = {stage: _spread([run[stage] for run in runs]) for stage in runs[0]}
    return found


def _spread(rows: list[dict[str, float]]) -> dict[str, float]:
    return {
        f"{key}_{name}": float(of([row[key] for row in rows]))
        for key in rows[0]
        for name, of in (("median", np.median), ("least", min))
    }


def time_kernel(rounds: int, known: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """The best faces/s of each processor and batch, among them those that are known."""
    program = _KERNEL.format(path=str(ASSET), batches=BATCHES)
    best = {(row["processor"], str(row["batch"])): row["faces_per_s"] for row in known}
    for _ in range(rounds):
        for name, environment in PROCESSORS.items():
            for batch, speed in _run(program, **environment).items():
                best[name, batch] = max(speed, best.get((name, batch), 0.0))
    return [
        {
            "processor": name,
            "batch": int(batch),
            "faces_per_s": speed,
            "ms_per_face": 1e3 / speed,
            "before": BEFORE.get(name, {}).get(batch),
        }
        for (name, batch), speed in best.items()
    ]


def wheel_sizes(wheel: Path) -> dict[str, Any]:
    """Bytes of the file, and of the face models in it."""
    with zipfile.ZipFile(wheel) as archive:
        models = {
            Path(entry.filename).name: entry.compress_size
            for entry in archive.infolist()
            if entry.filename.endswith(".npz")
        }
    return {"bytes": wheel.stat().st_size, "face_models": models}


def _run(program: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
