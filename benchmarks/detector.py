"""The face detector against its targets, beside the released FaceBoxes, in one run.

python benchmarks/detector.py DETECTOR.onnx --shared DIR --out models/detector

Needs the detection model ``faceboxes`` installed, and the reference material in DIR. Writes
``metrics.json`` and ``curve.png``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo.detect import DetectorOptions, open_detector
from facegeo.detect.base import Detector
from facegeo.detect.one_stage import OneStageFaces
from facegeo.evaluation import detection
from facegeo.training.detector.scenes import Composer
from facegeo.training.detector.sources import (
    Backgrounds,
    Faces,
    read_backgrounds,
    read_faces,
    split_backgrounds,
)

HELD_BACK = 5
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
TINY_SCENES, TINY_FACES, TINY_SIDE = 25, 8, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--taught", type=Path, required=True, help="taught.npz of the run's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.5)
    options = parser.parse_args()
    low = DetectorOptions(detection.CURVE_SCORE)
    detectors: dict[str, Detector] = {
        "default": OneStageFaces.from_file(options.onnx, low),
        "faceboxes": open_detector("faceboxes", low),
    }
    dev = options.shared / "data/aflw2000_dev"
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "threshold": options.threshold,
        "onnx_bytes": options.onnx.stat().st_size,
    }
    report["aflw2000_dev"] = detection.evaluate(
        detectors, dev, options.threshold, picture=options.out / "curve.png"
    )
    report["backgrounds"] = on_backgrounds(detectors, options)
    report["tiny_faces"] = on_tiny_faces(detectors, options)
    report["photos"] = on_photos(detectors, options)
    report["speed_ms"] = speed(detectors)
    text = json.dumps(report, indent=2) + "\n"
    (options.out / "metrics.json").write_text(text, encoding="utf-8")
    print(text)


def held_back(options: argparse.Namespace) -> Backgrounds:
    """The photographs that were never trained on."""
    names, photos = read_backgrounds(options.shared / "data/backgrounds/bsds500.tar")
    empty = [np.zeros((0, 4), np.float32)] * len(photos)
    return split_backgrounds(Backgrounds(names, photos, empty), HELD_BACK)[1]


def on_backgrounds(detectors: dict[str, Detector], options: argparse.Namespace) -> dict[str, Any]:
    """False boxes a photo, by threshold."""
    photos = held_back(options).photos
    found = {name: [detect(p) for p in photos] for name, detect in detectors.items()}
    return {
        name: {
            str(t): sum(
                map(lambda f, r, t=t: detection.unexplained(f, r, t), boxes, found["faceboxes"])
            )
            / len(photos)
            for t in THRESHOLDS
        }
        for name, boxes in found.items()
    } | {"photos": len(photos)}


def on_tiny_faces(detectors: dict[str, Detector], options: argparse.Namespace) -> dict[str, Any]:
    """Recall of faces of 20 px pasted on held-back photographs of 1280x720, seed 7."""
    crops, _ = read_faces(options.shared / "data/aflw_train")
    with np.load(options.taught, allow_pickle=False) as archive:
        faces = Faces(crops, archive["boxes"])
    backgrounds = held_back(options)
    composer = Composer(faces, backgrounds)
    rng = np.random.default_rng(7)
    samples = []
    for k in range(TINY_SCENES):
        photo = cv2.resize(backgrounds.photos[k], (1280, 720))
        boxes = []
        for x in np.linspace(100, 1180, TINY_FACES):
            at = (float(x + rng.uniform(-40, 40)), float(rng.uniform(40, 680)))
            row, angle = int(rng.integers(len(crops))), float(rng.normal(0, 10))
            boxes.append(composer.paste(photo, row, at, TINY_SIDE, angle, rng))
        samples.append(detection.Sample(photo, np.stack(boxes), np.zeros(len(boxes), bool)))
    return {
        name: detection.figures(detection.tally(d, iter(samples)), options.threshold)
        for name, d in detectors.items()
    }


def on_photos(detectors: dict[str, Detector], options: argparse.Namespace) -> dict[str, Any]:
    """Number of boxes on each demo photo, and on how many frames of the clip exactly one."""
    folder = options.shared / "data/photos"
    paths = sorted(folder.glob("*.jpg"))
    clip = cv2.VideoCapture(str(folder / "talking_head.mp4"))
    frames = []
    while (frame := clip.read()[1]) is not None:
        frames.append(frame)

    def count(detect: Detector, photo: np.ndarray) -> int:
        return int((detect(photo).scores >= options.threshold).sum())

    report: dict[str, Any] = {}
    for name, detect in detectors.items():
        report[name] = {p.name: count(detect, cv2.imread(str(p))) for p in paths}
        single = [count(detect, frame) == 1 for frame in frames[::5]]
        report[name]["clip_frames_with_one_box"] = f"{sum(single)} of {len(single)}"
    return report


def speed(detectors: dict[str, Detector], rounds: int = 15) -> dict[str, Any]:
    """Median milliseconds of a whole call, the detectors taking turns."""
    rng = np.random.default_rng(0)
    report: dict[str, Any] = {}
    for width, height in ((640, 480), (1280, 720)):
        photo = cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (width, height))
        times: dict[str, list[float]] = {name: [] for name in detectors}
        for _ in range(rounds):
            for name, detect in detectors.items():
                start = time.perf_counter()
                detect(photo)
                times[name].append(time.perf_counter() - start)
        medians = {name: 1e3 * float(np.median(t[2:])) for name, t in times.items()}
        ratio = medians["default"] / medians["faceboxes"]
        report[f"{width}x{height}"] = medians | {"ratio": ratio}
    return report


if __name__ == "__main__":
    main()
