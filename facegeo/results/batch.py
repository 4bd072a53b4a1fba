"""Faces in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Final

import numpy as np

from facegeo.base.arrays import describe
from facegeo.base.reprs import ShortRepr
from facegeo.conventions import NUM_LANDMARKS, NUM_SHAPE
from facegeo.errors import (
    InvalidInputError,
)
from facegeo.geometry import params as parameters
from facegeo.geometry import pose as pose_maths
from facegeo.geometry.axes import flip_rows, flip_y
from facegeo.geometry.crop import CropConvention, pose_to_photo
from facegeo.results.face import Face, MeshSource, Pose

#: Columns that need not be given: shape of a face's, and what stands there then.
_DEFAULTS: Final[dict[str, tuple[tuple[int, ...], float]]] = {
    "rotations": ((), 0.0),
    "depths": ((), 0.0),
    "visibility": ((NUM_LANDMARKS,), np.nan),
    "covariance": ((NUM_LANDMARKS, 2, 2), np.nan),
}

#: Rows of a batch: a slice, indices, or a mask.
Rows = slice | Sequence[int] | Sequence[bool] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class FaceBatch(ShortRepr):
    """Faces in columns, as the network gives them: the inner, loop-free level.

    Attributes
    ----------
    params : (N, P) float32
    landmarks, coarse_landmarks : (N, 68, 3) float32
        Photo pixels.
    presence : (N,) float32
        As in :class:`Face`.
    rois : (N, 4) float32
        ``xyxy``, photo pixels.
    convention : CropConvention
        Where the parameters lie in a crop, and the crop in the photo.
    rotations : (N,) float32
        Degrees by which each region is turned; zeros by default.
    depths : (N,) float32
        Photo pixels: how deep the crop's own frame has the middle of the outer eye corners, from
        which the depth of all points is counted; zeros by default.
    num_shape : int
        How many of the parameters are shape coefficients.
    visibility : (N, 68) float32
    covariance : (N, 68, 2, 2) float32
        As in :class:`Face`; NaN by default.
    """

    params: np.ndarray
    landmarks: np.ndarray
    coarse_landmarks: np.ndarray
    presence: np.ndarray
    rois: np.ndarray
    convention: CropConvention
    rotations: np.ndarray = None  # type: ignore[assignment]  # zeros, as many as faces
    depths: np.ndarray = None  # type: ignore[assignment]
    num_shape: int = NUM_SHAPE
    visibility: np.ndarray = None  # type: ignore[assignment]
    covariance: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, (shape, value) in _DEFAULTS.items():
            if getattr(self, name) is None:
                column = np.full((len(self.params), *shape), value, np.float32)
                object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.params)

    def __getitem__(self, rows: Rows) -> FaceBatch:
        """Some of the faces, as a batch.

        Parameters
        ----------
        rows : slice, (M,) sequence of int, or (N,) mask of bool
        """
        chosen = rows if isinstance(rows, slice) else _index(rows)
        return replace(self, **{name: getattr(self, name)[chosen] for name in _columns()})

    def replaced(self, rows: np.ndarray, faces: FaceBatch) -> FaceBatch:
        """The batch with other faces in some rows: ``rows`` are (M,) indices, ``faces`` has M."""
        columns = {}
        for name in _columns():
            columns[name] = getattr(self, name).copy()
            columns[name][rows] = getattr(faces, name)
        return replace(self, **columns)

    @classmethod
    def concatenate(cls, batches: Sequence[FaceBatch]) -> FaceBatch:
        """The faces of all batches, in order.

        Raises
        ------
        InvalidInputError
            If there is no batch, or their conventions or numbers of modes differ.
        """
        conventions = {(batch.convention, batch.num_shape) for batch in batches}
        if len(conventions) != 1:
            raise InvalidInputError(
                "batches: expected some of one crop convention and number of shape modes, "
                f"got {len(batches)} batches of {len(conventions)} kinds"
            )
        if len(batches) == 1:
            return batches[0]
        columns = {
            name: np.concatenate([getattr(batch, name) for batch in batches]) for name in _columns()
        }
        convention, num_shape = conventions.pop()
        return cls(**columns, convention=convention, num_shape=num_shape)

    @cached_property
    def affine(self) -> np.ndarray:
        """(N, 3, 4) float32: model units to photo pixels."""
        pose = parameters.split(self.params).pose
        affine = pose_to_photo(pose, self.rois, self.convention, rotations=self.rotations)
        affine[:, 2, 3] -= self.depths
        return affine

    @cached_property
    def similarity(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scale (N,), rotation (N, 3, 3), translation (N, 3) nearest to ``affine``.

        The rotation is in the y-up camera frame, scale and translation are photo pixels (y down).
        """
        scale, rotation, _ = pose_maths.decompose_affine(flip_rows(self.affine))
        return scale, rotation, self.affine[:, :, 3].astype(np.float64)

    @cached_property
    def angles_deg(self) -> np.ndarray:
        """(N, 3) float64: yaw, pitch, roll."""
        return pose_maths.euler_from_rotation(self.similarity[1])

    @property
    def shape(self) -> np.ndarray:
        """(N, Ns) float32 identity coefficients."""
        return parameters.split(self.params, self.num_shape).shape

    @property
    def expression(self) -> np.ndarray:
        """(N, Ne) float32 expression coefficients."""
        return parameters.split(self.params, self.num_shape).expression

    def faces(self, boxes: np.ndarray, scores: np.ndarray, mesh_source: MeshSource) -> list[Face]:
        """The rows as :class:`Face` objects; boxes are (N, 4), scores (N,)."""
        scale, rotation, translation = self.similarity
        angles: list[tuple[float, float, float]] = [tuple(row) for row in self.angles_deg.tolist()]
        # From photo pixels back to the model: x = R^T diag(1, -1, 1) (p - t) / s
        middle = flip_y(self.coarse_landmarks.mean(axis=1) - translation)
        anchors = np.einsum("nji,nj->ni", rotation, middle) / scale[:, None]
        return [
            Face(
                box=boxes[i],
                score=float(scores[i]),
                presence=float(self.presence[i]),
                roi=self.rois[i],
                landmarks=self.landmarks[i],
                coarse_landmarks=self.coarse_landmarks[i],
                params=self.params[i],
                affine=self.affine[i],
                pose=Pose(
                    *angles[i],
                    rotation[i],
                    float(scale[i]),
                    translation[i],
                    mesh_source.unit_mm,
                    anchors[i],
                ),
                mesh_source=mesh_source,
                roi_rotation=float(self.rotations[i]),
                num_shape=self.num_shape,
                visibility=self.visibility[i],
                covariance=self.covariance[i],
            )
            for i in range(len(self))
        ]


def _columns() -> list[str]:
    """The arrays of a FaceBatch that have a row for each face."""
    shared = ("convention", "num_shape")
    return [column.name for column in fields(FaceBatch) if column.name not in shared]


def _index(rows: Sequence[int] | Sequence[bool] | np.ndarray) -> np.ndarray:
    """Rows that keep an array's axis of faces."""
    index = np.asarray(rows)
    if index.size == 0:  # an empty list is one of floats
        index = index.astype(int)
    if index.ndim != 1 or index.dtype.kind not in "iub":
        raise InvalidInputError(
            f"rows: expected a slice, a list of whole numbers or a mask, got {describe(rows)}; "
            "single faces are in FaceBatch.faces()"
        )
    return index
