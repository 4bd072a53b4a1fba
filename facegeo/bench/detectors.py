"""Face detectors beside the released FaceBoxes: whole calls on photos of two sizes, in turns."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from facegeo.bench.timing import Job, announce, calls_in_turns, summary
from facegeo.detect import Detector, open_detector
from facegeo.errors import BackendUnavailableError, CorruptFileError, ModelNotFoundError
from facegeo.images.demo import sample_photo

#: Width and height of the photos.
SIZES = ((640, 480), (1280, 720))

#: What all others are compared with.
BASELINE = "faceboxes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench detectors``."""
    parser.add_argument("--detector", default="default", help="detection model to compare")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each job")


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run :func:`compare` with every precision that the detector has, on the CPU."""
    detectors: dict[str, Detector] = {
        "fp32": open_detector(args.detector, device="cpu", precision="fp32")
    }
    why: dict[str, str] = {}
    try:
        detectors["int8"] = open_detector(args.detector, device="cpu", precision="int8")
    except (BackendUnavailableError, CorruptFileError) as error:
        why["int8"] = str(error)
    try:
        detectors[BASELINE] = open_detector(BASELINE, device="cpu", precision="fp32")
    except ModelNotFoundError as error:
        why[BASELINE] = str(error)
    return compare(detectors, args.rounds) | ({"not_measured": why} if why else {})


def compare(detectors: Mapping[str, Detector], rounds: int = 15) -> dict[str, Any]:
    """Times of whole calls: scaling, network, decoding, suppression.

    Parameters
    ----------
    detectors : mapping of str to Detector

    Returns
    -------
    report : dict
        By size as ``640x480``, by detector: ``p50_ms`` and ``p95_ms`` of its calls; ``boxes`` that
        it found; and, beside :data:`BASELINE`, ``time_over_faceboxes``: the median of the ratios of
        neighbouring turns.
    """
    return {f"{width}x{height}": _at(detectors, width, height, rounds) for width, height in SIZES}


def _at(detectors: Mapping[str, Detector], width: int, height: int, rounds: int) -> dict[str, Any]:
    announce(f"{', '.join(detectors)} on {width}x{height}")
    image = scene(width, height)

    def job(detect: Detector) -> Job:
        return lambda: detect(image)

    calls = calls_in_turns({name: job(detect) for name, detect in detectors.items()}, rounds)
    report: dict[str, Any] = {}
    for name, detect in detectors.items():
        report[name] = summary(calls[name].ravel()) | {"boxes": len(detect(image))}
        if BASELINE in calls and name != BASELINE:
            ratio = calls[name].mean(axis=1) / calls[BASELINE].mean(axis=1)
            report[name]["time_over_faceboxes"] = float(np.median(ratio))
    return report


def scene(width: int, height: int) -> np.ndarray:
    """The sample photo's upper part, one face, scaled to fill the size: ``(H, W, 3)`` uint8."""
    part = sample_photo()[: 512 * height // width]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
