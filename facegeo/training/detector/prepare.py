"""Answers of the teacher, asked for once and kept beside the checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from facegeo.base.files import replacing
from facegeo.base.npz import load_npz
from facegeo.detect import DetectorOptions, open_detector
from facegeo.errors import CorruptFileError
from facegeo.evaluation.aflw import AflwCrops
from facegeo.images.collections import decoded
from facegeo.training.detector.config import DetectorData
from facegeo.training.detector.sources import (
    Backgrounds,
    Faces,
    ignored_regions,
    read_backgrounds,
    taught_boxes,
)

_log = logging.getLogger(__name__)

#: The teacher's boxes are wanted even where it is in doubt; what doubt means is decided later.
_TEACHER_THRESHOLD = 0.05


def prepare(data: DetectorData, taught: Path) -> tuple[Faces, Backgrounds]:
    """Faces and backgrounds to train on. The first run takes a few minutes for the teacher.

    Parameters
    ----------
    data : DetectorData
    taught : Path
        Where the teacher's answers are kept.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If data cannot be read, or ``taught`` belongs to other data.
    ModelNotFoundError
        If the teacher is not installed.
    """
    annotated = AflwCrops.open(data.faces)
    count = len(annotated.pictures.names)
    crops = np.stack(list(decoded(annotated.pictures, range(count))))
    names, images = read_backgrounds(data.backgrounds)
    if not taught.is_file():
        _ask(data.teacher, annotated, crops, images, taught)
    regions = [f"ignored/{k}" for k in range(len(images))]
    try:
        boxes, alone, *ignored = load_npz(taught, ["boxes", "alone", *regions]).values()
    except CorruptFileError as error:
        raise CorruptFileError(f"{error}; remove it to ask the teacher again") from error
    if len(boxes) != count:
        raise CorruptFileError(
            f"{taught}: expected boxes of {count} crops, got {len(boxes)}; remove it to ask the "
            "teacher again"
        )
    _log.info("%d of %d crops show one face", alone.sum(), count)
    faces = Faces(crops, boxes, annotated.yaw_deg)[np.flatnonzero(alone)]
    return faces, Backgrounds(names, images, ignored)


def _ask(
    teacher: str, annotated: AflwCrops, crops: np.ndarray, images: list[np.ndarray], path: Path
) -> None:
    detector = open_detector(teacher, DetectorOptions(_TEACHER_THRESHOLD))
    boxes, alone = taught_boxes(annotated, crops, detector)
    arrays = {"boxes": boxes, "alone": alone}
    for k, regions in enumerate(ignored_regions(images, detector)):
        arrays[f"ignored/{k}"] = regions
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
