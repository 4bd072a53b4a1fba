"""Face detection: recall, precision, average precision, false boxes a photo.

Two data layouts: WIDER FACE (Yang et al. 2016), and the AFLW2000-3D folder, whose photos have one
annotated face each. Other faces of those photos are not annotated: there precision and false boxes
are those that the annotation can see, and compare detectors rather than judge one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo.detect.base import Detections, Detector
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation.aflw2000 import Aflw2000
from facegeo.evaluation.measures import YAW_BINS, in_range
from facegeo.evaluation.report import table
from facegeo.images.collections import decoded
from facegeo.synthetic.negatives import HELD_BACK_EVERY, held_back_backgrounds
from facegeo.track.boxes import overlaps

#: IoU from which a box has found a face.
DEFAULT_IOU = 0.4

#: Photos are searched down to this score, for the precision-recall curve.
CURVE_SCORE = 0.05

#: WIDER FACE: a line of 10 numbers a face, the 8th says "invalid": too small or blurred to count.
_WIDER_COLUMNS = 10
_WIDER_INVALID = 7


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo with its faces.

    Attributes
    ----------
    photo : (H, W, 3) uint8
        BGR.
    boxes : (N, 4) float32
        ``xyxy``.
    ignored : (N,) bool
        Faces that may be found or not.
    yaw_deg : float
        Of the only face; NaN if unknown.
    """

    photo: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray
    yaw_deg: float = float("nan")


def aflw2000_samples(folder: str | Path) -> Iterator[Sample]:
    """Photos of an AFLW2000-3D folder; the face's box is that around ``pt3d_68`` of its .mat."""
    data = Aflw2000.open(folder)
    for image, (name, content), yaw in zip(
        data.photos(), data.annotations(), data.yaw_deg, strict=True
    ):
        if "pt3d_68" not in content:
            raise CorruptFileError(f"{data.folder}: {name} has no pt3d_68")
        points = content["pt3d_68"][:2]
        box = np.concatenate([points.min(axis=1), points.max(axis=1)]).astype(np.float32)
        yield Sample(image, box[None], np.zeros(1, bool), float(yaw))


def wider_samples(folder: str | Path) -> Iterator[Sample]:
    """Photos of a WIDER FACE folder: one ``*_bbx_gt.txt`` below it, and ``images/``."""
    folder = Path(folder)
    lists = sorted(folder.rglob("*bbx_gt.txt"))
    roots = sorted(path for path in folder.rglob("images") if path.is_dir())
    if len(lists) != 1 or not roots:
        raise UnreadableFileError(
            f"{folder}: expected one *_bbx_gt.txt and a folder images, "
            f"found {len(lists)} and {len(roots)}"
        )
    for name, rows in read_wider(lists[0]):
        path = roots[0] / name
        image = cv2.imread(str(path))
        if image is None:
            raise UnreadableFileError(f"{path}: not a readable image")
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        ignored = (rows[:, _WIDER_INVALID] > 0) | (rows[:, 2:4] <= 0).any(axis=1)
        yield Sample(image, boxes.astype(np.float32), ignored)


