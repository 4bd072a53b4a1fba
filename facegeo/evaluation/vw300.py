"""300VW: 68 points on every frame of videos, against manual ones (Shen et al. 2015).

A folder a video: ``vid.avi`` and ``annot/000001.pts``, a file a frame, numbered from 1.
SynergyNet and M3-LRN show images of these videos and print no figures.

The annotation's outline of the face is what is seen in the frame; facegeo's is that of the 3D face.
On turned heads the 17 points of the jaw differ by that alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import CorruptFileError, FacegeoError, UnreadableFileError
from facegeo.evaluation.detection import overlaps
from facegeo.evaluation.measures import box_size
from facegeo.evaluation.report import error_curves, part_used, table
from facegeo.images.collections import Skipped
from facegeo.predictor import FaceGeometry
from facegeo.results import PhotoResult

#: A frame has failed where the error is larger than this, in percent of the eyes' distance.
FAILURE_PERCENT = 8.0

#: Outer corners of the eyes: their distance is the "inter-ocular" one of the 300 challenges.
_OUTER_CORNERS = (36, 45)


@dataclass(frozen=True, eq=False)
class VideoErrors:
    """One video, judged.

    Attributes
    ----------
    name : str
    frames : (F,) int64
        Numbers of the frames that were judged, from 1.
    interocular, box : (F,) float64
        Error in percent of the distance of the eyes' outer corners, and of sqrt(width x height) of
        the box around the annotated points; infinite where the face was not found.
    left_out : int
        Frames without a usable annotation, and annotations without a frame.
    """

    name: str
    frames: np.ndarray
    interocular: np.ndarray
    box: np.ndarray
    left_out: int


def read_pts(path: Path) -> np.ndarray:
    """An iBUG ``.pts`` file: ``(68, 2)`` float64 photo pixels (the file counts from 1).

    Raises
    ------
    UnreadableFileError, CorruptFileError
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{path}: not a text file") from error
    try:
        body = text[text.index("{") + 1 : text.index("}")]
        points = np.array([[float(v) for v in line.split()] for line in body.split("\n") if line])
    except ValueError as error:
        raise CorruptFileError(f"{path}: not a file of points ({error})") from error
    if points.shape != (NUM_LANDMARKS, 2) or not np.isfinite(points).all():
        raise CorruptFileError(
            f"{path}: expected {NUM_LANDMARKS} rows of two numbers, got shape {points.shape}"
        )
    return points - 1


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance of ``(N, 68, 2)`` points in percent: of the eyes' distance, of the box.

    Returns
    -------
    interocular, box : (N,) float64
    """
    distance = np.linalg.norm(np.asarray(predicted, np.float64) - truth, axis=2).mean(axis=1)
    right, left = (truth[:, corner] for corner in _OUTER_CORNERS)
    eyes = np.linalg.norm(right - left, axis=1)
    return 100 * distance / eyes, 100 * distance / box_size(truth)


def find_videos(folder: str | Path) -> list[Path]:
    """Folders with ``vid.avi`` and ``annot/`` below a folder. Raises UnreadableFileError."""
    found = sorted(p.parent for p in Path(folder).rglob("annot") if p.is_dir())
    if not found:
        raise UnreadableFileError(
            f"{folder}: expected folders NNN with vid.avi and annot/000001.pts, found none"
        )
    return found


def judge(predictor: FaceGeometry, folder: Path, every: int = 1) -> VideoErrors:
    """Find and measure the annotated face on the frames of a video.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the video cannot be read, or has no usable annotated frame.
    """
    skipped = Skipped(str(folder))
    truth = _annotations(folder / "annot", skipped, every)
    shown: list[int] = []
    rows = []
    results = predictor.predict_photos(_frames(folder / "vid.avi", truth, shown))
    for index, result in enumerate(results):
        rows.append(_errors(result, truth[shown[index]]))
    for number in sorted(set(truth) - set(shown)):
        skipped.add(CorruptFileError(f"annot/{number:06d}.pts: the video has no such frame"))
    skipped.report(len(rows))
    if not rows:
        raise CorruptFileError(f"{folder}: holds no frame with a usable annotation")
    interocular, box = np.array(rows).T
    return VideoErrors(folder.name, np.array(shown), interocular, box, skipped.count)


def evaluate(predictor: FaceGeometry, folder: str | Path, every: int = 1) -> dict[str, Any]:
    """The figures of all videos.

    Returns
    -------
    report : dict
        ``videos``, a dict for each name, and ``all``: ``frames``, ``not_found``, ``failed`` (not
        found, or beyond :data:`FAILURE_PERCENT`), ``left_out``, ``interocular_percent`` and
        ``box_percent`` (means of the frames where the face was found); for videos also
        ``per_frame``. ``videos_left_out``; ``curve`` of all frames.
    """
    skipped = Skipped(str(folder))
    judged = []
    folders = find_videos(folder)
    for path in tqdm(folders, desc="videos", disable=None):
        try:
            judged.append(judge(predictor, path, every))
        except FacegeoError as error:
            skipped.add(error)
    skipped.report(len(judged))
    if not judged:
        raise CorruptFileError(f"{folder}: none of its {len(folders)} videos can be used")
    interocular = np.concatenate([video.interocular for video in judged])
    box = np.concatenate([video.box for video in judged])
    return {
        "videos": {
            video.name: _figures(video.interocular, video.box, video.left_out)
            | {
                "per_frame": {
                    "number": video.frames.tolist(),
                    "interocular_percent": video.interocular.tolist(),
                    "box_percent": video.box.tolist(),
                }
            }
            for video in judged
        },
        "all": _figures(interocular, box, sum(video.left_out for video in judged)),
        "every": every,
        "videos_left_out": skipped.count,
        "curve": error_curves(
            {"of the eyes' distance": interocular, "of the box": box},
            10.0,
            "NME in percent, 68 points",
            "part of the frames",
        ),
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, a row a video."""
    columns = ("frames", "not_found", "failed", "left_out", "interocular_percent", "box_percent")
    rows = [*report["videos"].items(), ("all frames", report["all"])]
    lines = [f"300VW, {len(report['videos'])} videos, 68 points, NME in percent", ""]
    lines += table(
        ["video", "frames", "not found", "failed", "left out", "of eyes' distance", "of box"],
        [(name, [values[c] for c in columns]) for name, values in rows],
    )
    lines += [
        "",
        "Means are over the frames where the face was found. Eyes' distance: between the outer "
        "corners; box: sqrt(width x height) around the annotated points. Failed: not found, or "
        f"beyond {FAILURE_PERCENT:g} % of the eyes' distance.",
        "The annotated outline is the visible one, facegeo's that of the 3D face. The papers print "
        "no figures for these videos.",
        f"Frames used: {part_used(report['every'])}. Videos left out: {report['videos_left_out']}.",
    ]
    return "\n".join(lines)


