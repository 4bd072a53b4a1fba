"""A linear map from the parameters of one face model to those of another.

A network that was trained on one model speaks its parameters. A bridge lets it drive another model:
with c the old coefficients, the new ones are linear in (1, c), and so are the scale and the shift
that place the new model in the old one's frame, by which the pose is continued. Rotations stay:
both models look along z, and a face keeps the orientation that its network was trained to see.

    pose' = pose [T(c); 0 0 0 1],   T(c) and coefficients' = (1, c) M
"""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.base.npz import read_npz
from facegeo.conventions import LANDMARK_MIRROR, NUM_LANDMARKS, NUM_POSE
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.params import join, split
from facegeo.morphable.fitting import fit_landmarks
from facegeo.morphable.solver import similarity_transform
from facegeo.morphable.validation import checked_range, frozen

if TYPE_CHECKING:
    from facegeo.morphable.basis import LandmarkBasis, Mirror
    from facegeo.morphable.model import MorphableModel

_FORMAT = "facegeo-parameter-bridge"
_VERSION = 1

#: Squared standard deviations of a coefficient that weigh as much as that many faces.
RIDGE = 3.0

#: Landmarks of the upper inner lip between its corners, and those of the lower one below them.
_INNER_LIPS = [61, 62, 63], [67, 66, 65]
_CORNERS = 48, 54
#: Part of the faces, of any photos, that is sure to have shut lips.
_SHUT = 0.3


@dataclass(frozen=True, eq=False)
class ParameterBridge:
    """Parameters of a source model to those of a target model.

    Attributes
    ----------
    source, target : str
        Names of the models.
    num_shape, target_num_shape : int
        Shape modes of each; what follows them are expressions.
    matrix : (1 + Ns + Ne, 12 + Ns' + Ne') float32
        From (1, shape, expression) to the 3x4 map from the target's frame to the source's, row by
        row, and the target's coefficients.
    expression_range : (float, float) or None
        The target's expressions are clipped to it.

    Raises
    ------
    InvalidInputError
        If the matrix has another size or is not finite.
    """

    source: str
    target: str
    num_shape: int
    target_num_shape: int
    matrix: np.ndarray
    expression_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        matrix = array_of("matrix", self.matrix, ("C", "D"))
        least = (1 + self.num_shape, NUM_POSE + self.target_num_shape)
        if matrix.shape[0] < least[0] or matrix.shape[1] < least[1]:
            raise InvalidInputError(
                f"matrix: expected at least {least} numbers for {self.num_shape} shape modes to "
                f"{self.target_num_shape}, got {matrix.shape}"
            )
        object.__setattr__(self, "matrix", frozen(matrix))

    def __call__(self, params: np.ndarray) -> np.ndarray:
        """Parameters ``(N, P)`` of the source as ``(N, P')`` float32 of the target.

        Raises
        ------
        InvalidInputError
            If ``params`` has not the source's number of parameters, or is not finite.
        """
        params = array_of("params", params, ("N", self.num_params), np.float64)
        mapped = _with_one(params[:, NUM_POSE:]) @ self._exact
        pose = compose(split(params).pose, mapped[:, :NUM_POSE].reshape(-1, 3, 4))
        end = NUM_POSE + self.target_num_shape
        shape, expression = mapped[:, NUM_POSE:end], mapped[:, end:]
        if self.expression_range is not None:
            expression = np.clip(expression, *self.expression_range)
        return join(pose, shape, expression).astype(np.float32)

    @cached_property
    def _exact(self) -> np.ndarray:
        """The matrix as float64, for every frame of a video."""
        return self.matrix.astype(np.float64)

    @property
    def num_params(self) -> int:
        """Parameters of a face that go in."""
        return NUM_POSE + len(self.matrix) - 1

    @property
    def target_num_expression(self) -> int:
        """Expression modes of the target."""
        return self.matrix.shape[1] - NUM_POSE - self.target_num_shape

    def to_bytes(self) -> bytes:
        """The content of a ``.npz`` file, for :meth:`parse`."""
        fields = {"format": _FORMAT, "format_version": _VERSION, **dataclasses.asdict(self)}
        given = {key: np.asarray(value) for key, value in fields.items() if value is not None}
        file = io.BytesIO()
        np.savez_compressed(file, **given)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def parse(cls, data: bytes, name: str) -> ParameterBridge:
        """A bridge from what :meth:`to_bytes` gave; ``name`` is the file's, for errors.

        Raises
        ------
        CorruptFileError
            If it is no such file, of another version, or a part of it is wrong.
        """
        arrays = read_npz(io.BytesIO(data), name)
        found = str(arrays.get("format", "")), str(arrays.get("format_version", ""))
        if found != (_FORMAT, str(_VERSION)):
            raise CorruptFileError(
                f"{name}: expected {_FORMAT} of version {_VERSION}, got {' '.join(found).strip()!r}"
            )
        try:
            return cls(
                source=str(arrays["source"]),
                target=str(arrays["target"]),
                num_shape=_count(arrays, "num_shape"),
                target_num_shape=_count(arrays, "target_num_shape"),
                matrix=arrays["matrix"],
                expression_range=checked_range(arrays.get("expression_range")),
            )
        except KeyError as error:
            raise CorruptFileError(f"{name}: key {error} is missing") from error
        except InvalidInputError as error:
            raise CorruptFileError(f"{name}: {error}") from error


