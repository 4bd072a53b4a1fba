"""Gauss-Newton steps of a morphable model towards 68 landmarks, all faces at once.

What :mod:`.fitting` iterates; everything here is float64, in the camera frame (y up).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError

if TYPE_CHECKING:
    from facegeo.morphable.basis import LandmarkBasis

_COORDINATES = 3 * NUM_LANDMARKS
#: Parameters of a pose step: rotation vector, log scale, translation.
POSE_STEP = 7
#: Most rounds of holding coefficients and letting go; two or three are usual.
_PIVOTS = 10
#: By how many of their standard deviations the prior of one-sided expressions lies below zero.
#: Of 0, 0.3 and 1, 1 predicts points set by hand best that were held out, on 300-W's training
#: faces (2.324 % of the face, 2.329 with 0); of a network's points it is the worst (0.93 %, 0.92).
_RESERVE = 1.0
#: By how much a coefficient may be beyond its limit before it is held, in standard deviations.
_SLACK = 1e-9


@dataclass
class State:
    """Estimates during the iteration."""

    scale: np.ndarray  # (N,) landmark units per millimetre
    rotation: np.ndarray  # (N, 3, 3)
    translation: np.ndarray  # (N, 3)
    coefficients: np.ndarray  # (N, M), standard deviations


@dataclass(frozen=True)
class Closing:
    """Lips that close no further than the jaw has opened them: limits of a sum as limits of each.

    What is solved for in place of ``jawOpen`` is by how much it exceeds ``mouthClose``; the mode of
    ``mouthClose`` is a jaw that opens behind shut lips.
    """

    opens: int  # columns of the coefficients
    closes: int
    ratio: float  # deviations of ``jawOpen`` in one of ``mouthClose``
    most: float  # of ``jawOpen``, in standard deviations

    def separated(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (N, M) of the model as those of the problem."""
        parts = coefficients.copy()
        parts[:, self.opens] -= self.ratio * parts[:, self.closes]
        return parts

    def joined(self, parts: np.ndarray) -> np.ndarray:
        """Coefficients (N, M) of the problem as those of the model."""
        coefficients = parts.copy()
        coefficients[:, self.opens] += self.ratio * coefficients[:, self.closes]
        return coefficients

    def within(self, parts: np.ndarray) -> np.ndarray:
        """Coefficients of the problem that open the jaw no further than it goes."""
        parts = parts.copy()
        left = (self.most - parts[:, self.opens]) / self.ratio
        parts[:, self.closes] = np.minimum(parts[:, self.closes], left)
        return parts


