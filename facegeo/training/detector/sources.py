"""Material of scenes: face crops with boxes, and photographs with regions to ignore."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeo.detect.base import Detector
from facegeo.evaluation.aflw import AflwCrops
from facegeo.geometry.crop import CROP_SIZE
from facegeo.images.collections import decoded
from facegeo.synthetic.negatives import training_backgrounds

_log = logging.getLogger(__name__)

#: A crop is shown to the teacher at this side, in a frame of repeated border pixels.
_SHOWN_SIDE, _SHOWN_FRAME = 144, 56

#: The face of a crop is where its annotators put it: near this point, in crop pixels.
_EXPECTED_CENTRE = (60.0, 47.0)
_LARGEST_SHIFT = 30.0

#: Where the teacher is less sure of a crop, the box is predicted from the annotated points.
_SURE = 0.7

#: Another face in a crop, from this score on, would be taught to be none: such crops are left out.
_ANOTHER = 0.4

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
    yaw_deg : (N,) float64
    """

    crops: np.ndarray
    boxes: np.ndarray
    yaw_deg: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Faces:
        return Faces(self.crops[rows], self.boxes[rows], self.yaw_deg[rows])


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Photographs and, for each, ``(M, 4)`` boxes that may hold faces."""

    names: tuple[str, ...]
    photos: list[np.ndarray]
    ignored: list[np.ndarray]


def read_backgrounds(path: str | Path) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and photographs of a folder or tar archive that may be trained on."""
    images = training_backgrounds(path)
    return tuple(images.names), list(decoded(images, range(len(images.names))))


def taught_boxes(
    data: AflwCrops, crops: np.ndarray, teacher: Detector
) -> tuple[np.ndarray, np.ndarray]:
    """The teacher's box in every crop; where it is unsure, one predicted from the points.

    Returns
    -------
    boxes : (N, 4) float32
        Crop pixels.
    alone : (N,) bool
        Whether the teacher sees no other face in the crop.
    """
    boxes, scores, alone = _shown_to(teacher, crops)
    features = point_features(data.points, data.visible, data.rois, data.yaw_deg)
    return complete_boxes(boxes, scores, features), alone


def ignored_regions(images: Sequence[np.ndarray], teacher: Detector) -> list[np.ndarray]:
    """``(M, 4)`` boxes of each photo that may be faces, at its own and at twice its size."""
    regions = []
    for image in tqdm(images, desc="ignored regions", disable=None):
        found = teacher(image)
        larger = teacher(cv2.resize(image, None, fx=2, fy=2))
        sure = found.boxes[found.scores >= _MAYBE_FACE]
        sure_larger = larger.boxes[larger.scores >= _MAYBE_FACE] / 2
        regions.append(np.concatenate([sure, sure_larger]).astype(np.float32))
    return regions


def point_features(
    points: np.ndarray, visible: np.ndarray, rois: np.ndarray, yaw_deg: np.ndarray
) -> np.ndarray:
    """Places of the visible points of a crop, as regressors of the box.

    Parameters
    ----------
    points : (N, 21, 2) float
        Photo pixels.
    visible : (N, 21) bool
    rois : (N, 4) float
    yaw_deg : (N,) float64

    Returns
    -------
    features : (N, F) float64
    """
    rois = rois.astype(np.float64)
    seen = visible[:, :, None]
    local = (points - rois[:, None, :2]) / (rois[:, None, 2:] - rois[:, None, :2]) - 0.5
    low = np.where(seen, local, np.inf).min(axis=1)
    high = np.where(seen, local, -np.inf).max(axis=1)
    mean = np.where(seen, local, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    turn = np.sin(np.radians(yaw_deg))
    basic = np.column_stack([low, high, mean, turn, np.abs(turn)])
    basic = np.clip(np.nan_to_num(basic, posinf=0, neginf=0), -2, 2)
    products = (basic[:, :, None] * basic[:, None, :])[:, *np.triu_indices(basic.shape[1])]
    flat = np.where(seen, local, mean[:, None]).clip(-2, 2).reshape(len(points), -1)
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


def _shown_to(teacher: Detector, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes = np.zeros((len(crops), 4), np.float32)
    scores = np.zeros(len(crops), np.float32)
    alone = np.ones(len(crops), bool)
    frame = (_SHOWN_FRAME,) * 4
    for row, crop in enumerate(tqdm(crops, desc="boxes of the crops", disable=None)):
        shown = cv2.resize(crop, (_SHOWN_SIDE, _SHOWN_SIDE))
        found = teacher(cv2.copyMakeBorder(shown, *frame, cv2.BORDER_REPLICATE))
        placed = (found.boxes - _SHOWN_FRAME) * np.float32(CROP_SIZE / _SHOWN_SIDE)
        shift = np.abs((placed[:, :2] + placed[:, 2:]) / 2 - _EXPECTED_CENTRE).max(axis=1)
        near = np.flatnonzero(shift < _LARGEST_SHIFT)
        if len(near):
            boxes[row], scores[row] = placed[near[0]], found.scores[near[0]]
        others = np.delete(found.scores, near[:1])
        alone[row] = not (others >= _ANOTHER).any()
    return boxes, scores, alone
