"""Faces moved onto refined landmarks: one ridge step from the parameters that a network gave.

A network's parameters place a face well, and its refined points say where the features are more
exactly. With a landmark's residual r, taken back into the model frame, what is minimised is

    sum_k r_k' (I - (1 - d) v v') r_k + sigma^2 sum_i (c_i - m_i)^2 / s_i^2

by rotation, scale, translation and coefficients c that began as c0: v is the direction of view,
along which the points are least certain and count only d, sigma their noise in millimetres. The
middle m_i of the prior is c0_i and its spread s_i that of the coefficient among people. Expressions
that cannot be negative have half that spread, and a middle somewhat nearer to the face at rest:
what every face's points are off by, from the model and by their annotators' habits, is no
expression. Of lips and jaw see :class:`facegeo.morphable.solver.Closing`. It is
one Gauss-Newton step, for what is to be bridged is small. Coefficients that it takes beyond their
limits are held there, and the rest is solved once more.

All points count alike: those of the jaw are points of the head, as networks of facegeo give them,
not of its outline. Where they were weighted down on turned faces, nothing got better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import lapack

from facegeo.base.arrays import array_of
from facegeo.conventions import NUM_LANDMARKS
from facegeo.geometry.depth import depths_of_eyes
from facegeo.morphable.solver import (
    POSE_STEP,
    Problem,
    landmark_problem,
    pose_jacobian,
    rotation_from_vector,
)

if TYPE_CHECKING:
    from facegeo.morphable.basis import LandmarkBasis

_COORDINATES = 3 * NUM_LANDMARKS
#: Millimetres; the smaller, the nearer the points, and the further the coefficients go. With 1 the
#: mesh is hardly nearer to points that were held out, with 2 a fifth of the way is lost.
NOISE_MM = 1.4
#: What a millimetre along the view counts beside one across it: refined depths are the noisiest.
DEPTH_WEIGHT = 0.1
#: Spread of a one-sided expression about what the network said, standard deviations,
_EXPRESSION_SPREAD = 0.5
#: and by how many of them its middle is nearer to rest. Chosen on 300-W's training faces: the face
#: at rest loses half its expression, and smiles, brows, lids and jaws keep to the photos as well.
_RELAXED = 0.125
#: Millimetres: up to this mean distance from its own points a face is bent as freely as that says.
_USUAL_MM = 3.0
#: Standard deviations that a shape coefficient may reach, unless it was further out before.
_MOST_DEVIATIONS = 3.0
#: Landmarks that are a face's own up to this part of its extent leave it as it is.
_NO_DIFFERENCE = 1e-4
#: Determinant of a pose that presses a face flat, beside its largest entry's cube.
_FLAT = 1e-6
#: Faces solved together: as many as a core's cache holds; bounds memory, not results.
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class FollowedFaces:
    """N faces whose landmarks lie on those that were given.

    Attributes
    ----------
    shape : (N, Ns) float32
    expression : (N, Ne) float32
    pose : (N, 3, 4) float32
        Model units to the frame of the landmarks.
    """

    shape: np.ndarray
    expression: np.ndarray
    pose: np.ndarray


def follow_landmarks(
    basis: LandmarkBasis,
    landmarks: np.ndarray,
    shape: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
) -> FollowedFaces:
    """Move faces onto landmarks near their own, as refined points are.

    Expressions keep to the model's range, shapes to three standard deviations, or to where they
    were. The middle of the outer eye corners gets the landmarks' depth. A face whose own landmarks
    are the ones given, or whose pose presses it flat, stays as it is. For landmarks without
    parameters there is :meth:`facegeo.morphable.model.MorphableModel.fit`.

    Parameters
    ----------
    basis : LandmarkBasis
    landmarks : (N, 68, 3) float
        In the frame that ``pose`` leads to.
    shape : (N, Ns) float
    expression : (N, Ne) float
    pose : (N, 3, 4) float
        Model units to that frame.

    Raises
    ------
    InvalidInputError
        If a shape does not fit or a number is not finite.
    """
    landmarks = array_of("landmarks", landmarks, ("N", NUM_LANDMARKS, 3), np.float64)
    count = len(landmarks)
    shape = array_of("shape", shape, (count, len(basis.shape_basis)))
    expression = array_of("expression", expression, (count, len(basis.expression_basis)))
    pose = array_of("pose", pose, (count, 3, 4))
    followed = [
        _followed(basis, *(column[start : start + _CHUNK] for column in columns))
        for columns in [(landmarks, shape, expression, pose)]
        for start in range(0, max(count, 1), _CHUNK)
    ]
    return FollowedFaces(*(np.concatenate(parts) for parts in zip(*followed, strict=True)))


@dataclass(frozen=True)
class _Constants:
    """Numbers that depend on the model alone."""

    problem: Problem
    gram: np.ndarray  # (M, M): basis^T basis
    by_axis: np.ndarray  # (3, 68 * M) float32: the basis, x of all points first
    firmness: np.ndarray  # (M,): of the prior, beside that of a standard deviation
    relaxed: np.ndarray  # (M,): by what its middle is nearer to rest, standard deviations


_constants: WeakKeyDictionary[LandmarkBasis, _Constants] = WeakKeyDictionary()


def _constants_of(basis: LandmarkBasis) -> _Constants:
    if basis not in _constants:
        problem = landmark_problem(basis, NOISE_MM, lips_apart=True)
        modes = problem.basis.shape[1]
        by_axis = problem.basis.reshape(NUM_LANDMARKS, 3, modes).swapaxes(0, 1).reshape(3, -1)
        firmness, relaxed = np.ones(modes), np.zeros(modes)
        if basis.one_sided:
            firmness[problem.num_shape :] = 1 / _EXPRESSION_SPREAD**2
            relaxed[problem.num_shape :] = np.where(basis.unseen, 0, _RELAXED)
        gram = problem.gram.sum(axis=0)
        by_axis = by_axis.astype(np.float32)
        _constants[basis] = _Constants(problem, gram, by_axis, firmness, relaxed)
    return _constants[basis]


def _followed(
    basis: LandmarkBasis,
    landmarks: np.ndarray,
    shape: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    constants = _constants_of(basis)
    problem = constants.problem
    coefficients = problem.begun(np.concatenate([shape, expression], axis=1))
    # By all modes: what landmarks do not show moves them a little, and stays as it was.
    points = problem.unit_mm * basis.points(shape, expression).astype(np.float64)
    linear = pose[:, :, :3] / np.float64(problem.unit_mm)
    missing = landmarks - points @ np.swapaxes(linear, 1, 2) - pose[:, None, :, 3]
    rows = np.flatnonzero(_can_follow(linear, missing, landmarks))
    if len(rows) < len(landmarks):
        columns = (landmarks, coefficients, points, linear, missing)
        landmarks, coefficients, points, linear, missing = (column[rows] for column in columns)
    residual = missing @ np.swapaxes(np.linalg.inv(linear), 1, 2)
    hessian, gradient = _blocks(constants, points, residual, linear)
    _add_prior(constants, hessian, gradient, residual)
    step = _step_within(hessian, gradient, *_room(problem, coefficients))

    turned = rotation_from_vector(step[:, :3])
    turned *= np.exp(np.clip(step[:, 3], -0.5, 0.5))[:, None, None]
    moved = pose[rows]
    moved[:, :, 3] += (linear @ step[:, 4:POSE_STEP, None])[..., 0]
    moved[:, :, :3] = linear @ turned * problem.unit_mm
    found = problem.found(coefficients + step[:, POSE_STEP:]).astype(np.float32)
    parts = found[:, : problem.num_shape], found[:, problem.num_shape :]
    moved[:, 2, 3] += depths_of_eyes(landmarks) - basis.depths(*parts, moved)
    if len(rows) == len(pose):
        return *parts, moved
    whole = shape.copy(), expression.copy(), pose.copy()
    for old, new in zip(whole, (*parts, moved), strict=True):
        old[rows] = new
    return whole


def _can_follow(linear: np.ndarray, missing: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """True, (N,), for faces that have somewhere to go, and a pose that leads back to the model."""
    extent = np.ptp(landmarks, axis=1).max(axis=1)
    away = np.abs(missing).max(axis=(1, 2)) > _NO_DIFFERENCE * extent
    size = np.abs(linear).max(axis=(1, 2))
    leads_back: np.ndarray = np.abs(np.linalg.det(linear)) > _FLAT * size**3
    return away & leads_back


def _blocks(
    constants: _Constants, points: np.ndarray, residual: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations, (N, 7 + M, 7 + M), right of their diagonal, and right sides, (N, 7 + M)."""
    basis = constants.problem.basis
    faces, modes = len(points), basis.shape[1]
    view = linear[:, 2] / np.linalg.norm(linear[:, 2], axis=1, keepdims=True)
    along = (1 - DEPTH_WEIGHT) ** 0.5 * view  # I - along along' is the weight

    def weighted(vectors: np.ndarray) -> np.ndarray:
        """(N, 68, 3, C)"""
        return vectors - along[:, None, :, None] * (along[:, None, None] @ vectors)

    pose = pose_jacobian(points)
    flat_pose = pose.reshape(faces, _COORDINATES, POSE_STEP)
    turned = np.swapaxes(weighted(pose).reshape(faces, _COORDINATES, POSE_STEP), 1, 2)
    # (N, 68, M): the modes along the view. Single precision, as the model's file has them: it is
    # the largest product, and what it is taken from keeps the matrix well away from singular.
    seen = (along.astype(np.float32) @ constants.by_axis).reshape(faces, NUM_LANDMARKS, modes)

    hessian = np.empty((faces, POSE_STEP + modes, POSE_STEP + modes))
    hessian[:, :POSE_STEP, :POSE_STEP] = turned @ flat_pose
    hessian[:, :POSE_STEP, POSE_STEP:] = turned @ basis
    hessian[:, POSE_STEP:, :POSE_STEP] = 0  # by symmetry; nobody reads it
    among_modes = hessian[:, POSE_STEP:, POSE_STEP:]
    np.subtract(constants.gram, np.swapaxes(seen, 1, 2) @ seen, out=among_modes)

    pulled = weighted(residual[..., None]).reshape(faces, _COORDINATES)
    gradient = np.empty((faces, POSE_STEP + modes))
    gradient[:, :POSE_STEP] = (turned @ residual.reshape(faces, _COORDINATES, 1))[..., 0]
    gradient[:, POSE_STEP:] = pulled @ basis
    return hessian, gradient


