"""The detector of last resort: the LBP cascade for frontal faces in scikit-image's wheel."""

from __future__ import annotations

import cv2
import numpy as np

from facegeo.detect.base import Detections, DetectorOptions, select

#: Longer side of the photo that the cascade searches; its time grows with the area.
_SEARCH_SIDE = 640
_SMALLEST_FACE = 24
_SCALE_STEP = 1.15

#: Hits of one face overlap by at least this part of the smaller one.
_SAME_FACE = 0.4

#: FaceBoxes' box in units of the cascade's square: offset of the centre to the right and down,
#: width, height. Medians over 130 photos in which both found the face.
_TO_FACEBOXES = (0.0, 0.0, 0.96, 1.29)


class CascadeDetector:
    """Frontal faces only; scores are 1, for a cascade knows no confidence."""

    name = "cascade"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade

        self._options = options or DetectorOptions()
        self._cascade = Cascade(lbp_frontal_face_cascade_filename())

    def __call__(self, photo: np.ndarray) -> Detections:
        squares = merge(self._search(photo))
        boxes = as_faceboxes(squares)
        return select(boxes, np.ones(len(boxes), np.float32), self._options)

    def _search(self, photo: np.ndarray) -> np.ndarray:
        """Raw hits as ``(N, 4)`` xyxy squares in photo pixels."""
        scale = min(1.0, _SEARCH_SIDE / max(photo.shape[:2]))
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        longest = min(small.shape[:2])
        if longest < _SMALLEST_FACE:
            return np.zeros((0, 4), np.float32)
        hits = self._cascade.detect_multi_scale(
            img=cv2.cvtColor(small, cv2.COLOR_BGR2RGB),
            scale_factor=_SCALE_STEP,
            step_ratio=1,
            min_size=(_SMALLEST_FACE, _SMALLEST_FACE),
            max_size=(longest, longest),
        )
        corners = [(h["c"], h["r"], h["c"] + h["width"], h["r"] + h["height"]) for h in hits]
        return np.array(corners, np.float32).reshape(-1, 4) / np.float32(scale)


def merge(squares: np.ndarray) -> np.ndarray:
    """The mean of each group of squares that overlap, directly or through others.

    Parameters
    ----------
    squares : (N, 4) float32
        ``xyxy``.

    Returns
    -------
    squares : (M, 4) float32
    """
    if len(squares) == 0:
        return squares
    from scipy.sparse.csgraph import connected_components

    low = np.maximum(squares[:, None, :2], squares[None, :, :2])
    high = np.minimum(squares[:, None, 2:], squares[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = (squares[:, 2:] - squares[:, :2]).prod(axis=1)
    count, group = connected_components(common > _SAME_FACE * np.minimum(area[:, None], area))
    return np.stack([squares[group == i].mean(axis=0) for i in range(count)]).astype(np.float32)


def as_faceboxes(squares: np.ndarray) -> np.ndarray:
    """Cascade squares to boxes as FaceBoxes would place them, which the ROI rule is made for."""
    right, down, width, height = _TO_FACEBOXES
    side = squares[:, 2:] - squares[:, :2]
    centre = (squares[:, :2] + squares[:, 2:]) / 2 + side * np.array([right, down], np.float32)
    half = side * np.array([width, height], np.float32) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
