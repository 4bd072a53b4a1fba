"""What the predictor costs: beside a bare call of the network, and beside the sum of its parts."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import cv2
import numpy as np

from facegeo import crop
from facegeo.bench.timing import Job, in_turns, summary
from facegeo.bench.upstream import upstream_job
from facegeo.dense import dense_faces
from facegeo.errors import DependencyMissingError, ModelNotFoundError
from facegeo.predictor import FaceGeometry
from facegeo.sample import sample_photo
from facegeo.zoo.store import find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench crops`` and ``facegeo-bench photo``."""
    parser.add_argument("--model", default="default", help="shipped or installed landmark model")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each job")


def main_crops(args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`crops` with parsed options."""
    return crops(FaceGeometry(args.model), args.rounds)


def main_photo(args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`photo` with parsed options."""
    return photo(FaceGeometry(args.model), args.rounds)


def crops(predictor: FaceGeometry, rounds: int) -> dict[str, Any]:
    """``predict_crops`` against a bare ONNX Runtime call on the same file, for one crop and 64."""
    import onnxruntime

    rng = np.random.default_rng(0)
    file = find(predictor.card.name).path("network")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    report: dict[str, Any] = {}
    for batch in (1, 64):
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
    median ratio of neighbouring turns, or ``upstream`` says why it was not measured.
    """
    image = webcam_photo()
    detector = predictor.detector
    rois = crop.rois_from_boxes(detector(image).boxes)
    images = crop.crop_faces(image, rois, predictor.crop_size)
    jobs: dict[str, Job] = {
        "detector": lambda: detector(image),
        "crop": lambda: crop.crop_faces(image, rois, predictor.crop_size),
        "network": lambda: predictor.network.run({"crops": images}),
        "predictor": lambda: predictor(image),
        "predictor_and_mesh": lambda: dense_faces(predictor(image)).vertices,
    }
    why = ""
    try:
        jobs["upstream"] = upstream_job(image)
    except (ModelNotFoundError, DependencyMissingError) as error:
        why = str(error)
    turns = in_turns(jobs, rounds)
    parts = turns["detector"] + turns["crop"] + turns["network"]
    report: dict[str, Any] = {
        "runs": predictor.info(),
        "faces": len(rois),
        **{name: summary(times) for name, times in turns.items()},
        "time_over_sum_of_parts": float(np.median(turns["predictor"] / parts)),
    }
    if "upstream" in turns:
        ratio = turns["predictor_and_mesh"] / turns["upstream"]
        return {**report, "time_over_upstream": float(np.median(ratio))}
    return {**report, "upstream": {"not_measured": why}}


def webcam_photo() -> np.ndarray:
    """The sample photo, one face, scaled to fill 640x480 as a webcam would see it."""
    return cv2.resize(sample_photo()[:384], (640, 480), interpolation=cv2.INTER_LINEAR)
