"""Cost of the predictor: beside a bare call of the network, and beside the sum of its parts."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

from facegeo.bench.detectors import scene
from facegeo.bench.timing import Job, announce, calls_in_turns, in_turns, summary
from facegeo.bench.upstream import VERTICES as UPSTREAM_VERTICES
from facegeo.bench.upstream import upstream_work
from facegeo.errors import DependencyMissingError, ModelNotFoundError
from facegeo.geometry import crop
from facegeo.predictor import FaceGeometry
from facegeo.surface.dense import dense_faces
from facegeo.zoo.store import find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench crops``."""
    parser.add_argument("--model", default="default", help="shipped or installed landmark model")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each job")


def add_photo_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench photo``."""
    add_arguments(parser)
    parser.add_argument("--detector", default="auto", help="auto or a detection model")


def main_crops(args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`crops` with parsed options."""
    return crops(FaceGeometry(args.model), args.rounds)


def main_photo(args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`photo` with parsed options."""
    return photo(FaceGeometry(args.model, detector=args.detector), args.rounds)


def crops(predictor: FaceGeometry, rounds: int) -> dict[str, Any]:
    """``predict_crops`` against a bare ONNX Runtime call on the same file, for one crop and 64."""
    import onnxruntime

    rng = np.random.default_rng(0)
    file = find(predictor.card.name).path("network")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    report: dict[str, Any] = {}
    for batch in (1, 64):
        announce(f"{batch} crops a call")
        images = rng.integers(
            0, 256, (batch, predictor.crop_size, predictor.crop_size, 3), np.uint8
        )
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
    """``predictor(photo)`` at 640x480 against detector, crop and network measured alone.

    And, with the mesh, against the same work as upstream does it: ``time_over_upstream``, the
    median ratio of neighbouring turns, and ``time_over_upstream_p95``, the ratio that 95 % of the
    turns stay below; or ``upstream`` says why it was not measured.
    """
    image = webcam_image()
    detector = predictor.detector
    rois = crop.rois_from_boxes(detector(image).boxes, predictor.crop_convention)
    images = crop.crop_faces(image, rois, predictor.crop_size)
    faces = predictor(image)
    jobs: dict[str, Job] = {
        "detector": lambda: detector(image),
        "crop": lambda: crop.crop_faces(image, rois, predictor.crop_size),
        "network": lambda: predictor.network.run({"crops": images}),
        "mesh": lambda: dense_faces(faces).vertices,
        "predictor": lambda: predictor(image),
        "predictor_and_mesh": lambda: dense_faces(predictor(image)).vertices,
    }
    why = ""
    try:
        theirs = upstream_work(image)
    except (ModelNotFoundError, DependencyMissingError) as error:
        why = str(error)
    else:
        # Beside each other: what is compared are neighbouring turns.
        jobs["upstream"] = theirs.whole
        jobs |= {f"upstream_{name}": job for name, job in theirs.parts.items()}
    announce(f"{len(jobs)} jobs on a photo of {image.shape[1]}x{image.shape[0]}")
    calls = calls_in_turns(jobs, rounds)
    turns = {name: times.mean(axis=1) for name, times in calls.items()}
    parts = turns["detector"] + turns["crop"] + turns["network"]
    report: dict[str, Any] = {
        "runs": predictor.info(),
        "photo": f"{image.shape[1]}x{image.shape[0]}",
        "faces": len(rois),
        "vertices": dense_faces(faces).vertices.shape[1],
        **{name: summary(times) for name, times in calls.items()},
        "time_over_sum_of_parts": float(np.median(turns["predictor"] / parts)),
    }
    if "upstream" in turns:
        p50, p95 = np.percentile(turns["predictor_and_mesh"] / turns["upstream"], (50, 95))
        ratios = {"time_over_upstream": float(p50), "time_over_upstream_p95": float(p95)}
        return {**report, "upstream_vertices": UPSTREAM_VERTICES, **ratios}
    return {**report, "upstream": {"not_measured": why}}


def webcam_image() -> np.ndarray:
    """The sample photo, one face, scaled to fill 640x480 as a webcam would see it."""
    return scene(640, 480)
