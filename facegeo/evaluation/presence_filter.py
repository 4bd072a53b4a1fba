"""Does the landmark network's presence reject the detector's false boxes, and only those?

Every box of the detector, down to a low score, gets a presence; then thresholds of both are tried.
A face is found, and a box is false, as in :mod:`facegeo.evaluation.detection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.detect import Detections, Detector, PresenceFilter
from facegeo.errors import InvalidInputError
from facegeo.evaluation.detection import (
    DEFAULT_IOU,
    Sample,
    aflw2000_samples,
    match,
    unexplained,
)
from facegeo.evaluation.report import table
from facegeo.geometry import crop
from facegeo.images.collections import decoded
from facegeo.predictor import FaceGeometry
from facegeo.synthetic.negatives import held_back_backgrounds

#: Scores from which boxes are reported, and presences from which they are kept, that are tried.
SCORES = (0.3, 0.4, 0.5, 0.6)
PRESENCES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, eq=False)
class ScoredSample:
    """A photo whose boxes were all shown to the landmark network.

    Attributes
    ----------
    sample : Sample
    found : Detections
    presence : (N,) float32
    reference : Detections or None
        What another detector finds, where no faces are annotated.
    """

    sample: Sample
    found: Detections
    presence: np.ndarray
    reference: Detections | None = None

    def kept(self, score: float, presence_filter: PresenceFilter) -> Detections:
        """The boxes that the predictor would report."""
        keep = presence_filter.keeps(self.found.scores, self.presence) & (
            self.found.scores >= score
        )
        return self.found[keep]


def evaluate(
    predictor: FaceGeometry,
    detector: Detector,
    reference: Detector,
    folder: str | Path,
    backgrounds: str | Path,
    sure_score: float = PresenceFilter.sure_score,
) -> dict[str, Any]:
    """Recall and false boxes for each pair of thresholds.

    Parameters
    ----------
    predictor : FaceGeometry
        Its network is asked.
    detector, reference : Detector
        The one that is judged, reporting down to a low score; and one whose boxes on backgrounds
        are taken for faces.
    folder : path
        AFLW2000-3D, with one annotated face a photo.
    backgrounds : path
        Photos without annotation; those that training holds back are used.

    Returns
    -------
    report : dict
        ``photos``, ``backgrounds``; ``sure_score``; ``rows``: ``score``, ``least_presence``,
        ``recall``, ``false_per_photo``, ``false_per_background``.

    Raises
    ------
    InvalidInputError
        If the model has no presence output.
    """
    annotated = [_ask(predictor, detector, sample) for sample in aflw2000_samples(folder)]
    empty = [_ask(predictor, detector, s, reference) for s in _background_samples(backgrounds)]
    rows = []
    for score in SCORES:
        for least in PRESENCES:
            presence_filter = PresenceFilter(sure_score, least)
            row = {"score": score, "least_presence": least}
            rows.append(row | _figures(annotated, empty, score, presence_filter))
    return {
        "photos": len(annotated),
        "backgrounds": len(empty),
        "sure_score": sure_score,
        "rows": rows,
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a table."""
    keys = ("least_presence", "recall", "false_per_photo", "false_per_background")
    lines = [
        f"Second opinion on boxes of less than {report['sure_score']:g}: "
        f"{report['photos']} photos of AFLW2000-3D, {report['backgrounds']} backgrounds",
        "",
    ]
    lines += table(
        ["lowest score", "least presence", "recall", "false a photo", "false a background"],
        [(f"{row['score']:g}", [row[key] for key in keys]) for row in report["rows"]],
    )
    return "\n".join([*lines, "", "A least presence of 0 is the detector alone."])


def _figures(
    annotated: Sequence[ScoredSample],
    empty: Sequence[ScoredSample],
    score: float,
    presence_filter: PresenceFilter,
) -> dict[str, float]:
    hits = false = 0
    for scored in annotated:
        sample = scored.sample
        outcome, at = match(
            scored.kept(score, presence_filter), sample.boxes, sample.ignored, DEFAULT_IOU
        )
        hits += int((at > 0).sum())
        false += int((outcome == 0).sum())
    faces = sum(len(scored.sample.boxes) for scored in annotated)
    wrong = sum(
        unexplained(scored.kept(score, presence_filter), scored.reference, score)
        for scored in empty
        if scored.reference is not None
    )
    return {
        "recall": hits / max(faces, 1),
        "false_per_photo": false / max(len(annotated), 1),
        "false_per_background": wrong / max(len(empty), 1),
    }


def _ask(
    predictor: FaceGeometry, detector: Detector, sample: Sample, reference: Detector | None = None
) -> ScoredSample:
    found = detector(sample.photo)
    rois = crop.rois_from_boxes(found.boxes, predictor.crop_convention)
    crops = crop.crop_faces(sample.photo, rois, predictor.crop_size)
    presence = predictor.predict_crops(crops, rois).presence
    if np.isnan(presence).any():
        raise InvalidInputError(
            f"model {predictor.card.name!r} has no presence output, so it has no second opinion: "
            "expected a network that facegeo trained with one"
        )
    explained = reference(sample.photo) if reference is not None else None
    return ScoredSample(sample, found, presence, explained)


def _background_samples(path: str | Path) -> Iterator[Sample]:
    images = held_back_backgrounds(path)
    for image in decoded(images, range(len(images.names))):
        yield Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, bool))
