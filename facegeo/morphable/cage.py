"""A head as a file keeps it: a cage of quads with its modes, which a fixed rule subdivides.

Format version 2 of :mod:`facegeo.morphable.archive`. All geometry is that of the cage:
``cage/mean``, ``cage/shape_basis`` and ``cage/expression_basis`` (float32, float16, or int16 fixed
point with one scale a mode in ``cage/shape_scale`` and ``cage/expression_scale``), ``cage/faces``
(quads),
``cage/part`` with ``part_names``, ``cage/uv``, ``cage/uv_faces``, ``regions/<name>``,
``mirror/<field>``, ``texture/<field>`` as in version 1, ``eyes/centre`` (right and left eyeball);
``subdivide`` says how often each quad is split, and
``landmarks/<layout>/<field>`` where the points of a layout lie: rows of the full mesh, and the
same as weights over the cage, by which they are had without the mesh. ``detail`` and ``left_out``
(names of parts) say how the model was saved, where that is not the whole mesh; an empty
``expression_range`` is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError
from facegeo.morphable.archive import common_arrays, decoded_basis, encoded_basis, read_texture
from facegeo.morphable.basis import (
    EYE_PARTS,
    IBUG68,
    Eyes,
    LandmarkBasis,
    Mirror,
    VertexTexture,
    first_modes,
)
from facegeo.morphable.validation import (
    ReadOnlyArrays,
    checked_names,
    checked_range,
    checked_std,
    frozen,
    index_array,
    positive,
)

#: Of a mesh. ``full``: every quad as often as the file says. ``low``: the cage's own vertices.
Detail = Literal["full", "low"]

#: A mesh as arrays with names.
Arrays = dict[str, np.ndarray]
#: Name of mean, shape basis and expression basis, one behind the other.
MODES: Final = "modes"
#: Name of mean and modes of the colours, likewise.
COLOURS: Final = "colours"
#: What the names of regions begin with.
REGION: Final = "region/"

#: The layout of middle and rim of both irises, the person's right one first.
_IRIS: Final = "iris"
#: Limits of expressions where a file names none: blendshapes.
_BLENDSHAPES: Final = (0.0, 1.0)
_REQUIRED: Final = (
    "cage/mean",
    "cage/shape_basis",
    "cage/expression_basis",
    "cage/faces",
    "subdivide",
)


@dataclass(frozen=True, eq=False)
class PointLayout(ReadOnlyArrays):
    """Named points of a head.

    Attributes
    ----------
    rows : (K,) int64
        Rows of the full mesh.
    starts : (K,) int64
        Point k is the sum of the entries from ``starts[k]`` on to the next point's, of
    vertices : (n,) int64
        vertices of the cage
    weights : (n,) float32
        times these.
    """

    rows: np.ndarray
    starts: np.ndarray
    vertices: np.ndarray
    weights: np.ndarray

    def of(self, fields: np.ndarray) -> np.ndarray:
        """Fields ``(M, C, 3)`` of the cage at the points: ``(M, K, 3)`` float32."""
        # Not by a sparse matrix: SciPy takes four times as long to import as a head to be read.
        parts = fields[:, self.vertices] * self.weights[:, None]
        return np.add.reduceat(parts, self.starts, axis=1)


@dataclass(frozen=True, eq=False)
class Cage(ReadOnlyArrays):
    """A morphable model on a cage; its arrays are checked and read-only.

    Attributes
    ----------
    name : str
    unit_mm : float
    mean : (C, 3) float32
    shape_basis : (Ns, C, 3) float32
    expression_basis : (Ne, C, 3) float32
    faces : (Q, 4) int64
        Quads, counter-clockwise from outside.
    levels : (Q,) int64
        How often each is subdivided, 1 or 2.
    layouts : mapping of str to PointLayout
        ``ibug68`` is always there.
    part_names : tuple of str
    parts : (Q,) int64 or None
        The part that each quad belongs to.
    uv : (U, 2) float32 or None
    uv_faces : (Q, 4) int64 or None
    regions : mapping of str to (C,) bool
    mirror : Mirror or None
        Of the cage's vertices.
    texture : VertexTexture or None
        Colours of the cage's vertices.
    eye_centre : (2, 3) float32 or None
        Of the mean face, right and left.
    shape_names, expression_names, shape_std, expression_std, expression_range
        As those of :class:`facegeo.morphable.model.MorphableModel`.
    """

    name: str
    unit_mm: float
    mean: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray
    faces: np.ndarray
    levels: np.ndarray
    layouts: Mapping[str, PointLayout]
    part_names: tuple[str, ...] = ()
    parts: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None
    regions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    mirror: Mirror | None = None
    texture: VertexTexture | None = None
    eye_centre: np.ndarray | None = None
    shape_names: tuple[str, ...] = ()
    expression_names: tuple[str, ...] = ()
    shape_std: np.ndarray | None = None
    expression_std: np.ndarray | None = None
    expression_range: tuple[float, float] | None = _BLENDSHAPES

    def basis_of(self, layout: str) -> LandmarkBasis:
        """Mean and bases at the points of a layout."""
        points = self.layouts[layout]
        std = (
            np.ones(len(basis), np.float32) if given is None else given
            for basis, given in (
                (self.shape_basis, self.shape_std),
                (self.expression_basis, self.expression_std),
            )
        )
        shape_std, expression_std = std
        modes = np.concatenate([self.mean[None], self.shape_basis, self.expression_basis])
        at_points = points.of(modes)
        end = 1 + len(self.shape_basis)
        return LandmarkBasis(
            mean=frozen(at_points[0]),
            shape_basis=frozen(at_points[1:end]),
            expression_basis=frozen(at_points[end:]),
            shape_std=frozen(shape_std),
            expression_std=frozen(expression_std),
            unit_mm=self.unit_mm,
            expression_range=self.expression_range,
            expression_names=self.expression_names,
        )

    def eyes(self, detail: Detail) -> Eyes | None:
        """The eyeballs, with the vertices of the irises in a mesh of a detail."""
        if self.eye_centre is None or self.parts is None:
            return None
        points = self.layouts[_IRIS].rows.reshape(2, -1)
        around = self.layouts[_IRIS].of(self.mean[None])[0].reshape(2, -1, 3)
        rows = np.empty_like(points)
        bases = self.shape_basis, self.expression_basis
        moves = np.empty((sum(map(len, bases)), 2, 3), np.float32)
        for eye, part in enumerate(EYE_PARTS):
            own = np.unique(self.faces[self.parts == self.part_names.index(part)])
            weights = _affine_weights(self.mean[own], self.eye_centre[eye])
            near = np.concatenate([basis[:, own] for basis in bases])
            moves[:, eye] = np.tensordot(near, weights, (1, 0))
            away = np.linalg.norm(around[eye][:, None] - self.mean[own], axis=2)
            # The low detail has the cage's vertices, which are the first of the full one.
            stand_in = own[away.argmin(axis=1)]
            rows[eye] = np.where(points[eye] < len(self.mean), points[eye], stand_in)
        radius = np.linalg.norm(around[:, 1:] - self.eye_centre[:, None], axis=2).mean(axis=1)
        eyes = Eyes(
            centre=self.eye_centre,
            radius=radius,
            iris=points if detail == "full" else rows,
            shape_basis=moves[: len(self.shape_basis)],
            expression_basis=moves[len(self.shape_basis) :],
        )
        return eyes.checked(2**31, len(self.shape_basis), len(self.expression_basis))

    def truncated(self, num_shape: int, num_expression: int) -> Cage:
        """The cage with its first modes only."""
        return dataclasses.replace(self, **first_modes(self, num_shape, num_expression))


def _affine_weights(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Weights of points that give the centre, also after any affine motion of all of them."""
    middle = points.mean(axis=0, dtype=np.float64)
    apart = points - middle
    return 1 / len(points) + apart @ np.linalg.solve(apart.T @ apart, centre - middle)