def fit_bridge(
    source: MorphableModel,
    target: MorphableModel,
    params: np.ndarray,
    *,
    landmarks: np.ndarray | None = None,
    affine: np.ndarray | None = None,
    ridge: float = RIDGE,
) -> ParameterBridge:
    """Fit a bridge to faces by ridge regression of the target fitted to each.

    Where both models have a mirror, every face counts in the mirror too, so that a mirrored face
    gets mirrored parameters.

    Where the target's expressions begin at 0, they are counted from the face at rest as the source
    knows it: the median of the faces whose lips are nearest to each other and whose mouths are
    narrow. What it differs by from the target's mean is put down to shape, and what shape cannot
    explain, as where annotators set a point, to no coefficient.

    Parameters
    ----------
    params : (N, P) float
        Of the source; outputs of the network that is to speak the target.
    landmarks : (N, 68, 3) float, optional
        What the target is fitted to, in the frame that ``affine`` leads to; by default the source's
        own landmarks. A network's refined points say more.
    affine : (N, 3, 4) float, optional
        Source model to the frame of ``landmarks``, as :attr:`facegeo.results.FaceBatch.affine`.
    ridge : float
        The regression's penalty on coefficients of one standard deviation, in faces.

    Raises
    ------
    InvalidInputError
        If a shape does not fit, or there are fewer than two faces.
    """
    size = NUM_POSE + source.num_shape + source.num_expression
    params = array_of("params", params, ("N", size), np.float64)
    if len(params) < 2:
        raise InvalidInputError(f"params: expected two faces or more, got {len(params)}")
    _, shape, expression = split(params, source.num_shape)
    if landmarks is None:
        points = source.landmarks(shape, expression).astype(np.float64)
    elif affine is None:
        raise InvalidInputError("affine: expected with landmarks, to take them to the source model")
    else:
        points = _in_model(landmarks, affine, len(params))
    coefficients = params[:, NUM_POSE:]
    if source.mirror is not None and target.mirror is not None:
        coefficients = np.concatenate([coefficients, _mirrored(coefficients, source.mirror)])
        points = np.concatenate([points, points[:, LANDMARK_MIRROR] * (-1, 1, 1)])
    unturned = np.broadcast_to(np.eye(3), (len(points), 3, 3))
    basis, at_rest = target.landmark_basis, np.zeros(target.num_shape, np.float32)
    if basis.one_sided:
        basis, at_rest = _resting(basis, points)
    fit = fit_landmarks(basis, points, frame="model", rotation=unturned)
    wanted = join(fit.pose, fit.shape + at_rest, fit.expression).astype(np.float64)
    return ParameterBridge(
        source=source.name,
        target=target.name,
        num_shape=source.num_shape,
        target_num_shape=target.num_shape,
        matrix=ridge_regression(coefficients, wanted, ridge).astype(np.float32),
        expression_range=target.expression_range,
    )