def _figures(interocular: np.ndarray, box: np.ndarray, left_out: int) -> dict[str, Any]:
    found = np.isfinite(interocular)
    nothing = float("nan")
    return {
        "frames": len(found),
        "not_found": int((~found).sum()),
        "failed": int((interocular > FAILURE_PERCENT).sum()),
        "left_out": left_out,
        "interocular_percent": float(interocular[found].mean()) if found.any() else nothing,
        "box_percent": float(box[found].mean()) if found.any() else nothing,
    }


def _annotations(folder: Path, skipped: Skipped, every: int) -> dict[int, np.ndarray]:
    """Number of the frame -> its points."""
    truth = {}
    for path in sorted(folder.glob("*.pts"))[::every]:
        try:
            if not path.stem.isdigit():
                raise CorruptFileError(f"{path}: its name is not the number of a frame")
            points = read_pts(path)
            if min(box_size(points[None])[0], np.ptp(points[list(_OUTER_CORNERS)])) <= 0:
                raise CorruptFileError(f"{path}: its points lie on a line or on one place")
        except FacegeoError as error:
            skipped.add(error)
        else:
            truth[int(path.stem)] = points
    return truth


def _frames(path: Path, wanted: Mapping[int, np.ndarray], shown: list[int]) -> Iterator[np.ndarray]:
    """The wanted frames of a video, in order; ``shown`` takes their numbers as they come."""
    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file")
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise CorruptFileError(f"{path}: not a video that can be decoded")
        last = max(wanted, default=0)
        for number in range(1, last + 1):
            if not video.grab():
                return
            if number not in wanted:
                continue
            done, frame = video.retrieve()
            if done:
                shown.append(number)
                yield frame
    finally:
        video.release()


def _errors(result: PhotoResult, truth: np.ndarray) -> tuple[float, float]:
    """Of the face that overlaps the annotated one most; infinite where none does."""
    if result.error is not None:
        raise result.error
    predicted = _nearest([face.landmarks[:, :2] for face in result.faces], truth)
    if predicted is None:
        return float("inf"), float("inf")
    interocular, box = point_errors(predicted[None], truth[None])
    return float(interocular[0]), float(box[0])


def _nearest(faces: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray | None:
    if not faces:
        return None
    boxes = np.stack([_box(points) for points in faces])
    shared = overlaps(boxes, _box(truth)[None])[:, 0]
    best = int(np.argmax(shared))
    return faces[best] if shared[best] > 0 else None


def _box(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
