"""Parameters of a teacher moved to where people set points of several kinds, all in one solution.

Gauss-Newton on whitened parameters: minimised is, over all kinds of points and all their points k,

    sum_k w_k rho(|x_k - y_k|^2) + stay |change|^2,    rho(d2) = d2 / (1 + d2 / robust_px^2),

so that a wild point hardly counts, and what no point speaks of stays as the teacher has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import CropConvention, pose_to_crop
from facegeo.geometry.params import split

_ITERATIONS = 15
#: Faces solved together; bounds memory, not results.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class FaceModelRows:
    """Meaning of the teacher's parameters: the 68 rows of its face model, and its statistics.

    Attributes
    ----------
    mean : (68, 3) float64
    basis : (Ns + Ne, 68, 3) float64
        Shape modes, then expression modes.
    std : (P,) float64
        Spread of the parameters, by which they are whitened.
    convention : CropConvention
    """

    mean: np.ndarray
    basis: np.ndarray
    std: np.ndarray
    convention: CropConvention

    def landmarks(self, params: np.ndarray) -> np.ndarray:
        """``(N, P)`` parameters to ``(N, 68, 3)`` crop pixels."""
        affine = pose_to_crop(split(params).pose, self.convention)
        points = self.mean + np.tensordot(params[:, NUM_POSE:], self.basis, 1)
        return points @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One kind of points that faces should agree with.

    Attributes
    ----------
    mean : (K, 3) float64
        Of the face model at these points.
    basis : (Ns + Ne, K, 3) float64
    target : (N, K, 2) float64
        Crop pixels of the model's convention; finite, also where the weight is 0.
    weight : (N, K) float64
    """

    mean: np.ndarray
    basis: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def some(self, chosen: slice | np.ndarray) -> Evidence:
        """The points of some faces."""
        return Evidence(self.mean, self.basis, self.target[chosen], self.weight[chosen])


@dataclass(frozen=True)
class Pull:
    """Weight of the points against the teacher.

    Attributes
    ----------
    stay : float
        Weight of the sum of squared changes of the whitened parameters; the points' weights sum to
        about 1 a face.
    robust_px : float
        Distance at which a point pulls a quarter as much as a quadratic would.
    trust : float
        Part (0..1) of the solution's change that is made: the errors of the teacher and of the
        corrected face are far from the same, so a face between the two is better than either.
    """

    stay: float
    robust_px: float
    trust: float = 1.0


def jointly_corrected(
    params: np.ndarray, rows: FaceModelRows, kinds: Sequence[Evidence], pull: Pull
) -> np.ndarray:
    """Parameters ``(N, P)`` that agree with the points of all kinds; the input is unchanged."""
    start = np.array(params, np.float64)
    solved = np.empty_like(start)
    for first in range(0, len(start), _CHUNK):
        part = slice(first, first + _CHUNK)
        solved[part] = _solved(start[part], rows, [kind.some(part) for kind in kinds], pull)
    return start + pull.trust * (solved - start)


def robust_weight(squared: np.ndarray, robust_px: float) -> np.ndarray:
    """Derivative of d2 / (1 + d2 / robust_px^2) by d2."""
    return np.asarray(1 / (1 + squared / robust_px**2) ** 2)


def _solved(
    start: np.ndarray, rows: FaceModelRows, kinds: Sequence[Evidence], pull: Pull
) -> np.ndarray:
    change = np.zeros_like(start)
    faces, size = start.shape
    for _ in range(_ITERATIONS):
        hessian = np.tile(pull.stay * np.eye(size), (faces, 1, 1))
        gradient = -pull.stay * change
        for kind in kinds:
            placed, jacobian = _projection(start + change * rows.std, kind, rows)
            residual = kind.target - placed  # (N, K, 2)
            weight = kind.weight * robust_weight((residual**2).sum(axis=2), pull.robust_px)
            flat = jacobian.reshape(faces, -1, size)
            turned = np.swapaxes(flat * np.repeat(weight, 2, axis=1)[..., None], 1, 2)
            hessian += turned @ flat
            gradient += (turned @ residual.reshape(faces, -1, 1))[..., 0]
        change = change + np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return start + change * rows.std


def _projection(
    params: np.ndarray, kind: Evidence, rows: FaceModelRows
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, K, 2) in crop pixels and their derivative by whitened parameters."""
    affine = pose_to_crop(split(params).pose, rows.convention).astype(np.float64)[:, :2]
    points = kind.mean + np.tensordot(params[:, NUM_POSE:], kind.basis, 1)  # (N, K, 3)
    placed = points @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
    jacobian = np.zeros((*placed.shape, params.shape[1]))
    for axis, sign in ((0, 1.0), (1, -1.0)):  # crop y points down, the pose's y up
        jacobian[:, :, axis, 4 * axis : 4 * axis + 3] = sign * points
        jacobian[:, :, axis, 4 * axis + 3] = sign
    # d x_ki / d c_m = sum_j A_ij B_mkj
    jacobian[..., NUM_POSE:] = np.einsum(
        "nij,mkj->nkim", affine[:, :, :3], kind.basis, optimize=True
    )
    return placed, jacobian * rows.std
