"""Fitting a morphable model to 68 3D landmarks: pose, shape and expression by least squares.

The model of a landmark is x = s R (m + B c) + t: mean m and basis B at the landmark, coefficients
c, similarity pose s, R, t. What is minimised is the negative log posterior

    sum_k w_k |x_k - y_k|^2 / sigma^2 + sum_i c_i^2 / std_i^2

where sigma is the landmarks' noise, given in millimetres on the face. Gauss-Newton from the
closed-form pose of the mean face: every step is one small linear system a face, all faces at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeo.checks import array_of
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError

if TYPE_CHECKING:
    from facegeo.morphable import LandmarkBasis

#: Error of a landmark along one axis, in millimetres on the face, unless the caller knows better.
LANDMARK_NOISE_MM = 2.0

#: What takes landmarks of a frame to the camera frame (x right, y up, z to the viewer), and back.
_TO_CAMERA = {"photo": np.array([1.0, -1.0, 1.0]), "model": np.ones(3)}

_ITERATIONS = 7
_ROBUST_ITERATIONS = 20
#: Parameters of a pose step: rotation vector, log scale, translation.
_POSE = 7
#: Degrees of freedom of the Student distribution that robust weights assume; 4 is customary.
_STUDENT = 4.0
#: Median length of a 3D vector whose components are standard normal.
_MEDIAN_CHI3 = 1.538
_COORDINATES = 3 * NUM_LANDMARKS
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


@dataclass
class _State:
    """Estimates during the iteration, camera frame, float64."""

    scale: np.ndarray  # (N,)
    rotation: np.ndarray  # (N, 3, 3)
    translation: np.ndarray  # (N, 3)
    coefficients: np.ndarray  # (N, Ns + Ne)


@dataclass(frozen=True)
class _Problem:
    """What does not change during the iteration; model units."""

    mean: np.ndarray  # (68, 3)
    basis: np.ndarray  # (68, 3, M), shape modes first
    gram: np.ndarray  # (68, M, M): basis_k^T basis_k
    precision: np.ndarray  # (M,): noise^2 / std^2
    noise: float
    num_shape: int

    @property
    def flat_basis(self) -> np.ndarray:
        """(204, M)"""
        return self.basis.reshape(_COORDINATES, len(self.precision))

    def points(self, state: _State) -> np.ndarray:
        """The landmarks in the model frame, (N, 68, 3)."""
        offsets = state.coefficients @ self.flat_basis.T
        return self.mean + offsets.reshape(len(offsets), NUM_LANDMARKS, 3)


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
    problem = _problem(basis, landmark_noise_mm)
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
    problem = _problem(basis, landmark_noise_mm)
    state, point_weights = _initial_state(problem, target, weights, None, robust=True)
    frame_weights = np.ones(len(target))
    scale_0 = state.scale
    for _ in range(_ROBUST_ITERATIONS):
        used = point_weights * frame_weights[:, None]
        _step_shared(problem, state, target, used, (state.scale / scale_0) ** 2)
        distance = _residual_length(problem, state, target)
        point_weights = weights * _student_weights(distance, scale_0 * problem.noise)
        frame_weights = _frame_weights(distance / scale_0[:, None], point_weights)
    used = point_weights * frame_weights[:, None]
    return SharedShapeFit(
        **_as_fields(problem, state, target, used, flip),
        frame_weights=frame_weights.astype(np.float32),
    )


def similarity_transform(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The similarity that takes ``source`` nearest to ``target`` (Umeyama 1991), N at once.

    Parameters
    ----------
    source : (K, 3) or (N, K, 3) float64
    target : (N, K, 3) float64
        In a frame of the same handedness.
    weights : (N, K) float64
        Not negative, not all zero.

    Returns
    -------
    scale : (N,) float64
    rotation : (N, 3, 3) float64
        Determinant +1.
    translation : (N, 3) float64
        ``target ~ scale * rotation @ source + translation``.
    """
    share = (weights / weights.sum(axis=1, keepdims=True))[..., None]
    source_mean = (share * source).sum(axis=1)
    target_mean = (share * target).sum(axis=1)
    centred = source - source_mean[:, None]
    covariance = np.swapaxes(share * (target - target_mean[:, None]), 1, 2) @ centred
    U, singular, Vt = np.linalg.svd(covariance)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(U @ Vt))
    rotation = (U * sign[:, None]) @ Vt
    scale = (singular * sign).sum(axis=1) / (share * centred**2).sum(axis=(1, 2))
    moved = (rotation @ source_mean[..., None])[..., 0]
    return scale, rotation, target_mean - scale[:, None] * moved


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