def parse_cage(arrays: Mapping[str, np.ndarray]) -> Cage:
    """The cage in the arrays of a file.

    Raises
    ------
    InvalidInputError
        If an array is missing, or does not fit the others; the message names its key.
    """
    for key in _REQUIRED:
        if key not in arrays:
            raise InvalidInputError(f"key '{key}' is missing")
    mean = array_of("cage/mean", arrays["cage/mean"], ("C", 3))
    count = len(mean)
    shape, expression = (_basis(arrays, kind, count) for kind in ("shape", "expression"))
    faces = index_array("cage/faces", arrays["cage/faces"], ("Q", 4), count)
    if not np.array_equal(np.unique(faces), np.arange(count)):
        raise InvalidInputError("cage/faces: expected every vertex in a quad")
    levels = _levels(arrays["subdivide"], len(faces))
    uv, uv_faces = _texture_layout(arrays, len(faces))
    part_names, parts = _parts(arrays, len(faces))
    return Cage(
        name=str(arrays["name"]),
        unit_mm=positive("unit_mm", arrays["unit_mm"]),
        mean=frozen(mean),
        shape_basis=frozen(shape),
        expression_basis=frozen(expression),
        faces=frozen(faces),
        levels=frozen(levels),
        layouts=_layouts(arrays, count),
        part_names=part_names,
        parts=parts,
        uv=uv,
        uv_faces=uv_faces,
        regions=_regions(arrays, count),
        mirror=_mirror(arrays, count, len(shape), len(expression)),
        texture=_texture(arrays, count),
        eye_centre=_eye_centre(arrays, part_names),
        expression_range=_range(arrays),
        shape_names=checked_names("shape_names", arrays.get("shape_names", ()), len(shape)),
        expression_names=checked_names(
            "expression_names", arrays.get("expression_names", ()), len(expression)
        ),
        shape_std=checked_std("shape_std", arrays.get("shape_std"), len(shape)),
        expression_std=checked_std("expression_std", arrays.get("expression_std"), len(expression)),
    )


