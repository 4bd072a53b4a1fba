"""BIWI Kinect head pose: yaw, pitch and roll of faces that a detector finds (M3-LRN, Table S2).

Fanelli et al. 2013. A folder a sequence: ``frame_00003_rgb.png``, ``frame_00003_pose.txt`` (three
rows of a rotation, then the head's centre in millimetres), ``rgb.cal``.

The files' frame is the depth camera's: x right, y down, z away from it. Published tables (HopeNet,
FSA-Net, M3-LRN) take the angles as they stand there. The photo was made by the colour camera beside
it, turned by about a degree; ``rgb.cal`` says how. Both are reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeo.errors import CorruptFileError, FacegeoError, UnreadableFileError
from facegeo.evaluation import published
from facegeo.evaluation.measures import pose_errors
from facegeo.evaluation.report import error_curves, part_used, published_rows, table
from facegeo.geometry import pose
from facegeo.geometry.axes import TO_VISION
from facegeo.geometry.params import split
from facegeo.images.collections import Skipped
from facegeo.predictor import FaceGeometry
from facegeo.results import Face

#: A face belongs to the annotated head if the middle of its box is nearer than this many box sides.
_NEAR = 1.0

_PHOTO, _POSE, _CALIBRATION = "_rgb.png", "_pose.txt", "rgb.cal"


@dataclass(frozen=True, eq=False)
class Calibration:
    """The colour camera, from ``rgb.cal``.

    Attributes
    ----------
    matrix : (3, 3) float64
        Camera matrix, pixels.
    rotation : (3, 3) float64
        Depth camera's axes to the colour camera's.
    translation : (3,) float64
        Millimetres.
    """

    matrix: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def project(self, point: np.ndarray) -> np.ndarray:
        """Photo pixels ``(2,)`` of a point in the depth camera's frame."""
        x, y, z = self.matrix @ (self.rotation @ point + self.translation)
        return np.array([x / z, y / z])


@dataclass(frozen=True, eq=False)
class Frame:
    """An annotated photo.

    Attributes
    ----------
    image : Path
    sequence : str
    rotation : (3, 3) float64
        As in the file: the head in the depth camera's frame.
    centre_px : (2,) float64
        The head's centre in the photo.
    calibration : Calibration
    """

    photo: Path
    sequence: str
    rotation: np.ndarray
    centre_px: np.ndarray
    calibration: Calibration


def angles_of(rotation: np.ndarray, calibration: np.ndarray | None = None) -> np.ndarray:
    """Yaw, pitch, roll in facegeo's sense from BIWI's rotations.

    With F the change of axes, a head at C R in the colour camera's frame is F C R F in ours: both
    the head's own axes and the camera's are BIWI's.

    Parameters
    ----------
    rotation : (N, 3, 3) float
        As the files have them.
    calibration : (N, 3, 3) float, optional
        C, from the depth camera's axes to the colour camera's; without it the angles are those of
        the published tables.

    Returns
    -------
    angles_deg : (N, 3) float64
        Yaw, pitch, roll.
    """
    turned = rotation if calibration is None else calibration @ rotation
    return pose.euler_from_rotation(TO_VISION @ turned @ TO_VISION)


