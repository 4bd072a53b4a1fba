"""Method of timing: in turns, warm, medians; and what machine it was.

Machines are shared and their clocks drift, so what is compared runs in turns within one process:
A, B, A, B ...; the figures are medians, and a ratio is the median of the ratios of neighbours.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.cpu import cpu_fact, cpu_flags
from facegeo.base.versions import installed_version

Job = Callable[[], object]

#: Each turn of a job takes at least this long, so that the clock's resolution does not matter.
_TURN_S = 0.02

_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")

#: Calls before anything is measured.
_WARM_UP = 3

#: Pause before each turn: idle threads of ONNX Runtime stay awake for tens of milliseconds.
_SETTLE_S = 0.1


def announce(text: str) -> None:
    """Say on standard error what is measured now: a benchmark takes minutes."""
    print(f"facegeo-bench: {text} ...", file=sys.stderr, flush=True)


def in_turns(jobs: Mapping[str, Job], rounds: int) -> dict[str, np.ndarray]:
    """Seconds a call of each job, ``(rounds,)``, measured in turns after a warm-up."""
    return {name: calls.mean(axis=1) for name, calls in calls_in_turns(jobs, rounds).items()}


def medians(jobs: Mapping[str, Job], rounds: int = 5) -> dict[str, float]:
    """Median seconds a call of each job, measured in turns."""
    return {name: float(np.median(turns)) for name, turns in in_turns(jobs, rounds).items()}


def calls_in_turns(jobs: Mapping[str, Job], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every call of each job, ``(rounds, calls in a turn)``, after a warm-up."""
    repeats = {name: _repeats(job) for name, job in jobs.items()}
    times: dict[str, list[list[float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            # The engine that ran before leaves its threads spinning on the cores for a moment, and
            # the caches hold its data: neither is this job's cost.
            time.sleep(_SETTLE_S)
            job()
            times[name].append(_stamped(job, repeats[name]).tolist())
    return {name: np.array(values) for name, values in times.items()}


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def wall_times(job: Job, calls: int) -> np.ndarray:
    """Seconds of each of ``calls`` calls, after a warm-up: a job that has no other beside it."""
    for _ in range(_WARM_UP):
        job()
    return _stamped(job, calls)


def commit() -> str | None:
    """The commit of the checkout that is measured; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # else the commit of whatever repository lies around
        return None
    git = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(git, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None


def gpus() -> list[str]:
    """Name, driver and memory of each NVIDIA GPU, by ``nvidia-smi``."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return run.stdout.strip().splitlines()


def machine() -> dict[str, Any]:
    """Hardware, versions and commit, for the record."""
    packages = (
        "facegeo",
        "numpy",
        "opencv-python",
        "av",
        "onnxruntime",
        "onnxruntime-gpu",
        "openvino",
        "torch",
        "tensorrt",
        "pycuda",
    )
    return {
        "cpu": cpu_fact("model name") or platform.processor() or platform.machine(),
        "cpu_features": _cpu_features(),
        "cpus": os.cpu_count(),
        "gpus": gpus(),
        "commit": commit(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: installed_version(name) for name in packages},
    }


def as_text(report: Mapping[str, Any], indent: str = "") -> str:
    """A report as indented lines; a list of rows becomes a table, what is empty is left out."""
    lines = []
    for key, value in report.items():
        if isinstance(value, Mapping) and not value:
            continue
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", as_text(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{indent}{key}:", _table(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_shown(value)}")
    return "\n".join(lines)


def _table(rows: list[Mapping[str, Any]], indent: str) -> str:
    cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        indent + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _stamped(job: Job, calls: int) -> np.ndarray:
    stamps = [time.perf_counter()]
    for _ in range(calls):
        job()
        stamps.append(time.perf_counter())
    return np.diff(stamps)


def _repeats(job: Job) -> int:
    for _ in range(_WARM_UP):
        job()
    start = time.perf_counter()
    job()
    return max(1, round(_TURN_S / max(time.perf_counter() - start, 1e-6)))


def _cpu_features() -> list[str]:
    """Instructions that decide how fast low precision is."""
    return [flag for flag in _FEATURES if flag in cpu_flags()]