def _resting(basis: LandmarkBasis, points: np.ndarray) -> tuple[LandmarkBasis, np.ndarray]:
    """The basis with a face at rest for its mean, and what of that is shape, ``(Ns,)`` float32."""
    none = slice(0)
    shapes = dataclasses.replace(
        basis,
        expression_basis=basis.expression_basis[none],
        expression_std=basis.expression_std[none],
        expression_names=(),
        expression_range=None,
    )
    face = _face_at_rest(basis.mean.astype(np.float64), points)
    fit = fit_landmarks(shapes, face[None], frame="model")
    linear, shift = fit.pose[0, :, :3].astype(np.float64), fit.pose[0, :, 3]
    mean = np.linalg.solve(linear, (face - shift).T).T
    return dataclasses.replace(basis, mean=mean.astype(np.float32)), fit.shape[0]


def _face_at_rest(mean: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Median of the faces among N that are nearest to rest, ``(68, 3)``, laid on the mean."""
    scale, rotation, translation = similarity_transform(mean, points, np.ones(points.shape[:2]))
    faces = (points - translation[:, None]) @ rotation / scale[:, None, None]
    gap = np.linalg.norm(faces[:, _INNER_LIPS[0]] - faces[:, _INNER_LIPS[1]], axis=2).mean(axis=1)
    width = np.linalg.norm(faces[:, _CORNERS[0]] - faces[:, _CORNERS[1]], axis=1)
    shut = gap <= np.quantile(gap, _SHUT)
    resting = shut & (width <= np.median(width[shut]))
    return np.asarray(np.median(faces[resting], axis=0))


def ridge_regression(inputs: np.ndarray, outputs: np.ndarray, ridge: float) -> np.ndarray:
    """The matrix M with ``(1, inputs) M ~ outputs``.

    Minimises ``|(1, x) M - y|^2 + ridge |D M|^2``, where D holds the spread of each input and zero
    for the constant.

    Parameters
    ----------
    inputs : (N, C) float64
    outputs : (N, D) float64

    Returns
    -------
    (1 + C, D) float64
    """
    spread = inputs.var(axis=0)
    # Where an input never changes nothing is known of what it does: it is to do nothing.
    penalty = np.concatenate([[0.0], np.where(spread > 0, ridge * spread, 1.0)])
    extended = _with_one(inputs)
    normal = extended.T @ extended + np.diag(penalty)
    return np.asarray(np.linalg.solve(normal, extended.T @ outputs))


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Affine maps ``(N, 3, 4)``: first ``inner``, then ``outer``."""
    linear = outer[:, :, :3]
    composed = linear @ inner
    composed[:, :, 3] += outer[:, :, 3]
    return composed


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(values), 1)), values], axis=1)


def _in_model(landmarks: np.ndarray, affine: np.ndarray, count: int) -> np.ndarray:
    points = array_of("landmarks", landmarks, (count, NUM_LANDMARKS, 3), np.float64)
    matrix = array_of("affine", affine, (count, 3, 4), np.float64)
    moved = np.swapaxes(points - matrix[:, None, :, 3], 1, 2)
    return np.asarray(np.swapaxes(np.linalg.solve(matrix[:, :, :3], moved), 1, 2))


def _mirrored(coefficients: np.ndarray, mirror: Mirror) -> np.ndarray:
    end = len(mirror.shape_index)
    shape = coefficients[:, :end][:, mirror.shape_index] * mirror.shape_sign
    expression = coefficients[:, end:][:, mirror.expression_index] * mirror.expression_sign
    return np.concatenate([shape, expression], axis=1)


def _count(arrays: dict[str, np.ndarray], key: str) -> int:
    value = arrays[key]
    if value.shape != () or value.dtype.kind not in "iu" or value < 0:
        raise InvalidInputError(f"{key}: expected a number of modes, got {value!r}")
    return int(value)