def read_pose(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and head centre (3,) in millimetres. Raises CorruptFileError."""
    rows = _numbers(path)
    if [len(row) for row in rows] != [3, 3, 3, 3]:
        raise CorruptFileError(f"{path}: expected four rows of three numbers")
    return _rotation(path, rows[:3]), np.array(rows[3])


def read_calibration(path: Path) -> Calibration:
    """The colour camera. Raises UnreadableFileError, CorruptFileError.

    The file holds the camera matrix, a line of distortion, rotation, translation, image size.
    """
    rows = [row for row in _numbers(path) if len(row) == 3]
    if len(rows) != 7:
        raise CorruptFileError(
            f"{path}: expected a camera matrix, a rotation and a translation, "
            f"found {len(rows)} rows of three numbers instead of 7"
        )
    return Calibration(np.array(rows[:3]), _rotation(path, rows[3:6]), np.array(rows[6]))


def frames(
    folder: str | Path, skipped: Skipped, sequences: Sequence[str] = (), every: int = 1
) -> list[Frame]:
    """All annotated photos below a folder, or those of some sequences; bad ones go to ``skipped``.

    Raises
    ------
    UnreadableFileError
        If there are none, or a sequence that was named is not there.
    """
    folder = Path(folder)
    stems = sorted(
        {
            path.with_name(path.name.removesuffix(ending))
            for ending in (_PHOTO, _POSE)
            for path in folder.rglob(f"frame_*{ending}")
        }
    )
    by_folder: dict[Path, list[Path]] = {}
    for stem in stems:
        by_folder.setdefault(stem.parent, []).append(stem)
    missing = set(sequences) - {path.name for path in by_folder}
    if not by_folder or missing:
        raise UnreadableFileError(
            f"{folder}: expected folders NN with frame_*{_PHOTO} and frame_*{_POSE}; "
            f"{'no sequence ' + ', '.join(sorted(missing)) if missing else 'found none'}"
        )
    found = []
    for path, own in by_folder.items():
        if not sequences or path.name in sequences:
            found += list(_sequence(path, own[::every], skipped))
    return found


def evaluate(
    predictor: FaceGeometry, folder: str | Path, sequences: Sequence[str] = (), every: int = 1
) -> dict[str, Any]:
    """The protocol's figures.

    Parameters
    ----------
    predictor : FaceGeometry
        With the detector that is to find the faces.
    folder : path
    sequences : sequence of str
        Names of the folders to use; by default all.
    every : int
        Use each n-th frame of a sequence.

    Returns
    -------
    report : dict
        ``n`` (faces found), ``not_found``, ``left_out``, ``sequences``; ``pose_mae_deg`` by the
        published protocol (upstream's formula, the files' axes); ``pose_mae_deg_exact`` by the
        angles that facegeo returns; ``pose_mae_deg_calibrated`` the same against the colour
        camera's axes; ``by_sequence`` of the latter; ``curve``.
    """
    skipped = Skipped(str(folder))
    listed = frames(folder, skipped, sequences, every)
    names = sorted({frame.sequence for frame in listed})
    used, faces, not_found = [], [], 0
    results = predictor.predict_photos(frame.photo for frame in listed)
    bar = tqdm(listed, desc="BIWI", disable=None)
    for frame, result in zip(bar, results, strict=True):
        if result.error is not None:
            skipped.add(result.error)
            continue
        face = _face_at(result.faces, frame.centre_px)
        if face is None:
            not_found += 1
            continue
        used.append(frame)
        faces.append(face)
    skipped.report(len(used) + not_found)
    if not used:
        raise CorruptFileError(f"{folder}: no face was found at any annotated head")
    rotation = np.stack([frame.rotation for frame in used])
    turned = np.stack([frame.calibration.rotation for frame in used])
    own = np.array([(f.pose.yaw, f.pose.pitch, f.pose.roll) for f in faces])
    upstream = pose.upstream_euler(split(np.stack([f.params for f in faces])).pose)
    truth, calibrated = angles_of(rotation), angles_of(rotation, turned)
    sequence = np.array([frame.sequence for frame in used])
    missed = np.full(not_found, np.inf)
    return {
        "n": len(used),
        "not_found": not_found,
        "left_out": skipped.count,
        "every": every,
        "sequences": names,
        "pose_mae_deg": pose_errors(upstream, truth),
        "pose_mae_deg_exact": pose_errors(own, truth),
        "pose_mae_deg_calibrated": pose_errors(own, calibrated),
        "by_sequence": {
            name: pose_errors(own[sequence == name], calibrated[sequence == name])
            for name in sorted(set(sequence.tolist()))
        },
        "curve": error_curves(
            {
                name: np.concatenate([np.abs(own - calibrated)[:, axis], missed])
                for axis, name in enumerate(("yaw", "pitch", "roll"))
            },
            20.0,
            "absolute error in degrees, colour camera's axes",
        ),
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, beside the rows of the paper."""
    axes = ("yaw", "pitch", "roll", "mean")
    rows = (
        ("published protocol", "pose_mae_deg"),
        ("angles that facegeo returns", "pose_mae_deg_exact"),
        ("the same, colour camera's axes", "pose_mae_deg_calibrated"),
    )
    lines = [f"BIWI, {report['n']} faces, mean absolute error in degrees", ""]
    lines += table(["", *axes], [(name, [report[key][a] for a in axes]) for name, key in rows])
    lines += published_rows(published.BIWI)
    lines += [
        "",
        "The first two rows compare with the angles in the depth camera's axes, as published "
        "tables do; the third applies the rotation of rgb.cal.",
        f"Sequences: {', '.join(report['sequences'])}; frames used: {part_used(report['every'])}. "
        f"Heads whose face was not found, not in the means: {report['not_found']}. Frames left "
        f"out: {report['left_out']}.",
        f"Rows with the name of a method: {published.BIWI_SOURCE}; 8 sequences, faces found by "
        "FaceBoxes.",
    ]
    return "\n".join(lines)


def _sequence(folder: Path, stems: Sequence[Path], skipped: Skipped) -> Iterator[Frame]:
    try:
        calibration = read_calibration(folder / _CALIBRATION)
    except FacegeoError as error:
        for stem in stems:
            skipped.add(CorruptFileError(f"{stem.name} of sequence {folder.name}: {error}"))
        return
    for stem in stems:
        image, annotation = (stem.with_name(stem.name + e) for e in (_PHOTO, _POSE))
        try:
            if not image.is_file():
                raise UnreadableFileError(f"{image}: no such file")
            rotation, centre = read_pose(annotation)
        except FacegeoError as error:
            skipped.add(error)
            continue
        yield Frame(image, folder.name, rotation, calibration.project(centre), calibration)


def _face_at(faces: Sequence[Face], centre: np.ndarray) -> Face | None:
    """The face nearest to a place in the photo, if it is near."""

    def distance(face: Face) -> float:
        low, high = face.box[:2], face.box[2:]
        return float(np.linalg.norm((low + high) / 2 - centre) / np.sqrt((high - low).prod()))

    nearest = min(faces, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) < _NEAR else None


def _numbers(path: Path) -> list[list[float]]:
    """The rows of a text file that are not blank."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return [[float(word) for word in line.split()] for line in lines if line.strip()]
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CorruptFileError(f"{path}: {error}") from error


def _rotation(path: Path, rows: Sequence[Sequence[float]]) -> np.ndarray:
    matrix = np.array(rows)
    # Compared first: products of huge numbers are no numbers.
    if not (np.abs(matrix).max() < 2 and np.abs(matrix @ matrix.T - np.eye(3)).max() < 0.02) or (
        np.linalg.det(matrix) <= 0
    ):
        raise CorruptFileError(f"{path}: its three rows are not a rotation")
    return matrix