def _basis(arrays: Mapping[str, np.ndarray], kind: str, count: int) -> np.ndarray:
    key, scale = f"cage/{kind}_basis", f"cage/{kind}_scale"
    stored = {key: arrays[key]}
    if scale in arrays:
        stored[f"{key}_scale"] = array_of(scale, arrays[scale], arrays[key].shape[:1])
    elif arrays[key].dtype == np.int16:
        raise InvalidInputError(f"key '{scale}' is missing")
    return array_of(key, decoded_basis(key, stored), ("N", count, 3))


def _range(arrays: Mapping[str, np.ndarray]) -> tuple[float, float] | None:
    limits = arrays.get("expression_range", np.array(_BLENDSHAPES))
    return checked_range(limits if limits.size else None)


def cage_arrays(cage: Cage, storage: str) -> dict[str, Any]:
    """The arrays that :func:`parse_cage` makes the same cage of; with int16, one that is near.

    Raises
    ------
    InvalidInputError
        If ``storage`` is not one of :data:`facegeo.morphable.archive.STORAGES`.
    """
    arrays: dict[str, Any] = {"cage/mean": cage.mean, "cage/faces": cage.faces.astype(np.int32)}
    for kind, basis in (("shape", cage.shape_basis), ("expression", cage.expression_basis)):
        for key, array in encoded_basis("basis", basis, storage).items():
            arrays[f"cage/{kind}_{key.removeprefix('basis_')}"] = array
    arrays["subdivide"] = cage.levels.astype(np.uint8)
    for name, layout in cage.layouts.items():
        indptr = np.append(layout.starts, len(layout.vertices))
        columns = {"rows": layout.rows, "indptr": indptr, "indices": layout.vertices}
        arrays |= {f"landmarks/{name}/{key}": column for key, column in columns.items()}
        arrays[f"landmarks/{name}/weights"] = layout.weights
    optional = {"cage/part": cage.parts, "cage/uv": cage.uv, "cage/uv_faces": cage.uv_faces}
    arrays |= {key: array for key, array in optional.items() if array is not None}
    if cage.part_names:
        arrays["part_names"] = np.array(cage.part_names)
    if cage.eye_centre is not None:
        arrays["eyes/centre"] = cage.eye_centre
    if cage.expression_range is None:
        arrays["expression_range"] = np.zeros(0)
    arrays |= {f"regions/{name}": mask for name, mask in cage.regions.items()}
    return arrays | common_arrays(vars(cage), storage)


def saved_view(
    arrays: Mapping[str, np.ndarray], cage: Cage
) -> tuple[Detail | None, tuple[str, ...]]:
    """The detail with which a model was saved, if the file says so, and the parts left out.

    Raises
    ------
    InvalidInputError
        If there is no such detail, or the cage has no such part.
    """
    detail = str(arrays["detail"]) if "detail" in arrays else None
    if detail not in (None, "full", "low"):
        raise InvalidInputError(f"key 'detail': expected 'full' or 'low', got {detail!r}")
    left_out = tuple(str(name) for name in np.ravel(arrays.get("left_out", ())))
    for name in left_out:
        if name not in cage.part_names:
            raise InvalidInputError(f"key 'left_out': expected parts of the cage, got {name!r}")
    return detail, left_out  # type: ignore[return-value]


def _levels(value: np.ndarray, count: int) -> np.ndarray:
    levels = index_array("subdivide", value, (count,), 3)
    if not levels.all():
        raise InvalidInputError("subdivide: expected 1 or 2 for each quad, got 0")
    return levels


