"""Fitting a morphable model to 68 3D landmarks: pose, shape and expression by least squares.

The model of a landmark is x = s R (m + B c) + t: mean m and basis B at the landmark, coefficients
c, similarity pose s, R, t. What is minimised is the negative log posterior

    sum_k w_k |x_k - y_k|^2 / sigma^2 + sum_i (c_i / std_i - m_i)^2

where sigma is the landmarks' noise, given in millimetres on the face, and m_i is 0; for expressions
that cannot be negative it is -1, for a face shows few of them at a time. Gauss-Newton from the
closed-form pose of the mean face: every step is one small linear system a face, all faces at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import Y_FLIP
from facegeo.morphable.solver import (
    Problem,
    State,
    landmark_problem,
    residual_length,
    similarity_transform,
    step_faces,
    step_shared,
)

if TYPE_CHECKING:
    from facegeo.morphable.basis import LandmarkBasis

#: Error of a landmark along one axis, in millimetres on the face, unless the caller knows better.
#: Of 0.7, 1, 1.4, 2 and 2.8 the smaller predict points better that were held out, on 300-W's
#: training photos; 0.7 is hardly better than 1, with which ICT-FaceKit's surfaces are nearer.
LANDMARK_NOISE_MM = 1.0

#: What takes landmarks of a frame to the camera frame (x right, y up, z to the viewer), and back.
_TO_CAMERA = {"photo": Y_FLIP, "model": np.ones(3)}

_ITERATIONS = 7
_ROBUST_ITERATIONS = 20
#: Degrees of freedom of the Student distribution that robust weights assume; 4 is customary.
_STUDENT = 4.0
#: Median length of a 3D vector whose components are standard normal.
_MEDIAN_CHI3 = 1.538
#: Faces solved together; bounds memory, not results.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class FitResult:
    """A morphable model fitted to N faces.

    Attributes
    ----------
    pose : (N, 3, 4) float32
        Model units to the frame of the landmarks that were given: ``model.vertices(shape,
        expression, pose)`` lies on them. In photo pixels (y down) it contains the flip of y.
    shape : (N, Ns) float32
    expression : (N, Ne) float32
    scale : (N,) float64
        Landmark units (pixels) per model unit.
    rotation : (N, 3, 3) float64
        Orthonormal, determinant +1: model axes to camera axes (x right, y up, z to the viewer).
    residual : (N, 68) float32
        Distance of each landmark from the fitted one, in the landmarks' unit.
    weights : (N, 68) float32
        What each landmark counted in the last step; ones unless weights or ``robust`` were asked.
    """

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray
    residual: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.pose)


@dataclass(frozen=True, eq=False)
class SharedShapeFit(FitResult):
    """N frames of one person: ``shape`` has the same row for every frame.

    Attributes
    ----------
    frame_weights : (N,) float32
        How much each frame counted, 0..1; near 0 for frames that do not agree with the others.
    """

    frame_weights: np.ndarray


def fit_landmarks(
    basis: LandmarkBasis,
    landmarks_3d: np.ndarray,
    *,
    frame: str = "photo",
    landmark_noise_mm: float = LANDMARK_NOISE_MM,
    rotation: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    robust: bool = False,
) -> FitResult:
    """Pose, shape and expression of N faces, each from its 68 landmarks.

    Parameters
    ----------
    basis : LandmarkBasis
    landmarks_3d : (N, 68, 3) float
        In the frame that ``frame`` names; any unit, the same along the three axes.
    frame : "photo" or "model"
        "photo": x right, y down, z to the viewer, as in photo and crop pixels (left-handed).
        "model": x right, y up, z to the viewer (right-handed).
    landmark_noise_mm : float
        Expected error of a landmark along an axis, in millimetres on the face. The larger, the
        nearer the coefficients stay to zero.
    rotation : (N, 3, 3) float, optional
        Keep this rotation (model axes to camera axes, y up) and fit the rest.
    weights : (N, 68) float, optional
        Not negative; 0 leaves a point out.
    robust : bool
        Reweight the points as if their errors followed a Student distribution, so that a few wrong
        ones do not bend the face.

    Returns
    -------
    FitResult

    Raises
    ------
    InvalidInputError
        If a shape is wrong, a number is not finite, or the points of a face coincide.
    """
    target, flip, weights = _checked_landmarks(landmarks_3d, frame, weights)
    if rotation is not None:
        rotation = array_of("rotation", rotation, (len(target), 3, 3), np.float64)
    problem = landmark_problem(basis, landmark_noise_mm)
    parts = []
    for start in range(0, max(len(target), 1), _CHUNK):
        part = slice(start, start + _CHUNK)
        fixed = None if rotation is None else rotation[part]
        state, used = _fit_faces(problem, target[part], weights[part], fixed, robust)
        parts.append(_as_fields(problem, state, target[part], used, flip))
    return FitResult(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def fit_shared_shape(
    basis: LandmarkBasis,
    landmarks_3d: np.ndarray,
    *,
    frame: str = "photo",
    landmark_noise_mm: float = LANDMARK_NOISE_MM,
    weights: np.ndarray | None = None,
) -> SharedShapeFit:
    """One shape for all frames of one person, and pose and expression of each frame.

    Points and whole frames that do not agree with the rest are weighted down (iteratively
    reweighted least squares), so a few frames of a failed detection do no harm.

    Parameters
    ----------
    basis, frame, landmark_noise_mm, weights
        As in :func:`fit_landmarks`.
    landmarks_3d : (N, 68, 3) float
        One row a frame, at least one.

    Raises
    ------
    InvalidInputError
        As :func:`fit_landmarks`, and if there is no frame.
    """
    target, flip, weights = _checked_landmarks(landmarks_3d, frame, weights)
    if len(target) == 0:
        raise InvalidInputError("landmarks_3d: expected at least one frame, got none")
    problem = landmark_problem(basis, landmark_noise_mm)
    state, point_weights = _initial_state(problem, target, weights, None, robust=True)
    frame_weights = np.ones(len(target))
    scale_0 = state.scale
    for _ in range(_ROBUST_ITERATIONS):
        used = point_weights * frame_weights[:, None]
        step_shared(problem, state, target, used, (state.scale / scale_0) ** 2)
        distance = residual_length(problem, state, target)
        point_weights = weights * _student_weights(distance, scale_0 * problem.noise_mm)
        frame_weights = _frame_weights(distance / scale_0[:, None], point_weights)
    used = point_weights * frame_weights[:, None]
    return SharedShapeFit(
        **_as_fields(problem, state, target, used, flip),
        frame_weights=frame_weights.astype(np.float32),
    )


def _checked_landmarks(
    landmarks: Any, frame: str, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks in the camera frame, the flip that takes them back, and weights."""
    if frame not in _TO_CAMERA:
        raise InvalidInputError(f"frame: expected one of {sorted(_TO_CAMERA)}, got {frame!r}")
    flip = _TO_CAMERA[frame]
    target = array_of("landmarks_3d", landmarks, ("N", NUM_LANDMARKS, 3), np.float64) * flip
    if weights is None:
        weights = np.ones(target.shape[:2])
    weights = array_of("weights", weights, target.shape[:2], np.float64)
    if weights.size and weights.min() < 0:
        raise InvalidInputError(f"weights: expected numbers >= 0, got {weights.min()}")
    few = np.count_nonzero(weights, axis=1) < 4
    if few.any():
        raise InvalidInputError(
            f"weights: expected at least 4 points of weight > 0, not so at index {np.argmax(few)}"
        )
    flat = np.ptp(target, axis=1).max(axis=1, initial=0) <= 0
    if flat.any():
        raise InvalidInputError(
            f"landmarks_3d: all 68 points coincide in the face at index {np.argmax(flat)}"
        )
    return target, flip, weights


