"""Landmarks and rotation of a face from a teacher and everything that people set on its photo.

1. One Gauss-Newton pulls the teacher's parameters towards AFLW's 21 points and the 68 manual ones.
2. The landmarks then move a further part towards the manual points. How far eyes and mouth are
   open is the manual points' word alone, because no teacher knows whether an eye is shut.
3. The rotation is found apart, from points that only it explains, and turned back by what the
   teacher turns profiles too far.

Everything is in exact crop pixels: the teacher's own lie ``drift`` px further left, which its
answers for mirrored crops show; MERL-RAV's points and AFLW's agree with that to 0.1 px in x.

The constants were chosen on MERL-RAV's validation part by points that had no part in the labels
(docs/training.md); those of the rotation, for which it has no truth, are older.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine
from facegeo.training.data.visibility import COVERED
from facegeo.training.labels.correction import ManualPoints, evidence_21
from facegeo.training.labels.joint import Evidence, FaceModelRows, Pull, jointly_corrected
from facegeo.training.labels.manual import Manual68
from facegeo.training.labels.yaw_bias import turned_back, with_depth_turned

_JAW: Final = list(LANDMARK_REGIONS["jaw"])
#: What opens: all its points, and its corners.
_OPENINGS: Final = (
    (list(LANDMARK_REGIONS["right_eye"]), (36, 39)),
    (list(LANDMARK_REGIONS["left_eye"]), (42, 45)),
    ([*LANDMARK_REGIONS["outer_lips"], *LANDMARK_REGIONS["inner_lips"]], (48, 54)),
)


@dataclass(frozen=True)
class Recipe:
    """The constants.

    Attributes
    ----------
    both, only_21 : Pull
        Of faces with 68 manual points, and with AFLW's 21 alone.
    share_21 : float
        Weight of AFLW's 21 points together, where the 68 have the rest of 1.
    covered, jaw : float
        Weight of a point that is covered, and of one of the jaw, which people set on the outline
        and not on the bone.
    move : float
        Part of the remaining way to the manual points that landmarks go.
    robust_move_px : float
        Distance at which a point goes half of that way.
    rotation : Pull
    yaw_bias_deg : float
        How much too far the teacher turns a profile.
    """

    both: Pull = field(default_factory=lambda: Pull(stay=0.03, robust_px=12, trust=0.5))
    only_21: Pull = field(default_factory=lambda: Pull(stay=0.1, robust_px=8, trust=0.6))
    share_21: float = 0.35
    covered: float = 0.5
    jaw: float = 0.3
    move: float = 0.5
    robust_move_px: float = 8
    rotation: Pull = field(default_factory=lambda: Pull(stay=1, robust_px=8))
    yaw_bias_deg: float = 3.5


@dataclass(frozen=True, eq=False)
class TeacherFaces:
    """Estimates of the teacher for N crops.

    Attributes
    ----------
    params : (N, P) float64
    rows : FaceModelRows
        Meaning of the parameters.
    drift : float
        What is added to x of the teacher's landmarks to get exact crop pixels.
    """

    params: np.ndarray
    rows: FaceModelRows
    drift: float

    def landmarks(self, params: np.ndarray) -> np.ndarray:
        """``(N, P)`` parameters to ``(N, 68, 3)`` exact crop pixels."""
        points = self.rows.landmarks(params)
        points[..., 0] += self.drift
        return points

    def targets(self, exact: np.ndarray) -> np.ndarray:
        """Exact crop pixels ``(N, K, 2)`` to the teacher's."""
        return np.nan_to_num(exact) - [self.drift, 0.0]


@dataclass(frozen=True, eq=False)
class CorrectedFaces:
    """Corrected faces.

    Attributes
    ----------
    landmarks : (N, 68, 3) float64
        Exact crop pixels, depth of the rotation below.
    rotation : (N, 3, 3) float64
        Model to the y-up frame, of the teacher's face model.
    params : (N, P) float64
        Of the teacher, as the joint solution has them: before landmarks move further.
    """

    landmarks: np.ndarray
    rotation: np.ndarray
    params: np.ndarray


