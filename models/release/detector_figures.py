"""Figures that a detector is to reach beyond data sets: tiny faces, demo photos. For its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo.detect.base import Detector
from facegeo.evaluation.detection import Sample, figures, tally
from facegeo.images import find_photos, read_photo
from facegeo.images.collections import decoded
from facegeo.synthetic.negatives import held_back_backgrounds
from facegeo.training.detector.scenes import Composer
from facegeo.training.detector.sources import Backgrounds, Faces

#: Scenes of tiny faces: how many, how many faces each, their side and the scenes' in pixels.
_SCENES, _FACES, _FACE_SIDE, _SCENE = 25, 8, 20.0, (1280, 720)

#: Frames of a clip that are skipped between two that are looked at.
_EVERY = 5


def tiny_scenes(faces: Faces, backgrounds: str | Path, seed: int = 7) -> list[Sample]:
    """Faces of 20 px pasted on held-back photographs of 1280x720, the same for the same seed."""
    images = held_back_backgrounds(backgrounds)
    composer = Composer(faces, Backgrounds((), [], []))
    rng = np.random.default_rng(seed)
    width, height = _SCENE
    samples = []
    for background in decoded(images, range(len(images.names))[:_SCENES]):
        scene = cv2.resize(background, _SCENE)
        boxes = []
        for x in np.linspace(100, width - 100, _FACES):
            at = (float(x + rng.uniform(-40, 40)), float(rng.uniform(40, height - 40)))
            row, angle = int(rng.integers(len(faces.crops))), float(rng.normal(0, 10))
            boxes.append(composer.paste(scene, row, at, _FACE_SIDE, angle, rng))
        samples.append(Sample(scene, np.stack(boxes), np.zeros(len(boxes), bool)))
    return samples


def on_tiny_faces(
    detectors: Mapping[str, Detector], samples: list[Sample], threshold: float = 0.5
) -> dict[str, Any]:
    """Recall, precision and AP of each detector on :func:`tiny_scenes`."""
    return {n: figures(tally(d, iter(samples)), threshold) for n, d in detectors.items()}


def on_photos(
    detectors: Mapping[str, Detector], folder: str | Path, threshold: float = 0.5
) -> dict[str, Any]:
    """Number of boxes on each photo of a folder, and on frames of each clip in it."""
    folder = Path(folder)
    images = {path.name: read_photo(path) for path in find_photos(folder)}
    clips = {path.name: _frames(path) for path in sorted(folder.glob("*.mp4"))}
    report: dict[str, Any] = {}
    for name, detect in detectors.items():

        def count(image: np.ndarray, detect: Detector = detect) -> int:
            return int((detect(image).scores >= threshold).sum())

        report[name] = {file: count(image) for file, image in images.items()}
        for file, frames in clips.items():
            single = sum(count(frame) == 1 for frame in frames)
            report[name][file] = f"one box on {single} of {len(frames)} frames"
    return report


def _frames(path: Path) -> list[np.ndarray]:
    clip = cv2.VideoCapture(str(path))
    frames = []
    while (frame := clip.read()[1]) is not None:
        frames.append(frame)
    return frames[::_EVERY]
