"""Faces a second of every engine and precision that works here, in turns.

``landmarks`` is :meth:`FaceGeometry.predict_crops`, ``dense`` that and the mesh of every face,
``photos`` a list of 640x480 photos of one face each through detector and network.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.files import write_bytes
from facegeo.bench.baseline import plain_predictors
from facegeo.bench.candidates import BASELINE, Key, add_candidate_options, open_candidates
from facegeo.bench.plot import draw_rates
from facegeo.bench.predictor import webcam_image
from facegeo.bench.timing import Job, announce, calls_in_turns
from facegeo.errors import (
    CorruptFileError,
    FacegeoError,
    InvalidInputError,
    MissingBasisError,
    UnreadableFileError,
)
from facegeo.export.publishing import sample_crops
from facegeo.predictor import FaceGeometry

TASKS = ("landmarks", "dense", "photos")
DEFAULT_BATCHES = (1, 8, 64, 256, 1024)

#: Decoded photos a call, at most; a user has them one by one.
_MOST_IMAGES = 16

#: What two rows must share to be compared.
_KEYS = ("task", "model", "backend", "precision", "batch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench fps``."""
    parser.add_argument(
        "--model", nargs="+", default=["default"], metavar="MODEL", help="landmark models"
    )
    add_candidate_options(parser)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument("--batches", type=int, nargs="+", default=list(DEFAULT_BATCHES))
    parser.add_argument("--rounds", type=int, default=9, help="turns of each engine")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="faces a second by batch")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="JSON",
        help="an earlier report; adds fps_before, over_before",
    )


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run with parsed options."""
    before = {} if args.compare is None else read_rows(args.compare)
    rows: list[dict[str, Any]] = []
    not_measured: dict[str, str] = {}
    for model in args.model:
        candidates = open_candidates(model, args.backends, args.precisions, args.device)
        found, skipped = run_fps_benchmark(
            candidates.running, args.tasks, args.batches, args.rounds
        )
        rows += found
        whys = candidates.not_measured | skipped
        not_measured |= {f"{model}, {what}": why for what, why in whys.items()}
    compare(rows, before)
    if args.plot is not None:
        if not rows:
            raise InvalidInputError(f"--plot: nothing was measured ({not_measured})")
        write_bytes(args.plot, draw_rates(rows))
    return {"rows": rows, "not_measured": not_measured}


def run_fps_benchmark(
    predictors: Mapping[Key, FaceGeometry],
    tasks: Sequence[str] = TASKS,
    batches: Sequence[int] = DEFAULT_BATCHES,
    rounds: int = 9,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Time predictors of one model against each other.

    Parameters
    ----------
    predictors : mapping of (str, str) to FaceGeometry
        By backend and precision; the baseline, ONNX Runtime in float32, must be among them.

    Returns
    -------
    rows : list of dict
        ``task``, ``model``, ``backend``, ``device``, ``precision``, ``batch``; ``fps``, faces a
        second by the median call; ``p50_ms``, ``p95_ms``, ``p99_ms`` of calls;
        ``speedup_over_fp32_onnxruntime``, the median ratio of neighbouring turns to the fastest way
        in which ONNX Runtime runs the model's float32 graph, which ``baseline`` names (facegeo's
        engine, and those of :mod:`facegeo.bench.baseline`); ``peak_memory_mb`` of the process so
        far.
    skipped : dict of str to str
        Task that the model, or batch that an engine cannot do -> why.
    """
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for task in tasks:
        for batch in batches:
            if task == "photos" and batch > _MOST_IMAGES:
                continue
            announce(f"{task}, batch {batch}: {', '.join(' '.join(key) for key in predictors)}")
            jobs, failed = _jobs_that_run(task, batch, predictors)
            skipped |= failed
            if BASELINE in jobs:
                rows += _rows(task, batch, predictors, jobs, rounds)
    return rows, skipped