def _problem(basis: LandmarkBasis, noise_mm: float) -> _Problem:
    if not 0 < noise_mm < np.inf:
        raise InvalidInputError(f"landmark_noise_mm: expected a positive number, got {noise_mm}")
    modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(np.float64)
    by_point = np.ascontiguousarray(np.moveaxis(modes, 0, 2))
    std = np.concatenate([basis.shape_std, basis.expression_std]).astype(np.float64)
    noise = noise_mm / basis.unit_mm
    return _Problem(
        mean=basis.mean.astype(np.float64),
        basis=by_point,
        gram=np.swapaxes(by_point, 1, 2) @ by_point,
        precision=(noise / std) ** 2,
        noise=noise,
        num_shape=len(basis.shape_std),
    )


def _fit_faces(
    problem: _Problem,
    target: np.ndarray,
    weights: np.ndarray,
    rotation: np.ndarray | None,
    robust: bool,
) -> tuple[_State, np.ndarray]:
    state, used = _initial_state(problem, target, weights, rotation, robust)
    scale_0 = state.scale
    for _ in range(_ROBUST_ITERATIONS if robust else _ITERATIONS):
        _step_faces(
            problem, state, target, used, (state.scale / scale_0) ** 2, rotation is not None
        )
        if robust:
            distance = _residual_length(problem, state, target)
            used = weights * _student_weights(distance, scale_0 * problem.noise)
    return state, used


def _initial_state(
    problem: _Problem,
    target: np.ndarray,
    weights: np.ndarray,
    rotation: np.ndarray | None,
    robust: bool,
) -> tuple[_State, np.ndarray]:
    """The mean face in its best similarity pose, and the weights found on the way."""
    used = weights
    for _ in range(5 if robust else 1):
        scale, turned, translation = similarity_transform(problem.mean, target, used)
        state = _State(scale, turned, translation, np.zeros((len(target), len(problem.precision))))
        if robust:
            distance = _residual_length(problem, state, target)
            used = weights * _student_weights(distance, scale * problem.noise)
    if rotation is not None:
        state.rotation = rotation
        centre = np.average(problem.mean, axis=0)
        turn = state.rotation - turned
        state.translation = translation - scale[:, None] * (turn @ centre)
    return state, used


def _step_faces(
    problem: _Problem,
    state: _State,
    target: np.ndarray,
    weights: np.ndarray,
    gain: np.ndarray,
    keep_rotation: bool,
) -> None:
    """One Gauss-Newton step of every face; ``gain`` is (s / s0)^2, see :func:`_blocks`."""
    hessian, gradient = _blocks(problem, state, target, weights, gain)
    free = slice(3 if keep_rotation else 0, None)
    step = np.zeros_like(gradient)
    step[:, free] = np.linalg.solve(hessian[:, free, free], gradient[:, free, None])[..., 0]
    _advance(state, step)


def _step_shared(
    problem: _Problem, state: _State, target: np.ndarray, weights: np.ndarray, gain: np.ndarray
) -> None:
    """One step with one shape: per-frame unknowns eliminated by their Schur complement."""
    hessian, gradient = _blocks(problem, state, target, weights, gain)
    first, last = _POSE, _POSE + problem.num_shape
    own = np.r_[0:first, last : hessian.shape[1]]
    shared = np.arange(first, last)
    coupling = hessian[:, own[:, None], shared]
    # The prior counts once for the one shape, but _blocks has added it in every frame.
    prior = problem.precision[: problem.num_shape]
    surplus = (1 / gain).sum() - (1 / gain).mean()
    right = np.concatenate([coupling, gradient[:, own, None]], axis=2)
    solved = np.linalg.solve(hessian[:, own[:, None], own], right)
    reduced = hessian[:, shared[:, None], shared] - np.swapaxes(coupling, 1, 2) @ solved[..., :-1]
    reduced = reduced.sum(axis=0) - np.diag(prior * surplus)
    pull = gradient[:, shared] - (np.swapaxes(coupling, 1, 2) @ solved[..., -1:])[..., 0]
    pull = pull.sum(axis=0) + prior * surplus * state.coefficients[0, : problem.num_shape]
    step = np.zeros_like(gradient)
    step[:, shared] = np.linalg.solve(reduced, pull)
    step[:, own] = solved[..., -1] - (solved[..., :-1] @ step[:, shared, None])[..., 0]
    _advance(state, step)


