"""Labels for real photos: a teacher's, corrected by manual points, in another face model.

1. The teacher sees every crop under several similarities; its parameters are taken back and
   averaged.
2. Gauss-Newton moves the whitened parameters so that the face agrees with the manual points, whose
   errors count robustly, and stays near the teacher.
3. The face model of the new network is fitted to the corrected 68 landmarks, at the corrected
   rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from facegeo.conventions import AFLW21_FROM_68, NUM_LANDMARKS
from facegeo.evaluation.measures import points_21
from facegeo.geometry import pose as pose_maths
from facegeo.geometry.crop import CropConvention, pose_from_crop, pose_to_crop
from facegeo.geometry.params import join, split
from facegeo.morphable import MorphableModel
from facegeo.morphable.fitting import LANDMARK_NOISE_MM, FitResult, fit_landmarks
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.similarity import inverted, similarities, transform_params
from facegeo.training.labels.joint import (
    Evidence,
    FaceModelRows,
    Pull,
    jointly_corrected,
    robust_weight,
)

#: Crops ``(N, S, S, 3)`` uint8 to parameters ``(N, P)`` float32.
Predict = Callable[[np.ndarray], np.ndarray]
#: Crops and similarities to the moved crops.
Warp = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Crop pixels at which a manual point counts a quarter.
_ROBUST_PX = 8.0
#: Weight of the sum of squared changes of the whitened parameters.
_STAY = 10.0
_ITERATIONS = 15
#: Faces fitted together: one whose expressions settle slowly holds up only these.
_GROUP = 128


@dataclass(frozen=True, eq=False)
class ManualPoints:
    """Points set by people.

    Attributes
    ----------
    points : (N, 21, 2) float
        Crop pixels.
    visible : (N, 21) bool
    """

    points: np.ndarray
    visible: np.ndarray


def averaged_params(
    predict: Predict,
    warp: Warp,
    crops: np.ndarray,
    convention: CropConvention,
    *,
    views: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """The teacher's parameters ``(N, P)``, averaged over the crop and jittered views of it."""
    rng = np.random.default_rng(seed)
    total = predict(crops).astype(np.float64)
    count = len(crops)
    for _ in range(views - 1):
        matrices = similarities(
            rng.uniform(-10, 10, count),
            rng.uniform(0.92, 1.08, count),
            rng.uniform(-4, 4, (count, 2)),
        )
        seen = predict(warp(crops, matrices))
        total += transform_params(seen.astype(np.float64), inverted(matrices), convention)
    return total / views


def convention_offsets(params: np.ndarray, rows: FaceModelRows, manual: ManualPoints) -> np.ndarray:
    """One constant offset a manual point, ``(21, 3)`` model units.

    Annotators and the teacher mean slightly different places of the face by a point. The offset
    o minimises the robust distance of A (v + o) + t from the manual points over all faces.
    """
    affine = pose_to_crop(split(params).pose, rows.convention)[:, :2]  # (N, 2, 4)
    residual = manual.points - points_21(rows.landmarks(params))[:, :, :2]
    offsets = np.zeros((len(AFLW21_FROM_68), 3))
    linear = affine[:, None, :, :3]
    scale = np.abs(linear).mean()
    for _ in range(_ITERATIONS):
        left = residual - np.einsum("nij,kj->nki", affine[:, :, :3], offsets)
        weight = manual.visible * robust_weight((left**2).sum(axis=2), _ROBUST_PX)
        # Normal equations of each point, summed over the faces: (21, 3, 3) and (21, 3).
        normal = np.einsum("nk,nij,nil->kjl", weight, affine[:, :, :3], affine[:, :, :3])
        right = np.einsum("nk,nij,nki->kj", weight, affine[:, :, :3], residual)
        ridge = 1e-6 * scale**2 * np.maximum(weight.sum(axis=0), 1)
        offsets = np.linalg.solve(normal + ridge[:, None, None] * np.eye(3), right[..., None])
        offsets = offsets[..., 0]
    return offsets


def corrected_params(
    params: np.ndarray,
    rows: FaceModelRows,
    manual: ManualPoints,
    offsets: np.ndarray | None = None,
    *,
    trust: float = 1.0,
) -> np.ndarray:
    """Parameters ``(N, P)`` that agree with the 21 manual points and stay near the teacher.

    ``offsets`` (21, 3) are taken out of the manual points. ``trust`` (0..1) is the part of the
    change that is then made. See :mod:`facegeo.training.labels.joint`.
    """
    return jointly_corrected(
        params, rows, [evidence_21(rows, manual, offsets)], Pull(_STAY, _ROBUST_PX, trust)
    )


def evidence_21(
    rows: FaceModelRows,
    manual: ManualPoints,
    offsets: np.ndarray | None = None,
    share: float | np.ndarray = 1.0,
) -> Evidence:
    """AFLW's 21 points: those that are visible weigh ``share`` together, ``(N,)`` or a number."""
    mean = points_21(rows.mean)
    if offsets is not None:
        mean = mean + offsets
    counts = np.maximum(manual.visible.sum(axis=1, keepdims=True), 1)
    weight = manual.visible / counts * np.reshape(share, (-1, 1))
    return Evidence(mean, points_21(rows.basis), manual.points.astype(np.float64), weight)