def _jobs_that_run(
    task: str, batch: int, predictors: Mapping[Key, FaceGeometry]
) -> tuple[dict[Key, Job], dict[str, str]]:
    """Each engine's job after one run of it; and why others have none, by task and engine."""
    jobs: dict[Key, Job] = {}
    failed: dict[str, str] = {}
    for key, predictor in predictors.items():
        try:
            job = _JOBS[task](predictor, batch)
            job()
        except MissingBasisError as error:
            return {}, {task: str(error)}
        except FacegeoError as error:
            failed[f"{task}, batch {batch}, {' '.join(key)}"] = str(error)
        else:
            jobs[key] = job
    return jobs, failed


def read_rows(path: Path) -> dict[tuple[Any, ...], float]:
    """Frames a second of an earlier report, by what identifies a row."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["results"]["rows"]
        return {tuple(row[key] for key in _KEYS): float(row["fps"]) for row in rows}
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(f"{path}: not a report of facegeo-bench fps ({error!r})") from error


def compare(rows: list[dict[str, Any]], before: Mapping[tuple[Any, ...], float]) -> None:
    """Add ``fps_before`` and ``over_before`` to rows that an earlier report has too."""
    if not before:
        return
    for row in rows:
        earlier = before.get(tuple(row[key] for key in _KEYS))
        row["fps_before"] = earlier
        row["over_before"] = None if earlier is None else row["fps"] / earlier


def _rows(
    task: str,
    batch: int,
    predictors: Mapping[Key, FaceGeometry],
    jobs: Mapping[Key, Job],
    rounds: int,
) -> list[dict[str, Any]]:
    named = {" ".join(key): job for key, job in jobs.items()}
    plain: dict[str, Job] = {}
    if task != "photos":  # there the detector decides
        ways = plain_predictors(predictors[BASELINE], batch)
        plain = {name: _JOBS[task](predictor, batch) for name, predictor in ways.items()}
    calls = calls_in_turns(named | plain, rounds)
    fastest = min([" ".join(BASELINE), *plain], key=lambda name: float(np.median(calls[name])))
    baseline = calls[fastest].mean(axis=1)
    rows = []
    for backend, precision in jobs:
        predictor = predictors[backend, precision]
        times = calls[f"{backend} {precision}"]
        p50, p95, p99 = np.percentile(times, (50, 95, 99)) * 1e3
        rows.append(
            {
                "task": task,
                "model": predictor.card.name,
                "backend": backend,
                "device": predictor.network.device,
                "precision": precision,
                "batch": batch,
                "fps": batch / p50 * 1e3,
                "p50_ms": float(p50),
                "p95_ms": float(p95),
                "p99_ms": float(p99),
                "speedup_over_fp32_onnxruntime": float(np.median(baseline / times.mean(axis=1))),
                "baseline": fastest,
                "peak_memory_mb": _peak_memory_mb(),
            }
        )
    return rows


def _landmarks(predictor: FaceGeometry, batch: int) -> Job:
    crops, rois = _inputs(batch, predictor.crop_size)
    return lambda: predictor.predict_crops(crops, rois)


def _dense(predictor: FaceGeometry, batch: int) -> Job:
    crops, rois = _inputs(batch, predictor.crop_size)
    one = predictor.reconstruct(predictor.predict_crops(crops[:1], rois[:1]).params, rois[:1])
    meshes = _buffer(batch, *one.shape[1:])
    return lambda: predictor.reconstruct(
        predictor.predict_crops(crops, rois).params, rois, out=meshes
    )


@lru_cache(maxsize=1)
def _buffer(*shape: int) -> np.ndarray:
    """Memory for the meshes of every call, as a video application keeps it."""
    return np.empty(shape, np.float32)


def _images(predictor: FaceGeometry, batch: int) -> Job:
    images = [webcam_image()] * batch
    return lambda: predictor(images)


_JOBS: dict[str, Callable[[FaceGeometry, int], Job]] = {
    "landmarks": _landmarks,
    "dense": _dense,
    "photos": _images,
}


def _inputs(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Real crops, repeated; a network's time does not depend on what it sees."""
    crops = np.resize(sample_crops(size=size), (batch, size, size, 3))
    return crops, np.tile(np.array([100, 100, 300, 300], np.float32), (batch, 1))


def _peak_memory_mb() -> float | None:
    """Largest resident memory of this process; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