@dataclass(frozen=True)
class Problem:
    """Constants of the iteration: the model in millimetres and standard deviations.

    In these units every linear system is well scaled, whatever the units of the model's file.
    """

    mean: np.ndarray  # (68, 3)
    basis: np.ndarray  # (204, M), shape modes first
    gram: np.ndarray  # (68, M, M): what each landmark adds to basis^T basis
    std: np.ndarray  # (M,): model coefficients in one standard deviation
    noise_mm: float
    unit_mm: float  # millimetres in one unit of the model's file
    num_shape: int
    usual: np.ndarray  # (M,): the middle of the prior, standard deviations
    limits: tuple[np.ndarray, np.ndarray] | None = None  # (M,) each: of the coefficients
    closing: Closing | None = None

    def points(self, state: State) -> np.ndarray:
        """The landmarks in the model frame, (N, 68, 3), millimetres."""
        offsets = state.coefficients @ self.basis.T
        return self.mean + offsets.reshape(len(offsets), NUM_LANDMARKS, 3)

    def begun(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (N, M) of the model's file as those that are solved for."""
        parts = coefficients / self.std
        return parts if self.closing is None else self.closing.separated(parts)

    def found(self, parts: np.ndarray) -> np.ndarray:
        """Coefficients (N, M) that were solved for as those of the model's file."""
        if self.closing is not None:
            parts = self.closing.joined(self.closing.within(parts))
        return parts * self.std

    def limited(self, parts: np.ndarray) -> np.ndarray:
        """Coefficients (N, M) that are solved for, within their limits."""
        if self.limits is not None:
            parts = np.clip(parts, *self.limits)
        return parts if self.closing is None else self.closing.within(parts)


def landmark_problem(basis: LandmarkBasis, noise_mm: float, *, lips_apart: bool = False) -> Problem:
    """The problem that a model and the landmarks' noise pose.

    With ``lips_apart`` they close no further than the jaw has opened them, see :class:`Closing`.
    """
    if not 0 < noise_mm < np.inf:
        raise InvalidInputError(f"landmark_noise_mm: expected a positive number, got {noise_mm}")
    std = np.concatenate([basis.shape_std, basis.expression_std]).astype(np.float64)
    modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(np.float64)
    modes *= (std * basis.unit_mm)[:, None, None]
    modes[len(basis.shape_std) :][basis.unseen] = 0
    closing = _closing(basis, std) if lips_apart else None
    if closing is not None:
        modes[closing.closes] += closing.ratio * modes[closing.opens]
    by_point = np.ascontiguousarray(np.moveaxis(modes, 0, 2))
    return Problem(
        mean=basis.mean.astype(np.float64) * basis.unit_mm,
        basis=by_point.reshape(_COORDINATES, len(std)),
        gram=np.swapaxes(by_point, 1, 2) @ by_point,
        std=std,
        noise_mm=float(noise_mm),
        unit_mm=basis.unit_mm,
        num_shape=len(basis.shape_std),
        usual=_usual(basis),
        limits=_limits(basis),
        closing=closing,
    )


def _closing(basis: LandmarkBasis, std: np.ndarray) -> Closing | None:
    if basis.closing is None or basis.expression_range is None:
        return None
    opens, closes = (len(basis.shape_std) + row for row in basis.closing)
    most = basis.expression_range[1] / std[opens]
    return Closing(opens, closes, std[closes] / std[opens], most)


def _usual(basis: LandmarkBasis) -> np.ndarray:
    """The middle of the prior: zero, and below it for expressions that cannot be negative.

    Of those a face shows few at a time. The part of a normal density that is left above zero falls
    from there on, as an exponential one does, so that small weights cost what they are worth.
    """
    usual = np.zeros(len(basis.shape_std) + len(basis.expression_std))
    if basis.one_sided:
        usual[len(basis.shape_std) :] = -_RESERVE
    return usual


def _limits(basis: LandmarkBasis) -> tuple[np.ndarray, np.ndarray] | None:
    """Least and largest coefficients, in standard deviations; shape has none."""
    if basis.expression_range is None:
        return None
    free = np.full(len(basis.shape_std), np.inf)
    low, high = (limit / basis.expression_std.astype(float) for limit in basis.expression_range)
    return np.concatenate([-free, low]), np.concatenate([free, high])


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


def residual_length(problem: Problem, state: State, target: np.ndarray) -> np.ndarray:
    """Distance of every landmark from the fitted one, (N, 68), in the target's unit."""
    points = problem.points(state) @ np.swapaxes(state.rotation, 1, 2)
    placed = state.scale[:, None, None] * points + state.translation[:, None]
    return np.linalg.norm(target - placed, axis=2)


def step_faces(
    problem: Problem,
    state: State,
    target: np.ndarray,
    weights: np.ndarray,
    gain: np.ndarray,
    keep_rotation: bool,
) -> None:
    """One Gauss-Newton step of every face; ``gain`` is (s / s0)^2, see :func:`_blocks`."""
    free = slice(3 if keep_rotation else 0, None)

    def solve(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        step = np.zeros_like(gradient)
        step[:, free] = np.linalg.solve(hessian[:, free, free], gradient[:, free, None])[..., 0]
        return step

    blocks = _blocks(problem, state, target, weights, gain)
    _advance(problem, state, _step_within(problem, state, *blocks, solve))


def step_shared(
    problem: Problem, state: State, target: np.ndarray, weights: np.ndarray, gain: np.ndarray
) -> None:
    """One step with one shape: per-frame unknowns eliminated by their Schur complement."""

    def solve(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return _shared_step(problem, state, hessian, gradient, gain)

    blocks = _blocks(problem, state, target, weights, gain)
    _advance(problem, state, _step_within(problem, state, *blocks, solve))


def _shared_step(
    problem: Problem, state: State, hessian: np.ndarray, gradient: np.ndarray, gain: np.ndarray
) -> np.ndarray:
    first, last = POSE_STEP, POSE_STEP + problem.num_shape
    own = np.r_[0:first, last : hessian.shape[1]]
    shared = np.arange(first, last)
    coupling = hessian[:, own[:, None], shared]
    # The prior counts once for the one shape, but _blocks has added it in every frame.
    surplus = problem.noise_mm**2 * ((1 / gain).sum() - (1 / gain).mean())
    right = np.concatenate([coupling, gradient[:, own, None]], axis=2)
    solved = np.linalg.solve(hessian[:, own[:, None], own], right)
    reduced = hessian[:, shared[:, None], shared] - np.swapaxes(coupling, 1, 2) @ solved[..., :-1]
    reduced = reduced.sum(axis=0) - surplus * np.eye(problem.num_shape)
    pull = gradient[:, shared] - (np.swapaxes(coupling, 1, 2) @ solved[..., -1:])[..., 0]
    beyond = (state.coefficients[0] - problem.usual)[: problem.num_shape]
    pull = pull.sum(axis=0) + surplus * beyond
    step = np.zeros_like(gradient)
    step[:, shared] = np.linalg.solve(reduced, pull)
    step[:, own] = solved[..., -1] - (solved[..., :-1] @ step[:, shared, None])[..., 0]
    return step


def _step_within(
    problem: Problem,
    state: State,
    hessian: np.ndarray,
    gradient: np.ndarray,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """The best step of a quadratic that keeps the coefficients within their limits.

    Block principal pivoting (Portugal et al. 1994): coefficients that would leave their limits are
    held there, those that are held and would rather come back are let go, until neither occurs.
    """
    if problem.limits is None:
        return solve(hessian, gradient)
    low, high = (limit - state.coefficients for limit in problem.limits)
    # -1 is held at its lower limit, 1 at its upper one; it begins as the last step ended.
    held = (high <= 0).astype(int) - (low >= 0)
    for _ in range(_PIVOTS):
        step = _step_of_the_free(hessian, gradient, held, low, high, solve)
        wanted = step[:, POSE_STEP:]
        pull = (gradient - (hessian @ step[..., None])[..., 0])[:, POSE_STEP:]
        back = held * pull < 0
        leaving = (wanted > high + _SLACK).astype(int) - (wanted < low - _SLACK)
        leaving[held != 0] = 0
        if not (back | (leaving != 0)).any():
            break
        held = np.where(back, 0, held + leaving)
    return step


def _step_of_the_free(
    hessian: np.ndarray,
    gradient: np.ndarray,
    held: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """The step in which the coefficients that are held go to their limits."""
    if not held.any():
        return solve(hessian, gradient)
    stopped = np.pad(held != 0, ((0, 0), (POSE_STEP, 0)))
    fixed = np.zeros_like(gradient)
    fixed[:, POSE_STEP:] = np.select([held < 0, held > 0], [low, high], 0.0)
    # Of a held one the row says "step = fixed", and its column goes to the right side.
    rest = gradient - (hessian @ fixed[..., None])[..., 0]
    apart = hessian * ~stopped[:, :, None] * ~stopped[:, None, :]
    diagonal = np.arange(gradient.shape[1])
    apart[:, diagonal, diagonal] += stopped
    return solve(apart, np.where(stopped, fixed, rest))


def _blocks(
    problem: Problem, state: State, target: np.ndarray, weights: np.ndarray, gain: np.ndarray
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
    pose = pose_jacobian(points)  # (N, 68, 3, 7)
    faces, modes = len(target), len(problem.std)
    weighted = (weights[..., None, None] * pose).reshape(faces, _COORDINATES, POSE_STEP)
    turned = np.swapaxes(weighted, 1, 2)  # (N, 7, 204)
    precision = (problem.noise_mm**2 / gain)[:, None]

    hessian = np.empty((faces, POSE_STEP + modes, POSE_STEP + modes))
    hessian[:, :POSE_STEP, :POSE_STEP] = turned @ pose.reshape(faces, _COORDINATES, POSE_STEP)
    hessian[:, :POSE_STEP, POSE_STEP:] = turned @ problem.basis
    hessian[:, POSE_STEP:, :POSE_STEP] = np.swapaxes(hessian[:, :POSE_STEP, POSE_STEP:], 1, 2)
    gram = weights @ problem.gram.reshape(NUM_LANDMARKS, modes * modes)
    hessian[:, POSE_STEP:, POSE_STEP:] = gram.reshape(faces, modes, modes)
    diagonal = np.arange(POSE_STEP, POSE_STEP + modes)
    hessian[:, diagonal, diagonal] += precision

    gradient = np.empty((faces, POSE_STEP + modes))
    gradient[:, :POSE_STEP] = (turned @ residual.reshape(faces, _COORDINATES, 1))[..., 0]
    pulled = (weights[..., None] * residual).reshape(faces, _COORDINATES)
    gradient[:, POSE_STEP:] = pulled @ problem.basis
    gradient[:, POSE_STEP:] -= precision * (state.coefficients - problem.usual)
    return hessian, gradient


def pose_jacobian(points: np.ndarray) -> np.ndarray:
    """Derivative of w x p + d p + u by (w, d, u): (N, K, 3) -> (N, K, 3, 7)."""
    jacobian = np.zeros((*points.shape, POSE_STEP))
    x, y, z = np.moveaxis(points, -1, 0)
    jacobian[..., 1, 0], jacobian[..., 2, 0] = -z, y
    jacobian[..., 0, 1], jacobian[..., 2, 1] = z, -x
    jacobian[..., 0, 2], jacobian[..., 1, 2] = -y, x
    jacobian[..., 3] = points
    jacobian[..., [0, 1, 2], [4, 5, 6]] = 1
    return jacobian


def _advance(problem: Problem, state: State, step: np.ndarray) -> None:
    moved = (state.rotation @ step[:, 4:7, None])[..., 0]
    state.translation = state.translation + state.scale[:, None] * moved
    state.rotation = state.rotation @ rotation_from_vector(step[:, :3])
    # Bounded, so that a wild first step cannot send a face to nothing or to infinity.
    state.scale = state.scale * np.exp(np.clip(step[:, 3], -0.5, 0.5))
    state.coefficients = problem.limited(state.coefficients + step[:, POSE_STEP:])


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vectors (N, 3), radians, to (N, 3, 3)."""
    # Half the angle h: sin(a)/a = cos(h) sin(h)/h and (1 - cos a)/a^2 = (sin(h)/h)^2 / 2.
    half = np.maximum(0.5 * np.sqrt((vector * vector).sum(axis=1)), 1e-150)[:, None, None]
    sinc = np.sin(half) / half
    K = np.zeros((len(vector), 3, 3))
    K[:, (2, 0, 1), (1, 2, 0)] = vector
    K[:, (1, 2, 0), (2, 0, 1)] = -vector
    rotation: np.ndarray = np.cos(half) * sinc * K + 0.5 * sinc**2 * (K @ K)
    rotation[:, (0, 1, 2), (0, 1, 2)] += 1
    return rotation