@dataclass(frozen=True, eq=False)
class FittedLabels:
    """Labels in the new face model.

    Attributes
    ----------
    params : (N, P) float32
        Of a network with the convention that was asked for.
    landmarks : (N, 68, 3) float32
        What refinement learns, crop pixels: x and y of the corrected landmarks themselves, depth of
        the fitted ones.
    residual : (N,) float64
        Root mean square distance of the fitted from the corrected landmarks, as a part of the face
        (the landmarks' spread).
    calibration : (3, 3) float64
        The rotation between the two face models' frames.
    """

    params: np.ndarray
    landmarks: np.ndarray
    residual: np.ndarray
    calibration: np.ndarray


@dataclass(frozen=True, eq=False)
class FitAccuracy:
    """Accuracy that each landmark asks of the fitted face.

    Attributes
    ----------
    noise_mm : float
        As for :func:`facegeo.morphable.fitting.fit_landmarks`.
    weights : (68,) float64
        Of the landmarks.
    rounds : int
        Fits one after the other; every one but the first takes the depth of the one before, so that
        what no photo shows bends nobody's face.
    """

    noise_mm: float = LANDMARK_NOISE_MM
    weights: np.ndarray = field(default_factory=lambda: np.ones(NUM_LANDMARKS))
    rounds: int = 1


def calibrating_rotation(rotations: np.ndarray, fit: FitResult) -> np.ndarray:
    """The one rotation C with fitted = given C, the mean over the faces of a free fit.

    Two face models do not call the same orientation frontal. A free fit of each face would let
    errors of the points turn it by degrees; their mean does not.
    """
    relative = np.swapaxes(rotations, 1, 2) @ fit.rotation
    return pose_maths.nearest_rotation(relative.mean(axis=0)[None])[0]


def fitted_labels(
    model: MorphableModel,
    landmarks: np.ndarray,
    rotation: np.ndarray,
    convention: CropConvention,
    *,
    calibration: np.ndarray | None = None,
    accuracy: FitAccuracy | None = None,
) -> FittedLabels:
    """Fit a face model to corrected landmarks.

    Parameters
    ----------
    landmarks : (N, 68, 3) float
        Crop pixels.
    rotation : (N, 3, 3) float
        Of the corrected poses, model to the y-up frame; held, but for the calibration.
    convention : CropConvention
        Of the network that the labels are for.
    calibration : (3, 3) float, optional
        By default found from a free fit of these faces.
    accuracy : FitAccuracy, optional
        By default every landmark counts the same, with its depth.
    """
    accuracy = accuracy or FitAccuracy()
    if calibration is None:
        some = slice(None, None, max(1, len(landmarks) // 2000))
        free = fit_landmarks(model.landmark_basis, landmarks[some], robust=True)
        calibration = calibrating_rotation(rotation[some], free)
    fit = _fitted(model, landmarks, rotation @ calibration, accuracy)
    pose = pose_from_crop(fit.pose, convention)
    params = join(pose, fit.shape, fit.expression).astype(np.float32)
    # No photo shows depth: it is what face model and pose make of it. Another model's would ask for
    # another pose.
    labels = landmarks.astype(np.float32)
    labels[..., 2] = landmarks_of(params, model, convention)[..., 2]
    spread = np.sqrt(landmarks.var(axis=1).sum(axis=1))
    residual = np.sqrt((fit.residual.astype(np.float64) ** 2).mean(axis=1)) / spread
    return FittedLabels(params, labels, residual, calibration)


def _fitted(
    model: MorphableModel, landmarks: np.ndarray, rotation: np.ndarray, accuracy: FitAccuracy
) -> FitResult:
    parts = [
        _fitted_group(
            model, landmarks[start : start + _GROUP], rotation[start : start + _GROUP], accuracy
        )
        for start in range(0, max(len(landmarks), 1), _GROUP)
    ]
    return FitResult(
        **{
            field_.name: np.concatenate([getattr(part, field_.name) for part in parts])
            for field_ in fields(FitResult)
        }
    )


def _fitted_group(
    model: MorphableModel, landmarks: np.ndarray, rotation: np.ndarray, accuracy: FitAccuracy
) -> FitResult:
    weights = np.tile(accuracy.weights, (len(landmarks), 1))

    def fitted_to(target: np.ndarray) -> FitResult:
        return fit_landmarks(
            model.landmark_basis,
            target,
            rotation=rotation,
            weights=weights,
            landmark_noise_mm=accuracy.noise_mm,
        )

    fit = fitted_to(landmarks)
    for _ in range(accuracy.rounds - 1):
        drawn = model.landmarks(fit.shape, fit.expression, fit.pose)
        fit = fitted_to(np.concatenate([landmarks[..., :2], drawn[..., 2:]], axis=2))
    return fit
