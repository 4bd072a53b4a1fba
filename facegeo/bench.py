"""``facegeo-bench``: how fast this machine is, by ratios against the obvious alternative.

Machines are shared and their clocks drift, so what is compared runs in turns within one process:
A, B, A, B ...; the figures are medians, and a ratio is the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo import crop
from facegeo.errors import FacegeoError
from facegeo.predictor import FaceGeometry
from facegeo.zoo.store import find

Job = Callable[[], object]

#: Each turn of a job takes at least this long, so that the clock's resolution does not matter.
_TURN_S = 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="facegeo-bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS), nargs="*", help="default: all")
    parser.add_argument("--model", default="default")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each job")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    options = parser.parse_args(arguments)
    try:
        report = run(options.benchmark or sorted(BENCHMARKS), options.model, options.rounds)
    except FacegeoError as error:
        print(f"facegeo-bench: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    return 0


def run(names: Sequence[str], model: str = "default", rounds: int = 15) -> dict[str, Any]:
    """Run benchmarks by name.

    Returns
    -------
    report : dict
        ``machine``, and under ``results`` a dict for each benchmark.
    """
    predictor = FaceGeometry(model)
    results = {name: BENCHMARKS[name](predictor, rounds) for name in names}
    return {"machine": machine(), "model": predictor.info(), "results": results}


def crops(predictor: FaceGeometry, rounds: int) -> dict[str, Any]:
    """``predict_crops`` against a bare ONNX Runtime call on the same file, for one crop and 64."""
    import onnxruntime

    rng = np.random.default_rng(0)
    file = find(predictor.card.name).path("network")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    report: dict[str, Any] = {}
    for batch in (1, 64):
        images = rng.integers(0, 256, (batch, crop.CROP_SIZE, crop.CROP_SIZE, 3), np.uint8)
        rois = np.tile(np.array([100, 100, 300, 300], np.float32), (batch, 1))
        turns = in_turns(
            {
                "bare": partial(session.run, None, {"crops": images}),
                "predict_crops": partial(predictor.predict_crops, images, rois),
            },
            rounds,
        )
        ours, bare = turns["predict_crops"], turns["bare"]
        report[f"batch_{batch}"] = {
            "bare": summary(bare),
            "predict_crops": summary(ours),
            "faces_per_s": batch / float(np.median(ours)),
            "fps_kept_of_bare": float(np.median(bare / ours)),
            "extra_ms_per_call": float(np.median(ours - bare) * 1e3),
        }
    return report


def photo(predictor: FaceGeometry, rounds: int) -> dict[str, Any]:
    """``predictor(photo)`` at 640x480 against detector, crop and network measured alone."""
    image = sample_photo()
    detector = predictor.detector
    rois = crop.rois_from_boxes(detector(image).boxes)
    images = crop.crop_faces(image, rois)
    turns = in_turns(
        {
            "detector": lambda: detector(image),
            "crop": lambda: crop.crop_faces(image, rois),
            "network": lambda: predictor.network.run({"crops": images}),
            "predictor": lambda: predictor(image),
        },
        rounds,
    )
    parts = turns["detector"] + turns["crop"] + turns["network"]
    return {
        "faces": len(rois),
        **{name: summary(times) for name, times in turns.items()},
        "time_over_sum_of_parts": float(np.median(turns["predictor"] / parts)),
    }


BENCHMARKS: Mapping[str, Callable[[FaceGeometry, int], dict[str, Any]]] = {
    "crops": crops,
    "photo": photo,
}


def in_turns(jobs: Mapping[str, Job], rounds: int) -> dict[str, np.ndarray]:
    """Seconds a call of each job, ``(rounds,)``, measured in turns after a warm-up."""
    repeats = {name: _repeats(job) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                job()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: np.array(values) for name, values in times.items()}


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def machine() -> dict[str, Any]:
    """Hardware and versions, for the record."""
    packages = ("facegeo", "numpy", "opencv-python", "onnxruntime", "torch")
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def sample_photo() -> np.ndarray:
    """scikit-image's astronaut, one face, scaled to fill 640x480 as a webcam would see it."""
    import skimage.data

    photo = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    return cv2.resize(photo[:384], (640, 480), interpolation=cv2.INTER_LINEAR)


def as_text(report: Mapping[str, Any], indent: str = "") -> str:
    """A report as indented lines."""
    lines = []
    for key, value in report.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", as_text(value, indent + "  ")]
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"{indent}{key}: {shown}")
    return "\n".join(lines)


def _repeats(job: Job) -> int:
    for _ in range(3):  # warm-up
        job()
    start = time.perf_counter()
    job()
    return max(1, round(_TURN_S / max(time.perf_counter() - start, 1e-6)))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
