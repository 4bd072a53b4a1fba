"""What scenes are made of: face crops with boxes, and photographs with regions to ignore."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeo import negatives
from facegeo.detect.base import Detector
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.pictures import TarPictures, decode

_log = logging.getLogger(__name__)

CROP_SIDE = 120

#: A crop is shown to the teacher at this side, in a frame of repeated border pixels.
_SHOWN_SIDE, _SHOWN_FRAME = 144, 56

#: The face of a crop is where its annotators put it: near this point, in crop pixels.
_EXPECTED_CENTRE = (60.0, 47.0)
_LARGEST_SHIFT = 30.0

#: Where the teacher is less sure of a crop, the box is predicted from the annotated points.
_SURE = 0.7

#: Background boxes above this score may be faces: nothing is learnt there.
_MAYBE_FACE = 0.4


@dataclass(frozen=True, eq=False)
class Faces:
    """Face crops and the detector's box in each.

    Attributes
    ----------
    crops : (N, 120, 120, 3) uint8
    boxes : (N, 4) float32
        ``xyxy`` in crop pixels, as the teacher places them.
    """

    crops: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Photographs and, for each, ``(M, 4)`` boxes that may hold faces."""

    names: tuple[str, ...]
    photos: list[np.ndarray]
    ignored: list[np.ndarray]


def read_faces(folder: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Crops ``(N, 120, 120, 3)`` of ``crops.tar``, and :func:`point_features` of their points."""
    folder = Path(folder)
    path = folder / "annotations.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive["names"]
            points, rois = archive["pts21"].astype(np.float64), archive["roi_box"].astype(float)
            yaw = archive["yaw_deg"].astype(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise UnreadableFileError(f"{path}: {error}") from error
    by_name = dict(_read_images(folder / "crops.tar"))
    try:
        crops = np.stack([by_name[str(name)] for name in names])
    except KeyError as error:
        raise CorruptFileError(f"{folder / 'crops.tar'}: {error} is missing") from error
    return crops, point_features(points, rois, yaw)


def read_backgrounds(path: str | Path) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and photographs of a tar file, in the order of the names."""
    images = sorted(_read_images(Path(path)), key=lambda item: item[0])
    return tuple(name for name, _ in images), [photo for _, photo in images]


def taught_boxes(crops: np.ndarray, features: np.ndarray, teacher: Detector) -> np.ndarray:
    """The teacher's box in every crop; where it is unsure, one predicted from the points."""
    boxes, scores = _shown_to(teacher, crops)
    return complete_boxes(boxes, scores, features)


def ignored_regions(photos: Sequence[np.ndarray], teacher: Detector) -> list[np.ndarray]:
    """``(M, 4)`` boxes of each photo that may be faces, at its own and at twice its size."""
    regions = []
    for photo in tqdm(photos, desc="ignored regions", disable=None):
        found = teacher(photo)
        larger = teacher(cv2.resize(photo, None, fx=2, fy=2))
        sure = found.boxes[found.scores >= _MAYBE_FACE]
        sure_larger = larger.boxes[larger.scores >= _MAYBE_FACE] / 2
        regions.append(np.concatenate([sure, sure_larger]).astype(np.float32))
    return regions


def split_backgrounds(all_photos: Backgrounds, held_back: int) -> tuple[Backgrounds, Backgrounds]:
    """(for training, for evaluation): every ``held_back``-th photo is never trained on."""

    def part(rows: list[int]) -> Backgrounds:
        return Backgrounds(
            tuple(all_photos.names[i] for i in rows),
            [all_photos.photos[i] for i in rows],
            [all_photos.ignored[i] for i in rows],
        )

    chosen = negatives.split_backgrounds(all_photos.names, held_back)
    return part(chosen.training), part(chosen.held_back)


def point_features(points: np.ndarray, rois: np.ndarray, yaw_deg: np.ndarray) -> np.ndarray:
    """Where the visible points of a crop lie, as regressors of the box.

    Parameters
    ----------
    points : (N, 2, 21) float64
        Photo pixels; x is -1 where a point is not visible.
    rois : (N, 4) float64
    yaw_deg : (N,) float64

    Returns
    -------
    features : (N, F) float64
    """
    seen = points[:, :1] >= 0
    scale = CROP_SIDE / (rois[:, 2:] - rois[:, :2])
    local = (points - rois[:, :2, None]) * scale[:, :, None] / CROP_SIDE - 0.5
    low = np.where(seen, local, np.inf).min(axis=2)
    high = np.where(seen, local, -np.inf).max(axis=2)
    mean = np.where(seen, local, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    turn = np.sin(np.radians(yaw_deg))
    basic = np.column_stack([low, high, mean, turn, np.abs(turn)])
    basic = np.clip(np.nan_to_num(basic, posinf=0, neginf=0), -2, 2)
    products = (basic[:, :, None] * basic[:, None, :])[:, *np.triu_indices(basic.shape[1])]
    flat = np.where(seen, local, mean[:, :, None]).clip(-2, 2).reshape(len(points), -1)
    return np.column_stack([np.ones(len(points)), basic, products, flat])


def complete_boxes(boxes: np.ndarray, scores: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Boxes of unsure crops from a ridge regression on the sure ones.

    The same regression replaces a sure box that lies far from where the points want it.
    """
    sure = scores >= _SURE
    gram = features[sure].T @ features[sure] + np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features[sure].T @ boxes[sure])
    predicted = (features @ weights).astype(np.float32)
    strange = np.abs(boxes - predicted).max(axis=1, where=np.isfinite(boxes), initial=0) > 25
    _log.info("teacher's boxes: %.3f, from points: %.3f", sure.mean(), 1 - (sure & ~strange).mean())
    return np.where((sure & ~strange)[:, None], boxes, predicted).astype(np.float32)


def _shown_to(teacher: Detector, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.zeros((len(crops), 4), np.float32)
    scores = np.zeros(len(crops), np.float32)
    frame = (_SHOWN_FRAME,) * 4
    for row, crop in enumerate(tqdm(crops, desc="boxes of the crops", disable=None)):
        shown = cv2.resize(crop, (_SHOWN_SIDE, _SHOWN_SIDE))
        found = teacher(cv2.copyMakeBorder(shown, *frame, cv2.BORDER_REPLICATE))
        placed = (found.boxes - _SHOWN_FRAME) * np.float32(CROP_SIDE / _SHOWN_SIDE)
        shift = np.abs((placed[:, :2] + placed[:, 2:]) / 2 - _EXPECTED_CENTRE).max(axis=1)
        near = np.flatnonzero(shift < _LARGEST_SHIFT)
        if len(near):
            boxes[row], scores[row] = placed[near[0]], found.scores[near[0]]
    return boxes, scores


def _read_images(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    pictures = TarPictures(path)
    for index, name in enumerate(pictures.names):
        yield Path(name).name, decode(pictures.read(index), f"{path}: {name}")