def _blocks(
    problem: _Problem, state: _State, target: np.ndarray, weights: np.ndarray, gain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations (N, 7 + M, 7 + M) and right sides (N, 7 + M) of one Gauss-Newton step.

    The residual is turned into the model frame and divided by the scale,
    r = R^T (y - t) / s - (m + B c), so that the basis needs no turning: with
    R <- R exp(w), s <- s exp(d), t <- t + s R u the model moves by w x p + d p + u + B dc, where
    p = m + B c. Dividing by s instead of the fixed s0 changes the noise by (s / s0)^2 = ``gain``.
    """
    points = problem.points(state)  # (N, 68, 3)
    moved = (target - state.translation[:, None]) @ state.rotation  # rows: R^T (y - t)
    residual = moved / state.scale[:, None, None] - points
    pose = _pose_jacobian(points)  # (N, 68, 3, 7)
    faces, modes = len(target), len(problem.precision)
    weighted = (weights[..., None, None] * pose).reshape(faces, _COORDINATES, _POSE)
    turned = np.swapaxes(weighted, 1, 2)  # (N, 7, 204)
    precision = problem.precision / gain[:, None]

    hessian = np.empty((faces, _POSE + modes, _POSE + modes))
    hessian[:, :_POSE, :_POSE] = turned @ pose.reshape(faces, _COORDINATES, _POSE)
    hessian[:, :_POSE, _POSE:] = turned @ problem.flat_basis
    hessian[:, _POSE:, :_POSE] = np.swapaxes(hessian[:, :_POSE, _POSE:], 1, 2)
    gram = weights @ problem.gram.reshape(NUM_LANDMARKS, modes * modes)
    hessian[:, _POSE:, _POSE:] = gram.reshape(faces, modes, modes)
    diagonal = np.arange(_POSE, _POSE + modes)
    hessian[:, diagonal, diagonal] += precision

    gradient = np.empty((faces, _POSE + modes))
    gradient[:, :_POSE] = (turned @ residual.reshape(faces, _COORDINATES, 1))[..., 0]
    pulled = (weights[..., None] * residual).reshape(faces, _COORDINATES)
    gradient[:, _POSE:] = pulled @ problem.flat_basis - precision * state.coefficients
    return hessian, gradient


def _pose_jacobian(points: np.ndarray) -> np.ndarray:
    """Derivative of w x p + d p + u by (w, d, u): (N, K, 3) -> (N, K, 3, 7)."""
    jacobian = np.zeros((*points.shape, _POSE))
    x, y, z = np.moveaxis(points, -1, 0)
    jacobian[..., 1, 0], jacobian[..., 2, 0] = -z, y
    jacobian[..., 0, 1], jacobian[..., 2, 1] = z, -x
    jacobian[..., 0, 2], jacobian[..., 1, 2] = -y, x
    jacobian[..., 3] = points
    jacobian[..., [0, 1, 2], [4, 5, 6]] = 1
    return jacobian


def _advance(state: _State, step: np.ndarray) -> None:
    moved = (state.rotation @ step[:, 4:7, None])[..., 0]
    state.translation = state.translation + state.scale[:, None] * moved
    state.rotation = state.rotation @ _rotation_from_vector(step[:, :3])
    # Bounded, so that a wild first step cannot send a face to nothing or to infinity.
    state.scale = state.scale * np.exp(np.clip(step[:, 3], -0.5, 0.5))
    state.coefficients = state.coefficients + step[:, _POSE:]


def _rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vectors (N, 3), radians, to (N, 3, 3)."""
    angle = np.linalg.norm(vector, axis=1)[:, None, None]
    x, y, z = vector.T
    zero = np.zeros_like(x)
    K = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    # sin(a)/a and (1 - cos a)/a^2 = sinc^2(a/2)/2, exact at a = 0.
    return np.eye(3) + np.sinc(angle / np.pi) * K + np.sinc(angle / (2 * np.pi)) ** 2 / 2 * (K @ K)


def _residual_length(problem: _Problem, state: _State, target: np.ndarray) -> np.ndarray:
    """Distance of every landmark from the fitted one, (N, 68), in the target's unit."""
    points = problem.points(state) @ np.swapaxes(state.rotation, 1, 2)
    placed = state.scale[:, None, None] * points + state.translation[:, None]
    return np.linalg.norm(target - placed, axis=2)


def _student_weights(distance: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Weights in (0, 1.75] of points; ``noise`` (N,) is raised to what a face's points show."""
    spread = np.maximum(noise, np.median(distance, axis=1) / _MEDIAN_CHI3)[:, None]
    return (_STUDENT + 3) / (_STUDENT + (distance / spread) ** 2)


def _frame_weights(distance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights in (0, 1] of frames: they fall with the fourth power of the frame's residual.

    The residual is taken with the points' weights, so that a frame with a few wrong points is kept.
    """
    rms = np.sqrt((weights * distance**2).sum(axis=1) / weights.sum(axis=1))
    usual = max(float(np.median(rms)), np.finfo(float).tiny)
    return 1 / (1 + (rms / (2 * usual)) ** 4)


def _as_fields(
    problem: _Problem, state: _State, target: np.ndarray, weights: np.ndarray, flip: np.ndarray
) -> dict[str, np.ndarray]:
    linear = state.scale[:, None, None] * state.rotation
    pose = np.concatenate([linear, state.translation[..., None]], axis=2) * flip[:, None]
    return {
        "pose": pose.astype(np.float32),
        "shape": state.coefficients[:, : problem.num_shape].astype(np.float32),
        "expression": state.coefficients[:, problem.num_shape :].astype(np.float32),
        "scale": state.scale,
        "rotation": state.rotation,
        "residual": _residual_length(problem, state, target).astype(np.float32),
        "weights": weights.astype(np.float32),
    }