def _fit_faces(
    problem: Problem,
    target: np.ndarray,
    weights: np.ndarray,
    rotation: np.ndarray | None,
    robust: bool,
) -> tuple[State, np.ndarray]:
    state, used = _initial_state(problem, target, weights, rotation, robust)
    scale_0 = state.scale
    for _ in range(_ROBUST_ITERATIONS if robust else _ITERATIONS):
        step_faces(problem, state, target, used, (state.scale / scale_0) ** 2, rotation is not None)
        if robust:
            distance = residual_length(problem, state, target)
            used = weights * _student_weights(distance, scale_0 * problem.noise_mm)
    return state, used


def _initial_state(
    problem: Problem,
    target: np.ndarray,
    weights: np.ndarray,
    rotation: np.ndarray | None,
    robust: bool,
) -> tuple[State, np.ndarray]:
    """The mean face in its best similarity pose, and the weights found on the way."""
    used = weights
    for _ in range(5 if robust else 1):
        scale, turned, translation = similarity_transform(problem.mean, target, used)
        state = State(scale, turned, translation, np.zeros((len(target), len(problem.std))))
        if robust:
            distance = residual_length(problem, state, target)
            used = weights * _student_weights(distance, scale * problem.noise_mm)
    if rotation is not None:
        state.rotation = rotation
        centre = np.average(problem.mean, axis=0)
        turn = state.rotation - turned
        state.translation = translation - scale[:, None] * (turn @ centre)
    return state, used


def _student_weights(distance: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Weights in (0, 1.75] of points; ``noise`` (N,) is raised to what a face's points show."""
    spread = np.maximum(noise, np.median(distance, axis=1) / _MEDIAN_CHI3)[:, None]
    return (_STUDENT + 3) / (_STUDENT + (distance / spread) ** 2)


def _frame_weights(distance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights in (0, 1] of frames: they fall with the fourth power of the frame's residual.

    One up to twice the usual residual. It is taken with the points' weights, so that a frame with a
    few wrong points is kept.
    """
    rms = np.sqrt((weights * distance**2).sum(axis=1) / weights.sum(axis=1))
    usual = max(float(np.median(rms)), np.finfo(float).tiny)
    return np.minimum(1, (2 * usual / np.maximum(rms, usual)) ** 4)


def _as_fields(
    problem: Problem, state: State, target: np.ndarray, weights: np.ndarray, flip: np.ndarray
) -> dict[str, np.ndarray]:
    scale = state.scale * problem.unit_mm
    linear = scale[:, None, None] * state.rotation
    pose = np.concatenate([linear, state.translation[..., None]], axis=2) * flip[:, None]
    coefficients = problem.found(state.coefficients).astype(np.float32)
    return {
        "pose": pose.astype(np.float32),
        "shape": coefficients[:, : problem.num_shape],
        "expression": coefficients[:, problem.num_shape :],
        "scale": scale,
        "rotation": state.rotation,
        "residual": residual_length(problem, state, target).astype(np.float32),
        "weights": weights.astype(np.float32),
    }
