"""Landmarks that the head itself hides, where a fitted head tells it with certainty.

Nobody said of most photos which points are seen. On MERL-RAV's faces, whose annotators did, a
point of brows, eyes or lips that lies 15 mm behind the fitted surface is one of theirs on the far
side in 98 to 100 of 100 cases. The same rule is wrong for half of the jaw's points, and says
nothing of what hair and hands cover: those stay unknown.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from facegeo.conventions import LANDMARK_REGIONS, NUM_LANDMARKS
from facegeo.geometry.crop import CROP_SIZE
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine
from facegeo.morphable import MorphableModel
from facegeo.render import rasterize
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.visibility import TURNED_AWAY, UNKNOWN

_HIDDEN_MM: Final = 15.0
#: A landmark's surroundings in the depth image, pixels to each side.
_AROUND: Final = 1

_TELLING: Final = [
    index
    for region in ("right_eyebrow", "left_eyebrow", "right_eye", "left_eye")
    for index in LANDMARK_REGIONS[region]
] + [*LANDMARK_REGIONS["outer_lips"], *LANDMARK_REGIONS["inner_lips"]]


def derived_visibility(model: MorphableModel, face: CoarseFace, params: np.ndarray) -> np.ndarray:
    """``TURNED_AWAY`` where the head surely hides a landmark, else ``UNKNOWN``.

    Parameters
    ----------
    model : MorphableModel
    face : CoarseFace
        The same model's.
    params : (N, P) float
        Of faces in crops of side 120.

    Returns
    -------
    visibility : (N, 68) uint8
    """
    found = np.full((len(params), NUM_LANDMARKS), UNKNOWN, np.uint8)
    landmarks = landmarks_of(params, model, face.convention)
    px_per_mm = decompose_affine(split(params).pose)[0] / model.unit_mm
    for row, points, mesh, scale in zip(
        found, landmarks, face.vertices(params), px_per_mm, strict=True
    ):
        depth = rasterize(mesh, face.triangles, CROP_SIZE, CROP_SIZE, threads=1).depth
        behind = _median_around(depth, points[:, :2]) - points[:, 2]
        hidden = [index for index in _TELLING if behind[index] > _HIDDEN_MM * scale]
        row[hidden] = TURNED_AWAY
    return found


def _median_around(depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Median depth of the pixels around each point ``(K, 2)``; -inf where most show no face."""
    last = len(depth) - 1 - _AROUND
    x, y = np.clip(np.rint(points), _AROUND, last).astype(int).T
    near = range(-_AROUND, _AROUND + 1)
    return np.asarray(np.median([depth[y + i, x + j] for i in near for j in near], axis=0))