def _texture_layout(
    arrays: Mapping[str, np.ndarray], count: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if "cage/uv" not in arrays:
        return None, None
    uv = array_of("cage/uv", arrays["cage/uv"], ("U", 2))
    if uv.size and (uv.min() < 0 or uv.max() > 1):
        raise InvalidInputError("cage/uv: expected numbers in [0, 1]")
    if "cage/uv_faces" not in arrays:
        raise InvalidInputError("key 'cage/uv_faces' is missing")
    corners = index_array("cage/uv_faces", arrays["cage/uv_faces"], (count, 4), len(uv))
    return frozen(uv), frozen(corners)


def _parts(
    arrays: Mapping[str, np.ndarray], count: int
) -> tuple[tuple[str, ...], np.ndarray | None]:
    if "cage/part" not in arrays:
        return (), None
    if "part_names" not in arrays:
        raise InvalidInputError("key 'part_names' is missing")
    names = tuple(str(name) for name in arrays["part_names"].ravel())
    return names, frozen(index_array("cage/part", arrays["cage/part"], (count,), len(names)))


def _layouts(arrays: Mapping[str, np.ndarray], count: int) -> dict[str, PointLayout]:
    names = [key.split("/")[1] for key in arrays if key.startswith("landmarks/")]
    layouts = {name: _layout(arrays, f"landmarks/{name}", count) for name in dict.fromkeys(names)}
    if IBUG68 not in layouts or len(layouts[IBUG68].rows) != NUM_LANDMARKS:
        raise InvalidInputError(f"landmarks/{IBUG68}: expected {NUM_LANDMARKS} points")
    return layouts


def _layout(arrays: Mapping[str, np.ndarray], place: str, count: int) -> PointLayout:
    fields: dict[str, Any] = {}
    for key in ("rows", "indptr", "indices", "weights"):
        if f"{place}/{key}" not in arrays:
            raise InvalidInputError(f"key '{place}/{key}' is missing")
        fields[key] = arrays[f"{place}/{key}"]
    # The full mesh is not there yet: its size is compared when it is.
    rows = index_array(f"{place}/rows", fields["rows"], ("K",), 2**31)
    indices = index_array(f"{place}/indices", fields["indices"], ("n",), count)
    weights = array_of(f"{place}/weights", fields["weights"], indices.shape)
    starts = index_array(f"{place}/indptr", fields["indptr"], (len(rows) + 1,), len(indices) + 1)
    if starts[0] != 0 or starts[-1] != len(indices) or (np.diff(starts) < 1).any():
        raise InvalidInputError(f"{place}/indptr: expected rising numbers, 0 to {len(indices)}")
    return PointLayout(*map(frozen, (rows, starts[:-1], indices, weights)))


def _regions(arrays: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    regions = {}
    for key, mask in arrays.items():
        if key.startswith("regions/"):
            if mask.dtype != bool or mask.shape != (count,):
                raise InvalidInputError(f"{key}: expected booleans of shape ({count},)")
            regions[key.removeprefix("regions/")] = frozen(mask)
    return regions


def _texture(arrays: Mapping[str, np.ndarray], count: int) -> VertexTexture | None:
    texture = read_texture(arrays)
    return texture and texture.checked(count)


def _eye_centre(arrays: Mapping[str, np.ndarray], part_names: tuple[str, ...]) -> np.ndarray | None:
    if "eyes/centre" not in arrays:
        return None
    for part in EYE_PARTS:
        if part not in part_names:
            raise InvalidInputError(f"eyes/centre: expected a part {part!r}, too")
    count = len(arrays.get(f"landmarks/{_IRIS}/rows", ()))
    if count < 4 or count % 2:
        raise InvalidInputError(f"landmarks/{_IRIS}: expected the points of both irises")
    return frozen(array_of("eyes/centre", arrays["eyes/centre"], (2, 3)))


def _mirror(
    arrays: Mapping[str, np.ndarray], count: int, num_shape: int, num_expression: int
) -> Mirror | None:
    keys = [field.name for field in dataclasses.fields(Mirror)]
    if not any(f"mirror/{key}" in arrays for key in keys):
        return None
    for key in keys:
        if f"mirror/{key}" not in arrays:
            raise InvalidInputError(f"key 'mirror/{key}' is missing")
    mirror = Mirror(**{key: arrays[f"mirror/{key}"] for key in keys})
    return mirror.checked(count, num_shape, num_expression)
