"""What the teacher says is asked once and kept beside the checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegeo.detect import DetectorOptions, open_detector
from facegeo.detect.base import Detector
from facegeo.files import replacing
from facegeo.training.detector.config import DetectorTraining
from facegeo.training.detector.sources import (
    Backgrounds,
    Faces,
    ignored_regions,
    read_backgrounds,
    read_faces,
    split_backgrounds,
    taught_boxes,
)

#: The teacher's boxes are wanted even where it is in doubt; what doubt means is decided later.
_TEACHER_THRESHOLD = 0.05


def prepare(config: DetectorTraining) -> tuple[Faces, Backgrounds]:
    """Faces and backgrounds to train on. The first run takes a few minutes for the teacher."""
    taught = Path(config.run) / "taught.npz"
    crops, features = read_faces(config.crops)
    names, photos = read_backgrounds(config.backgrounds)
    if not taught.is_file():
        teacher = open_detector(config.teacher, DetectorOptions(_TEACHER_THRESHOLD))
        _ask(teacher, crops, features, photos, taught)
    with np.load(taught, allow_pickle=False) as archive:
        boxes = archive["boxes"]
        ignored = [archive[f"ignored/{k}"] for k in range(len(photos))]
    training, _ = split_backgrounds(Backgrounds(names, photos, ignored), config.held_back)
    return Faces(crops, boxes), training


def _ask(
    teacher: Detector,
    crops: np.ndarray,
    features: np.ndarray,
    photos: list[np.ndarray],
    path: Path,
) -> None:
    arrays = {"boxes": taught_boxes(crops, features, teacher)}
    for k, regions in enumerate(ignored_regions(photos, teacher)):
        arrays[f"ignored/{k}"] = regions
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