def _add_prior(
    constants: _Constants, hessian: np.ndarray, gradient: np.ndarray, residual: np.ndarray
) -> None:
    """The ridge; more of it where points are so far away that they may be wrong."""
    distance = np.linalg.norm(residual, axis=2).mean(axis=1)
    noise = NOISE_MM * np.maximum(1, distance / _USUAL_MM)
    diagonal = np.arange(POSE_STEP, hessian.shape[1])
    ridge = noise[:, None] ** 2 * constants.firmness
    hessian[:, diagonal, diagonal] += ridge
    gradient[:, POSE_STEP:] -= ridge * constants.relaxed


def _room(problem: Problem, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, (N, M), by which each coefficient may go down and up."""
    low, high = np.full(len(problem.std), -np.inf), np.full(len(problem.std), np.inf)
    if problem.limits is not None:
        low, high = (limit.copy() for limit in problem.limits)
    low[: problem.num_shape], high[: problem.num_shape] = -_MOST_DEVIATIONS, _MOST_DEVIATIONS
    down, up = low - coefficients, high - coefficients
    # An expression out of its range has to come back; a shape may stay where it was.
    shapes = slice(problem.num_shape)
    down[:, shapes], up[:, shapes] = np.minimum(down[:, shapes], 0), np.maximum(up[:, shapes], 0)
    return down, up


def _step_within(
    hessian: np.ndarray, gradient: np.ndarray, down: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """The step; what would leave its limits goes to them, and the others are solved once more."""
    step = _solved(hessian, gradient)
    wanted = step[:, POSE_STEP:]
    within = np.clip(wanted, down, up)
    held = within != wanted
    for face in np.flatnonzero(held.any(axis=1)):
        stopped = np.flatnonzero(held[face])
        free = np.append(np.arange(POSE_STEP), POSE_STEP + np.flatnonzero(~held[face]))
        rows = hessian[face, free]
        fixed = within[face, stopped]
        right = gradient[face, free] - rows[:, POSE_STEP + stopped] @ fixed
        step[face, free] = _solved(rows[None][:, :, free], right[None])[0]
        step[face, POSE_STEP + stopped] = fixed
    np.clip(wanted, down, up, out=wanted)
    return step


def _solved(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solutions (N, D) of positive definite systems, in half the time of NumPy's LU.

    Of the matrices what is right of the diagonal is read.
    """
    solutions = np.empty_like(right)
    for solution, matrix, values in zip(solutions, matrices, right, strict=True):
        _, solution[:], _ = lapack.dposv(matrix.T, values, lower=1)
    return solutions
