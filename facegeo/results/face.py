"""A face of a photo, its mesh and its pose; and the outcome of one photo of a batch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facegeo.base.reprs import ShortRepr
from facegeo.conventions import NUM_LANDMARKS, NUM_POSE, NUM_SHAPE
from facegeo.errors import (
    FacegeoError,
    MissingBasisError,
    ModelNotFoundError,
)
from facegeo.geometry import params as parameters

if TYPE_CHECKING:
    from facegeo.geometry.camera import MetricPose
    from facegeo.morphable import MorphableModel


class MeshSource(Protocol):
    """Source of vertices from parameters; it is asked only when a mesh is wanted."""

    @property
    def unit_mm(self) -> float:
        """Millimetres in one model unit."""

    @property
    def morphable(self) -> MorphableModel:
        """The 3DMM. Raises MissingBasisError that names the missing file."""

    def mesh(self, params: np.ndarray, affine: np.ndarray) -> Mesh:
        """The mesh of one face: ``(P,)`` parameters and ``(3, 4)`` model-to-photo matrix."""


@dataclass(frozen=True, eq=False, repr=False)
class Mesh(ShortRepr):
    """A dense face.

    Attributes
    ----------
    vertices : (V, 3) float32
        Photo pixels: x right, y down, z larger towards the viewer.
    triangles : (F, 3) int32
        Counter-clockwise seen from outside in the model frame (y up).
    """

    vertices: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Pose(ShortRepr):
    """Head orientation and weak-perspective placement.

    Attributes
    ----------
    yaw, pitch, roll : float
        Degrees. Yaw > 0: the face turns to the image's left; pitch > 0: it looks up;
        roll > 0: the head leans to the image's right (clockwise as the viewer sees it).
    rotation : (3, 3) float64
        Orthonormal, determinant +1: model axes to camera axes (x right, y up, z to the viewer).
    scale : float
        Photo pixels per model unit.
    translation : (3,) float64
        Photo pixels: where the model's origin lies (y down).
    unit_mm : float
        Millimetres in one model unit.
    anchor : (3,) float64
        Model units: the middle of the landmarks, at whose depth the scale holds.
    """

    yaw: float
    pitch: float
    roll: float
    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    unit_mm: float
    anchor: np.ndarray

    def to_metric(self, camera_matrix: np.ndarray) -> MetricPose:
        """The head in millimetres in the camera's frame (a batch of one).

        A photo shows no absolute size: the head is taken to be as large as the fitted face, the
        photo to be undistorted, and more that :mod:`facegeo.geometry.camera` states with what it
        costs.

        Parameters
        ----------
        camera_matrix : (3, 3) float
            ``[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]``, pixels, of this photo at this size.

        Raises
        ------
        InvalidInputError
            If it is no camera matrix.
        """
        from facegeo.geometry.camera import to_metric

        return to_metric(
            np.array([self.scale]),
            self.rotation[None],
            self.translation[None],
            camera_matrix,
            unit_mm=self.unit_mm,
            reference=self.anchor,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain numbers and lists."""
        return {
            "yaw": self.yaw,
            "pitch": self.pitch,
            "roll": self.roll,
            "rotation": self.rotation.tolist(),
            "scale": self.scale,
            "translation": self.translation.tolist(),
            "unit_mm": self.unit_mm,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Face(ShortRepr):
    """One face of one photo.

    Attributes
    ----------
    box : (4,) float32
        ``xyxy``, photo pixels: the detector's box, or the caller's.
    score : float
        The detector's confidence in 0..1; NaN where the caller gave the box.
    presence : float
        The network's probability that the region holds a well-placed face; NaN where the network
        has no such output.
    roi : (4,) float32
        ``xyxy``, photo pixels: the square that the network saw.
    roi_rotation : float
        Degrees by which that square was turned about its middle, clockwise as the viewer sees it;
        0 for faces that lean little.
    landmarks : (68, 3) float32
        Photo pixels; the network's refined points where it has refinement, else the coarse ones.
    coarse_landmarks : (68, 3) float32
        Photo pixels; rows of ``coarse_mesh``.
    params : (P,) float32
        12 pose (model to crop), then shape and expression coefficients: 40 and 10, or as many as
        the face model has modes.
    affine : (3, 4) float32
        Model units to photo pixels, exactly as ``coarse_mesh`` is placed.
    pose : Pose
        The nearest similarity to ``affine``, with Euler angles.
    mesh : Mesh
        Moved onto ``landmarks``, see :mod:`facegeo.morphable.following`. Built when first asked
        for. Raises MissingBasisError where the model has no dense bases; after unpickling
        ModelNotFoundError where the model is not installed.
    coarse_mesh : Mesh
        As the parameters have it: ``coarse_landmarks`` are rows of it. Raises as ``mesh``.
    track_id : int or None
        In video: the person's number, the same in every frame; None on photos.
    num_shape : int
        How many of the parameters are shape coefficients.
    visibility : (68,) float32
        The network's probability that each landmark is seen: neither covered, nor on the side that
        is turned away, nor beyond the photo's border; NaN where the network has no such output.
    covariance : (68, 2, 2) float32
        Of the error to expect of each of ``landmarks`` in x and y, photo pixels squared; NaN where
        the network has no such output.
    """

    box: np.ndarray
    score: float
    presence: float
    roi: np.ndarray
    landmarks: np.ndarray
    coarse_landmarks: np.ndarray
    params: np.ndarray
    affine: np.ndarray
    pose: Pose
    mesh_source: MeshSource = field(repr=False)
    track_id: int | None = None
    roi_rotation: float = 0.0
    num_shape: int = NUM_SHAPE
    visibility: np.ndarray = field(default_factory=lambda: _not_told(NUM_LANDMARKS))
    covariance: np.ndarray = field(default_factory=lambda: _not_told(NUM_LANDMARKS, 2, 2))

    @property
    def shape(self) -> np.ndarray:
        """(Ns,) float32 identity coefficients."""
        return parameters.split(self.params[None], self.num_shape).shape[0]

    @property
    def expression(self) -> np.ndarray:
        """(Ne,) float32 expression coefficients."""
        return parameters.split(self.params[None], self.num_shape).expression[0]

    @cached_property
    def mesh(self) -> Mesh:
        return self.mesh_source.mesh(*self._refined)

    @cached_property
    def _refined(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and matrix of the mesh that lies on the landmarks."""
        from facegeo.morphable.following import follow_landmarks

        columns = (self.landmarks, self.shape, self.expression, self.affine)
        basis = self.mesh_source.morphable.landmark_basis
        found = follow_landmarks(basis, *(column[None] for column in columns))
        params = parameters.join(self.params[None, :NUM_POSE], found.shape, found.expression)
        return params[0], found.pose[0]

    @cached_property
    def coarse_mesh(self) -> Mesh:
        return self.mesh_source.mesh(self.params, self.affine)

    @property
    def blendshapes(self) -> dict[str, float]:
        """Weights of the face model's expressions by name, as ``mesh`` has them.

        With ``facegeo-head`` these are ARKit's 52 names, and weights of 0 to 1.

        Raises
        ------
        MissingBasisError
            If the face model names no expressions, or as ``mesh``.
        """
        model = self.mesh_source.morphable
        if not model.expression_names:
            raise MissingBasisError(
                f"model {model.name!r} names no expressions, facegeo-head does: fit it with "
                "facegeo.surface.dense.dense_faces(faces, MorphableModel.default())"
            )
        expression = parameters.split(self._refined[0][None], self.num_shape).expression[0]
        return dict(zip(model.expression_names, expression.tolist(), strict=True))

    def landmarks_in(self, layout: str) -> np.ndarray:
        """Points of another layout, on ``mesh``: ``(K, 3)`` float32, photo pixels.

        >>> face.landmarks_in("mediapipe478")  # MediaPipe's face mesh with both irises

        Parameters
        ----------
        layout : str
            One of :attr:`facegeo.morphable.model.MorphableModel.layouts`; which ones there are is
            the face model's matter. ``ibug68`` are the mesh's own 68 points.

        Raises
        ------
        InvalidInputError
            If the face model has no such layout; the message names those it has.
        MissingBasisError, ModelNotFoundError
            As ``mesh``.
        """
        params, affine = self._refined
        split = parameters.split(params[None], self.num_shape)
        model = self.mesh_source.morphable
        points = model.landmarks(split.shape, split.expression, affine[None], layout=layout)
        return points[0]

    def __getstate__(self) -> dict[str, Any]:
        """Meshes that were built stay out of pickles: numbers of a few kB build them again."""
        built = ("mesh", "coarse_mesh", "_refined")
        return {name: value for name, value in vars(self).items() if name not in built}

    def to_dict(self) -> dict[str, Any]:
        """Everything but the mesh as plain numbers and lists; what is not known is None."""
        return {
            "track_id": self.track_id,
            "box": self.box.tolist(),
            "score": _known(self.score),
            "presence": _known(self.presence),
            "roi": self.roi.tolist(),
            "roi_rotation": self.roi_rotation,
            "pose": self.pose.to_dict(),
            "landmarks": self.landmarks.tolist(),
            "coarse_landmarks": self.coarse_landmarks.tolist(),
            "visibility": _told(self.visibility),
            "covariance": _told(self.covariance),
            "blendshapes": self._named_expressions(),
            "params": self.params.tolist(),
            "affine": self.affine.tolist(),
        }

    def _named_expressions(self) -> dict[str, float] | None:
        try:
            return self.blendshapes
        except (MissingBasisError, ModelNotFoundError):
            return None

    def to_json(self, **options: Any) -> str:
        """:meth:`to_dict` as JSON; options go to :func:`json.dumps`."""
        return json.dumps(self.to_dict(), **options)


@dataclass(frozen=True, eq=False, repr=False)
class PhotoResult(ShortRepr):
    """Outcome of one photo of a batch.

    Attributes
    ----------
    index : int
        Position in the batch.
    source : path or None
        The path that the caller gave; None for arrays and PIL images, which ``index`` tells apart
        and a result shall not keep in memory.
    photo : (H, W, 3) uint8 or None
        The photo as BGR, upright; None where it could not be read.
    faces : list of Face
        Empty where there is no face, and where the photo failed.
    error : FacegeoError or None
        What was wrong with this photo.
    """

    index: int
    source: str | os.PathLike[str] | None
    photo: np.ndarray | None
    faces: Sequence[Face]
    error: FacegeoError | None


def _not_told(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def _told(values: np.ndarray) -> list[Any] | None:
    found: list[Any] = values.tolist()
    return None if np.isnan(values).any() else found


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