def corrected_faces(
    teacher: TeacherFaces,
    manual: Manual68,
    manual_21: ManualPoints | None = None,
    offsets_21: np.ndarray | None = None,
    recipe: Recipe | None = None,
) -> CorrectedFaces:
    """The faces as teacher and people together have them.

    Parameters
    ----------
    manual : Manual68
        Exact crop pixels; a face may have none.
    manual_21 : ManualPoints, optional
        AFLW's points, in the teacher's crop pixels.
    offsets_21 : (21, 3) float, optional
        See :func:`facegeo.training.labels.correction.convention_offsets`.
    recipe : Recipe, optional
        By default the constants that were chosen.
    """
    recipe = recipe or Recipe()
    weights = point_weights(manual, recipe)
    has_68 = weights.sum(axis=1) > 0
    start, rows = teacher.params, teacher.rows
    share = recipe.share_21 if manual_21 is not None else 0.0
    kinds = [_evidence_68(teacher, manual, weights, 1 - share)]
    alone = []
    if manual_21 is not None:
        kinds.append(evidence_21(rows, manual_21, offsets_21, share))
        alone.append(evidence_21(rows, manual_21, offsets_21))
    params = np.array(start, np.float64)
    for chosen, evidence, pull in (
        (has_68, kinds, recipe.both),
        (~has_68, alone, recipe.only_21),
    ):
        if chosen.any():
            some = [kind.some(chosen) for kind in evidence]
            params[chosen] = jointly_corrected(start[chosen], rows, some, pull)
    landmarks = moved_to(teacher.landmarks(params), manual, weights, recipe)
    rotation = _rotations(jointly_corrected(start, rows, alone or kinds, recipe.rotation))
    held = turned_back(rotation, recipe.yaw_bias_deg)
    landmarks = with_depth_turned(landmarks, _rotations(params), held)
    return CorrectedFaces(landmarks, held, params)


def point_weights(manual: Manual68, recipe: Recipe) -> np.ndarray:
    """Weight of each manual point, ``(N, 68)``: 0 where nobody set it."""
    weights = manual.is_set.astype(np.float64)
    weights[manual.state == COVERED] *= recipe.covered
    weights[:, _JAW] *= recipe.jaw
    return weights


def moved_to(
    landmarks: np.ndarray, manual: Manual68, weights: np.ndarray, recipe: Recipe
) -> np.ndarray:
    """Landmarks ``(N, 68, 3)`` that went a part of the way to the manual points, in x and y."""
    way = np.nan_to_num(manual.points - landmarks[..., :2])
    squared = (way**2).sum(axis=2)
    certain = (weights / (1 + squared / recipe.robust_move_px**2))[..., None]
    step = recipe.move * certain * way
    for points, corners in _OPENINGS:
        step[:, points] += (1 - recipe.move) * _across(
            landmarks[..., :2], way, certain, points, corners
        )
    moved = landmarks.copy()
    moved[..., :2] += step
    return moved


def _across(
    landmarks: np.ndarray,
    way: np.ndarray,
    certain: np.ndarray,
    points: list[int],
    corners: tuple[int, int],
) -> np.ndarray:
    """The part of the points' ways that opens or shuts: across the corners, less their mean."""
    total = np.maximum(certain[:, points].sum(axis=1, keepdims=True), 1e-9)
    mean = (certain * way)[:, points].sum(axis=1, keepdims=True) / total
    axis = landmarks[:, corners[1]] - landmarks[:, corners[0]]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-axis[:, 1], axis[:, 0]], axis=1)[:, None]
    within = way[:, points] - mean
    return certain[:, points] * (within * normal).sum(axis=2, keepdims=True) * normal


def _evidence_68(
    teacher: TeacherFaces, manual: Manual68, weights: np.ndarray, share: float
) -> Evidence:
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    rows = teacher.rows
    return Evidence(rows.mean, rows.basis, teacher.targets(manual.points), share * weights / total)


def _rotations(params: np.ndarray) -> np.ndarray:
    return decompose_affine(split(params).pose)[1]
