"""3D morphable models: coefficients to vertices, and the 68 landmarks as rows of the vertices.

A vertex is ``mean + sum_s shape[s] shape_basis[s] + sum_e expression[e] expression_basis[e]`` in
the model frame of :mod:`facegeo.conventions`; a pose is a 3x4 affine map from there to another.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.base.files import sha256
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.morphable.archive import (
    CAGE_VERSION,
    fields_of,
    read_model_file,
    write_arrays,
    write_fields,
)
from facegeo.morphable.basis import (
    IBUG68,
    Eyes,
    LandmarkBasis,
    Mirror,
    VertexTexture,
    basis_at,
    check_layout,
    first_modes,
)
from facegeo.morphable.contour import SILHOUETTE, Contour, check_contour, outline_landmarks
from facegeo.morphable.expansion import OfMesh
from facegeo.morphable.parts import parts_named, without_parts
from facegeo.morphable.validation import check_modes, checked_fields

if TYPE_CHECKING:
    from facegeo.geometry.camera import MetricPose
    from facegeo.morphable.cage import Cage, Detail
    from facegeo.morphable.fitting import FitResult, SharedShapeFit
    from facegeo.ops.mesh import MeshKernel

#: Name of the face model that ships with the package.
DEFAULT_FACE_MODEL: Final = "facegeo-head"

_IDENTITY = np.eye(3, 4, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear face model; every array is checked and read-only.

    Attributes
    ----------
    name : str
    unit_mm : float
        Millimetres in one model unit.
    mean : (V, 3) float32
        The mean face in the model frame (right-handed, x right in the image, y up, z to the
        viewer).
    shape_basis : (Ns, V, 3) float32
    expression_basis : (Ne, V, 3) float32
        Offsets of every vertex for a coefficient of one.
    triangles : (F, 3) int32
        Vertex rows, counter-clockwise seen from outside.
    landmark_rows : (68,) int64
    uv : (U, 2) float32 or None
        Texture coordinates in [0, 1], v up.
    uv_triangles : (F, 3) int32 or None
        Row of ``uv`` of every triangle corner; ``triangles`` itself when ``U == V``.
    expression_names, shape_names : tuple of str
        One a mode, or empty.
    regions : mapping of str to (V,) bool
    parts : mapping of str to (F,) bool
        Triangles of pieces that can be left out: eyes, teeth, tongue; empty where there are none.
    mirror : Mirror or None
    shape_std, expression_std : (Ns,), (Ne,) float32 or None
        Standard deviation of each coefficient; None where the bases are scaled such that it is 1.
        Fitting needs it, vertices do not.
    expression_range : (float, float) or None
        What expression coefficients may be, (0, 1) for blendshapes; fits keep to it. None: all.
    texture : VertexTexture or None
        Colours of the vertices.
    eyes : Eyes or None
        What the eyeballs turn about, and their irises.
    layout_rows : mapping of str to (K,) int64
        Rows of the vertices that are further :attr:`layouts`' points.

    Raises
    ------
    InvalidInputError
        If a shape, dtype or index does not fit, or a number is not finite; it names the field.
    """

    name: str
    unit_mm: float
    mean: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray
    triangles: np.ndarray
    landmark_rows: np.ndarray
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    expression_names: tuple[str, ...] = ()
    shape_names: tuple[str, ...] = ()
    regions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    mirror: Mirror | None = None
    shape_std: np.ndarray | None = None
    expression_std: np.ndarray | None = None
    expression_range: tuple[float, float] | None = None
    texture: VertexTexture | None = None
    parts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    eyes: Eyes | None = None
    layout_rows: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for field, value in checked_fields(vars(self)).items():
            object.__setattr__(self, field, value)

    def __getstate__(self) -> dict[str, Any]:
        """The fields, for copies sent to other processes; each builds its own kernel."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Checked anew: what came by a pipe is as read-only as what a constructor made."""
        vars(self).update(state | checked_fields(state))

    def __repr__(self) -> str:
        return (
            f"MorphableModel({self.name!r}, {self.num_vertices} vertices, "
            f"{len(self.triangles)} triangles, {self.num_shape} shape + "
            f"{self.num_expression} expression modes, unit {self.unit_mm:g} mm)"
        )

    @property
    def num_vertices(self) -> int:
        return len(self.mean)

    @property
    def num_shape(self) -> int:
        return len(self.shape_basis)

    @property
    def num_expression(self) -> int:
        return len(self.expression_basis)

    def vertices(
        self,
        shape: np.ndarray,
        expression: np.ndarray,
        pose: np.ndarray | None = None,
        *,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Meshes of N faces, by :class:`facegeo.ops.mesh.MeshKernel`.

        Parameters
        ----------
        shape : (N, Ns) float32
        expression : (N, Ne) float32
        pose : (N, 3, 4) float32, optional
            Linear part and translation that take model units to the wanted frame; without it the
            vertices stay in the model frame.
        out : (N, V, 3) float32, optional
            C-contiguous buffer that is filled and returned.

        Returns
        -------
        (N, V, 3) float32
            Its rows ``landmark_rows`` are :meth:`landmarks`, bit for bit, whatever the batch.

        Raises
        ------
        InvalidInputError
            If an array has the wrong shape, dtype or layout, or is not finite.
        """
        shape, expression, pose = self._checked_coefficients(shape, expression, pose)
        placed = np.broadcast_to(_IDENTITY, (len(shape), 3, 4)) if pose is None else pose
        points = self._kernel(np.concatenate([shape, expression], axis=1), placed, out)
        # The kernel's storage and order of sums are its own affair; the landmarks have one
        # definition, so that points and mesh of a face can never disagree.
        points[:, self.landmark_rows] = self.landmark_basis.points(shape, expression, pose)
        return points

    def landmarks(
        self,
        shape: np.ndarray,
        expression: np.ndarray,
        pose: np.ndarray | None = None,
        *,
        layout: str = IBUG68,
        contour: Contour = "surface",
    ) -> np.ndarray:
        """The 68 landmarks of N faces, ``(N, 68, 3)`` float32; arguments as :meth:`vertices`.

        They equal ``vertices(...)[:, landmark_rows]`` bit for bit; the same face gives the same
        bits in any batch.

        Parameters
        ----------
        layout : str
            Other points, ``(N, K, 3)``: one of :attr:`layouts`.
        contour : "surface" or "silhouette"
            Jaw points that keep their place on the head; or, as annotators of 2D points have them,
            those where the outline of the posed face is, seen along z. Far cheeks differ.

        Raises
        ------
        InvalidInputError
            As :meth:`vertices`, or if there is no such layout or contour.
        MissingBasisError
            If the model has no rows across its jaw for ``silhouette``.
        """
        shape, expression, pose = self._checked_coefficients(shape, expression, pose)
        if contour == "surface":
            return self.basis_of(layout).points(shape, expression, pose)
        check_contour(self.name, self.layouts, layout, contour)
        placed = np.broadcast_to(_IDENTITY, (len(shape), 3, 4)) if pose is None else pose
        rows = self.basis_of(SILHOUETTE)
        return outline_landmarks(self.landmark_basis, rows, shape, expression, placed)

    @property
    def layouts(self) -> tuple[str, ...]:
        """Names of the points that the model knows: ``ibug68``, the landmarks, and more."""
        return (IBUG68, *self.layout_rows)

    def basis_of(self, layout: str) -> LandmarkBasis:
        """Mean and bases at the points of a layout. Raises InvalidInputError if it has none."""
        check_layout(self.layouts, layout)
        return self.landmark_basis if layout == IBUG68 else basis_at(self, self.layout_rows[layout])

    @cached_property
    def landmark_basis(self) -> LandmarkBasis:
        """Mean and bases at the 68 landmarks."""
        return basis_at(self, self.landmark_rows)

    def truncated(self, num_shape: int, num_expression: int) -> MorphableModel:
        """The model with its first modes only.

        The mirror is kept where the remaining modes mirror into each other.
        """
        check_modes((num_shape, num_expression), (self.num_shape, self.num_expression))
        fewer = first_modes(self, num_shape, num_expression)
        fewer["eyes"] = self.eyes and self.eyes.truncated(num_shape, num_expression)
        return dataclasses.replace(self, **fewer)

    def part(self, name: str) -> np.ndarray:
        """Triangles of a part, ``(F,) bool``: ``"tongue"``, or ``"teeth"`` for both rows of them.

        Raises InvalidInputError, which lists the parts, if there is none of that name.
        """
        return np.logical_or.reduce([self.parts[part] for part in parts_named(self.parts, name)])

    def without(self, *names: str) -> MorphableModel:
        """The model without the triangles of some parts, named as for :meth:`part`.

        All vertices stay, so that those of both models have the same rows.
        """
        left_out = [part for name in names for part in parts_named(self.parts, name)]
        return dataclasses.replace(self, **without_parts(vars(self), left_out))

    def fit(self, landmarks_3d: np.ndarray, **options: Any) -> FitResult:
        """Pose, shape and expression of N faces from 68 3D landmarks each.

        See :func:`facegeo.morphable.fitting.fit_landmarks` for the options.
        """
        from facegeo.morphable.fitting import fit_landmarks

        return fit_landmarks(self.landmark_basis, landmarks_3d, **options)

    def fit_shared_shape(self, landmarks_3d: np.ndarray, **options: Any) -> SharedShapeFit:
        """One shape, and pose and expression of every frame, from N frames of one person.

        See :func:`facegeo.morphable.fitting.fit_shared_shape` for the options.
        """
        from facegeo.morphable.fitting import fit_shared_shape

        return fit_shared_shape(self.landmark_basis, landmarks_3d, **options)

    def to_metric(self, fit: FitResult, camera_matrix: np.ndarray) -> MetricPose:
        """Fitted faces in millimetres in the camera's frame.

        Parameters
        ----------
        fit : FitResult
            Of landmarks in photo pixels (``frame="photo"``), by this model.
        camera_matrix : (3, 3) float
            Of the photo, pixels. :mod:`facegeo.geometry.camera` says what is assumed.

        Raises
        ------
        InvalidInputError
            If the fit was made in another frame, or the matrix is not a camera's.
        """
        from facegeo.geometry.camera import to_metric

        if (np.linalg.det(fit.pose[:, :, :3]) > 0).any():
            raise InvalidInputError("fit: expected a fit of photo pixels, frame='photo'")
        return to_metric(
            fit.scale,
            fit.rotation,
            fit.pose[:, :, 3],
            camera_matrix,
            unit_mm=self.unit_mm,
            reference=self.landmarks(fit.shape, fit.expression).mean(axis=1),
        )

    def save(self, path: str | os.PathLike[str], *, storage: str = "float32") -> None:
        """Write the ``.npz`` file of :mod:`facegeo.morphable.archive`, whole or not at all.

        Parameters
        ----------
        storage : "float32", "float16" or "int16"
            How the bases are kept. ``int16`` has 1/65534 of each mode's largest offset as its
            largest error, about a sixteenth of float16's, at half the size of float32.

        Raises
        ------
        OutputError
            If the place is not writable; a file that was there before is unchanged.
        """
        write_fields(path, self.__getstate__(), storage)

    @classmethod
    @functools.cache
    def default(cls) -> MorphableModel:
        """``facegeo-head``, the model that ships with the package; read once a process."""
        resource = importlib.resources.files("facegeo") / "assets" / f"{DEFAULT_FACE_MODEL}.npz"
        with importlib.resources.as_file(resource) as path:
            return MorphableModel.load(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, detail: Detail | None = None) -> MorphableModel:
        """Read a ``.npz`` file that :meth:`save` wrote, or one that holds a cage.

        Parameters
        ----------
        detail : "full" or "low"
            Of a cage: the whole mesh, or one of about an eighth of its vertices. By default that
            with which it was saved, else the whole.

        Raises
        ------
        UnreadableFileError
            If the file does not exist or may not be read.
        CorruptFileError
            If it is no model file, of another version, or an array is missing or wrong; the message
            names file and key.
        InvalidInputError
            If the model has no such detail.
        """
        file = read_model_file(path)
        if file.version != CAGE_VERSION and detail not in (None, "full"):
            raise InvalidInputError(
                f"detail: expected 'full', the one that {os.fspath(path)} has, got {detail!r}"
            )
        try:
            if file.version != CAGE_VERSION:
                return cls(**fields_of(file))
            from facegeo.morphable.cage import parse_cage, saved_view

            cage = parse_cage(file.arrays)
            saved, left_out = saved_view(file.arrays, cage)
        except InvalidInputError as error:
            raise CorruptFileError(f"{os.fspath(path)}: {error}") from error
        return CageModel(cage, detail or saved or "full", file.sha256, left_out)

    @cached_property
    def _kernel(self) -> MeshKernel:
        from facegeo.ops.mesh import MeshKernel

        return MeshKernel(self.mean, np.concatenate([self.shape_basis, self.expression_basis]))

    def _checked_coefficients(
        self, shape: Any, expression: Any, pose: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        shape = array_of("shape", shape, ("N", self.num_shape))
        expression = array_of("expression", expression, (len(shape), self.num_expression))
        if pose is not None:
            pose = array_of("pose", pose, (len(shape), 3, 4))
        return shape, expression, pose


class CageModel(MorphableModel):
    """A model that its file keeps as a cage, of ``detail`` full or low.

    The mesh is made when a field of it is first asked for, once, and mapped from the cache folder
    from then on; landmarks never need it.

    Attributes
    ----------
    cage : Cage
    detail : "full" or "low"
        Low has the cage's vertices, smoothed, which are the first of the full mesh; those next to
        landmarks are put where the landmarks lie.
    key : str
        What tells the cage from others: the checksum of its file.
    left_out : tuple of str
        Parts whose triangles the mesh does not have.

    ``dataclasses.replace`` gives a plain :class:`MorphableModel` of the mesh, which is saved as
    that; a low mesh does not have the points of other layouts.
    """

    cage: Cage
    detail: Detail
    key: str
    left_out: tuple[str, ...]

    mean = OfMesh()  # type: ignore[assignment]
    shape_basis = OfMesh()  # type: ignore[assignment]
    expression_basis = OfMesh()  # type: ignore[assignment]
    triangles = OfMesh()  # type: ignore[assignment]
    landmark_rows = OfMesh()  # type: ignore[assignment]
    uv = OfMesh()  # type: ignore[assignment]
    uv_triangles = OfMesh()  # type: ignore[assignment]
    regions = OfMesh()  # type: ignore[assignment]
    parts = OfMesh()  # type: ignore[assignment]
    mirror = OfMesh()  # type: ignore[assignment]
    texture = OfMesh()  # type: ignore[assignment]
    layout_rows = OfMesh()  # type: ignore[assignment]

    def __new__(cls, *given: Any, **fields: Any) -> Any:
        # dataclasses.replace calls with all fields; the model with another mesh has no cage.
        return MorphableModel(**fields) if "mean" in fields else super().__new__(cls)

    def __init__(
        self, cage: Cage, detail: Detail, key: str, left_out: tuple[str, ...] = ()
    ) -> None:
        if detail not in ("full", "low"):
            raise InvalidInputError(f"detail: expected 'full' or 'low', got {detail!r}")
        names = ("name", "unit_mm", "shape_names", "expression_names")
        limits = ("shape_std", "expression_std", "expression_range")
        vars(self).update({name: getattr(cage, name) for name in names + limits})
        vars(self).update(cage=cage, detail=detail, key=key, left_out=left_out)
        vars(self)["eyes"] = cage.eyes(detail)

    def __reduce__(self) -> tuple[Any, ...]:
        return CageModel, (self.cage, self.detail, self.key, self.left_out)

    def __repr__(self) -> str:
        return (
            f"CageModel({self.name!r}, detail {self.detail!r} of a cage of "
            f"{len(self.cage.mean)} vertices, {self.num_shape} shape + "
            f"{self.num_expression} expression modes, unit {self.unit_mm:g} mm)"
        )

    @property
    def num_shape(self) -> int:
        return len(self.cage.shape_basis)

    @property
    def num_expression(self) -> int:
        return len(self.cage.expression_basis)

    @property
    def layouts(self) -> tuple[str, ...]:
        """Names of the points that the model knows: ``ibug68``, the landmarks, and more."""
        return tuple(self.cage.layouts)

    @cached_property
    def landmark_basis(self) -> LandmarkBasis:
        """Mean and bases at the 68 landmarks, without the mesh."""
        return self.cage.basis_of(IBUG68)

    def basis_of(self, layout: str) -> LandmarkBasis:
        """Mean and bases at the points of a layout. Raises InvalidInputError if it has none."""
        check_layout(self.layouts, layout)
        return self.landmark_basis if layout == IBUG68 else self.cage.basis_of(layout)

    def save(self, path: str | os.PathLike[str], *, storage: str = "float32") -> None:
        """As :meth:`MorphableModel.save`, but the cage, which opens as the same model."""
        from facegeo.morphable.cage import cage_arrays

        view = {"detail": self.detail, "left_out": np.array(self.left_out, str)}
        write_arrays(path, CAGE_VERSION, cage_arrays(self.cage, storage) | view)

    def truncated(self, num_shape: int, num_expression: int) -> MorphableModel:
        """The model with its first modes only."""
        check_modes((num_shape, num_expression), (self.num_shape, self.num_expression))
        key = sha256(f"{self.key} {num_shape} {num_expression}".encode())
        return CageModel(
            self.cage.truncated(num_shape, num_expression), self.detail, key, self.left_out
        )

    def without(self, *names: str) -> MorphableModel:
        """The model without the triangles of some parts; this makes no mesh."""
        known = [part for part in self.cage.part_names if part not in self.left_out]
        more = tuple(part for name in names for part in parts_named(known, name))
        return CageModel(self.cage, self.detail, self.key, self.left_out + more)