def read_wider(path: str | Path) -> list[tuple[str, np.ndarray]]:
    """(image name, (N, 10) float64 rows: x, y, width, height, six attributes) of each image.

    An image without faces has the count 0 and then one row of zeros.

    Raises
    ------
    UnreadableFileError
        If the file may not be read.
    CorruptFileError
        If a line is not what the layout asks for; the message has its number.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{path}: not a text file ({error})") from error
    images, at = [], 0
    while at < len(lines) and lines[at].strip():
        name = lines[at].strip()
        try:
            count = int(lines[at + 1])
            if count < 0:
                raise ValueError(f"{count} faces")
            rows = [[float(v) for v in line.split()] for line in lines[at + 2 : at + 2 + count]]
            table = np.array(rows, np.float64).reshape(count, _WIDER_COLUMNS)
        except (IndexError, ValueError) as error:
            raise CorruptFileError(f"{path}: line {at + 2}, {name}: {error}") from error
        images.append((name, table))
        at += 2 + max(count, 1)
    return images


@dataclass(frozen=True, eq=False)
class Tally:
    """All boxes of a data set, each judged.

    Attributes
    ----------
    scores : (K,) float32
    hits : (K,) bool
        True where a box found a face that no better one had found.
    found_at : (F,) float32
        For every face the score of its box; 0 where it was missed.
    yaw_deg : (F,) float32
    photos : int
    """

    scores: np.ndarray
    hits: np.ndarray
    found_at: np.ndarray
    yaw_deg: np.ndarray
    photos: int


def match(
    found: Detections, boxes: np.ndarray, ignored: np.ndarray, min_iou: float = DEFAULT_IOU
) -> tuple[np.ndarray, np.ndarray]:
    """Give each box, best score first, the free face that it overlaps most.

    Returns
    -------
    outcome : (K,) int8
        1 a face was found, 0 a false box, -1 a box on an ignored face.
    found_at : (N,) float32
        Score of each face's box, 0 where there is none.
    """
    iou = overlaps(found.boxes, boxes)
    outcome = np.zeros(len(found), np.int8)
    found_at = np.zeros(len(boxes), np.float32)
    taken = np.zeros(len(boxes), bool)
    for k in np.argsort(-found.scores, kind="stable"):
        good = np.flatnonzero((iou[k] >= min_iou) & ~taken)
        if len(good) == 0:
            continue
        best = good[np.lexsort((-iou[k, good], ignored[good]))[0]]
        if ignored[best]:
            outcome[k] = -1
            continue
        outcome[k], taken[best], found_at[best] = 1, True, found.scores[k]
    return outcome, found_at


def tally(detector: Detector, samples: Iterator[Sample], min_iou: float = DEFAULT_IOU) -> Tally:
    """Run a detector that reports boxes down to :data:`CURVE_SCORE` on all photos."""
    scores, hits, found_at, yaw, images = [], [], [], [], 0
    for sample in samples:
        found = detector(sample.photo)
        outcome, at = match(found, sample.boxes, sample.ignored, min_iou)
        scores.append(found.scores[outcome >= 0])
        hits.append(outcome[outcome >= 0] == 1)
        found_at.append(at[~sample.ignored])
        yaw.append(np.full(int((~sample.ignored).sum()), sample.yaw_deg, np.float32))
        images += 1
    none = [np.zeros(0, np.float32)]
    return Tally(
        np.concatenate(scores or none),
        np.concatenate(hits or none).astype(bool),
        np.concatenate(found_at or none),
        np.concatenate(yaw or none),
        images,
    )


def curve(result: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision, each ``(K,)``, from the highest score down."""
    order = np.argsort(-result.scores, kind="stable")
    hits = np.cumsum(result.hits[order])
    boxes = np.arange(1, len(hits) + 1)
    return hits / max(len(result.found_at), 1), hits / boxes


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve, precision made monotone (PASCAL VOC 2010 on)."""
    if len(recall) == 0:
        return 0.0
    best_ahead = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best_ahead).sum())


def figures(result: Tally, threshold: float) -> dict[str, Any]:
    """Figures that are reported of a detector.

    Returns
    -------
    report : dict
        ``recall``, ``precision``, ``false_per_photo`` at ``threshold``; ``ap``; and, where yaw is
        known, ``recall_by_yaw``.
    """
    kept = result.scores >= threshold
    false = int((kept & ~result.hits).sum())
    true = int((kept & result.hits).sum())
    found = result.found_at >= max(threshold, 1e-9)
    report: dict[str, Any] = {
        "recall": float(found.mean()) if len(found) else float("nan"),
        "precision": true / (true + false) if true + false else float("nan"),
        "ap": average_precision(*curve(result)),
        "false_per_photo": false / max(result.photos, 1),
    }
    if len(found) and np.isfinite(result.yaw_deg).all():
        chosen = {name: in_range(result.yaw_deg, name) for name in YAW_BINS}
        report["recall_by_yaw"] = {n: float(found[c].mean()) for n, c in chosen.items() if c.any()}
    return report


def evaluate(
    detectors: Mapping[str, Detector],
    folder: str | Path,
    threshold: float = 0.5,
    min_iou: float = DEFAULT_IOU,
) -> dict[str, Any]:
    """Several detectors on one folder, of AFLW2000-3D or of WIDER FACE.

    Parameters
    ----------
    detectors : mapping of str to Detector
        They should report boxes down to :data:`CURVE_SCORE`; ``threshold`` is applied here.

    Returns
    -------
    report : dict
        ``data``, ``photos``, ``faces``, ``threshold``, ``min_iou``; ``detectors``, what
        :func:`figures` says of each; ``curve``, recall and precision.
    """
    wider = not (Path(folder) / "annotations.npz").is_file()
    read = wider_samples if wider else aflw2000_samples
    results = {name: tally(d, read(folder), min_iou) for name, d in detectors.items()}
    some = next(iter(results.values()))
    return {
        "data": "WIDER FACE" if wider else "AFLW2000-3D",
        "photos": some.photos,
        "faces": len(some.found_at),
        "threshold": threshold,
        "min_iou": min_iou,
        "detectors": {name: figures(result, threshold) for name, result in results.items()},
        "curve": {
            "x": "recall",
            "y": "precision",
            "x_max": 1.0,
            "curves": {name: _thinned(*curve(result)) for name, result in results.items()},
        },
    }


def on_backgrounds(
    detectors: Mapping[str, Detector],
    reference: Detector,
    path: str | Path,
    thresholds: Sequence[float] = (0.5,),
) -> dict[str, Any]:
    """False boxes on the photos of a tar or folder that training holds back.

    Parameters
    ----------
    reference : Detector
        What it finds at 0.5 or above is not counted: people are in some of these photos.

    Returns
    -------
    report : dict
        ``photos``; ``false_per_photo``: by detector, by threshold.
    """
    images = held_back_backgrounds(path)
    counts = {name: np.zeros(len(thresholds)) for name in detectors}
    for image in decoded(images, range(len(images.names))):
        explained = reference(image)
        for name, detector in detectors.items():
            found = detector(image)
            counts[name] += [unexplained(found, explained, t) for t in thresholds]
    total = len(images.names)
    return {
        "photos": total,
        "rule": f"the first of every {HELD_BACK_EVERY} photos by file name",
        "false_per_photo": {
            name: {f"{t:g}": float(n) / total for t, n in zip(thresholds, values, strict=True)}
            for name, values in counts.items()
        },
    }


def unexplained(
    found: Detections, reference: Detections, threshold: float = 0.5, min_iou: float = 0.3
) -> int:
    """Boxes at ``threshold`` that overlap none of the reference's at 0.5 or above: false ones on a
    photo without annotated faces."""
    boxes = found.boxes[found.scores >= threshold]
    faces = reference.boxes[reference.scores >= 0.5]
    return int((overlaps(boxes, faces).max(axis=1, initial=0) < min_iou).sum())


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as tables."""
    detectors = report["detectors"]
    known = any("recall_by_yaw" in values for values in detectors.values())
    ranges = list(YAW_BINS) if known else []
    keys = ("recall", "precision", "ap", "false_per_photo")
    lines = [
        f"{report['data']}: {report['photos']} photos, {report['faces']} faces; threshold "
        f"{report['threshold']:g}, found from IoU {report['min_iou']:g}",
        "",
    ]
    lines += table(
        ["detector", "recall", "precision", "AP", "false a photo", *(f"yaw {r}" for r in ranges)],
        [
            (name, [v[k] for k in keys] + [v["recall_by_yaw"].get(r, np.nan) for r in ranges])
            for name, v in detectors.items()
        ],
    )
    if report["data"] == "AFLW2000-3D":
        lines += ["", "Only one face a photo is annotated; the others count as false boxes."]
    if "backgrounds" in report:
        false = report["backgrounds"]["false_per_photo"]
        thresholds = list(next(iter(false.values())))
        lines += [
            "",
            f"False boxes a photo on {report['backgrounds']['photos']} backgrounds that training "
            f"holds back ({report['backgrounds']['rule']}), by threshold",
            "",
        ]
        lines += table(["detector", *thresholds], [(n, list(v.values())) for n, v in false.items()])
    return "\n".join(lines)


def _thinned(x: np.ndarray, y: np.ndarray, most: int = 201) -> dict[str, list[float]]:
    """Points of a curve, evenly along x, which rises, and its end: as many as a reader can bear."""
    if len(x) == 0:
        return {"x": [], "y": []}
    rows = np.searchsorted(x, np.linspace(x[0], x[-1], most))
    rows = np.unique([*rows.clip(max=len(x) - 1), len(x) - 1])
    return {"x": x[rows].tolist(), "y": y[rows].tolist()}
