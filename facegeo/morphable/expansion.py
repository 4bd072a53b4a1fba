"""The mesh of a cage: subdivided once, then mapped from the cache folder.

Two levels of detail share vertices: those of the low one, a smoothed cage, are the first of the
full one. At landmarks the nearest of them stand in for rows that only the full mesh has, and are
put where those lie.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from threading import Thread
from typing import Any, Final, Literal

import cv2
import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from facegeo.base.cache import cache_dir
from facegeo.base.mapped import read_mapped, write_mapped
from facegeo.conventions import LANDMARK_MIRROR
from facegeo.errors import CorruptFileError, InvalidInputError, OutputError
from facegeo.morphable.basis import IBUG68, Mirror
from facegeo.morphable.cage import Cage
from facegeo.morphable.subdivision import mirror_of_vertices, subdivide, subdivide_texture
from facegeo.morphable.validation import frozen

#: ``full``: every quad as often as the file says. ``low``: the cage's own vertices.
Detail = Literal["full", "low"]

_log = logging.getLogger(__name__)

#: Of the rule by which a cage becomes a mesh; another one asks for other cache files.
_RULE: Final = 1
#: Vertices whose modes are computed together; they stay in the processor's cache.
_BLOCK: Final = 1024
#: Mean, shape basis and expression basis, one behind the other.
_MODES: Final = "modes"
_REGION: Final = "region/"

Arrays = dict[str, np.ndarray]


#: Of what is stored, but for regions.
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    _MODES: np.dtype(np.float32),
    "uv": np.dtype(np.float32),
    "triangles": np.dtype(np.int32),
    "uv_triangles": np.dtype(np.int32),
    "landmark_rows": np.dtype(np.int64),
    "mirror": np.dtype(np.int64),
    "triangle_parts": np.dtype(np.uint8),
}


def expanded(cage: Cage, detail: Detail, key: str) -> Arrays:
    """The mesh of a cage, from the cache folder where it is there.

    Parameters
    ----------
    key : str
        What tells this cage from others: the checksum of its file.

    Returns
    -------
    dict of str to array
        Read-only: ``modes`` (1 + Ns + Ne, V, 3), the mean first, ``triangles``, ``landmark_rows``,
        and where the cage has them ``uv``, ``uv_triangles``, ``mirror`` (V,), ``triangle_parts``
        (F,) and ``region/<name>``.
    """
    path = cache_dir() / "meshes" / f"{cage.name}-{detail}-{key[:16]}-{_RULE}"
    try:
        return read_mapped(path)
    except FileNotFoundError:
        pass
    except (OSError, CorruptFileError) as error:
        _log.warning("%s: made again (%s)", path, error)
    arrays = _mesh(cage, detail)
    # Behind the caller's back: writing takes as long as making it.
    Thread(target=_store, args=(path, dict(arrays)), name="facegeo-mesh-cache").start()
    return arrays


def _store(path: Path, arrays: Arrays) -> None:
    try:
        write_mapped(path, arrays)
    except OutputError as error:
        # A home that cannot be written is no reason to have no mesh: every process makes its own.
        _log.info("%s: kept in memory only (%s)", path, error)


def mesh_fields(cage: Cage, detail: Detail, key: str) -> dict[str, Any]:
    """The fields of a :class:`facegeo.morphable.model.MorphableModel` that are of the mesh.

    Raises
    ------
    CorruptFileError
        If the cage is no surface, or a landmark lies outside of it.
    """
    try:
        arrays = expanded(cage, detail, key)
    except InvalidInputError as error:
        raise CorruptFileError(f"{cage.name}: {error}") from error
    owners = arrays.pop("triangle_parts", None)
    modes, end = arrays.pop(_MODES), 1 + len(cage.shape_basis)
    arrays |= {"mean": modes[0], "shape_basis": modes[1:end], "expression_basis": modes[end:]}
    regions = [name for name in arrays if name.startswith(_REGION)]
    fields: dict[str, Any] = {"uv": None, "uv_triangles": None, **arrays}
    fields["regions"] = {name.removeprefix(_REGION): fields.pop(name) for name in regions}
    fields["parts"] = {}
    if owners is not None:
        fields["parts"] = {name: frozen(owners == k) for k, name in enumerate(cage.part_names)}
    rows = fields.pop("mirror", None)
    fields["mirror"] = cage.mirror and dataclasses.replace(cage.mirror, vertices=rows)
    return fields


def _mesh(cage: Cage, detail: Detail) -> Arrays:
    matrix, arrays = _surface(cage, detail)
    arrays |= _texture(cage, detail) | _mirror(cage, detail)
    arrays[_MODES] = _modes(cage, matrix, arrays["landmark_rows"])
    for name, array in arrays.items():
        dtype = _DTYPES.get(name, np.dtype(bool))
        arrays[name] = frozen(np.ascontiguousarray(array, dtype))
    return arrays


def _surface(cage: Cage, detail: Detail) -> tuple[sparse.csr_matrix, Arrays]:
    count = len(cage.mean)
    mesh = subdivide(cage.faces, cage.levels, count)
    rows = cage.layouts[IBUG68].rows
    if rows.max(initial=0) >= mesh.matrix.shape[0]:
        raise InvalidInputError(
            f"landmarks/{IBUG68}/rows: expected rows of the mesh, 0 to {mesh.matrix.shape[0] - 1}, "
            f"got {rows.max()}"
        )
    matrix, triangles, sources = mesh.matrix.astype(np.float32), mesh.triangles, mesh.sources
    if detail == "low":
        matrix, rows = _with_landmarks(cage, matrix[:count])
        triangles, sources = _halves(cage.faces), np.arange(len(cage.faces)).repeat(2)
    fixed: Arrays = {"triangles": triangles, "landmark_rows": rows}
    for name, mask in cage.regions.items():
        fixed[f"{_REGION}{name}"] = matrix @ mask.astype(np.float32) >= 0.5
    if cage.parts is not None:
        fixed["triangle_parts"] = cage.parts[sources]
    return matrix, fixed


def _mirror(cage: Cage, detail: Detail) -> Arrays:
    if cage.mirror is None:
        return {}
    rows = cage.mirror.vertices
    if detail == "full":
        rows = mirror_of_vertices(cage.faces, cage.levels, rows)
    return {"mirror": rows}


def _texture(cage: Cage, detail: Detail) -> Arrays:
    if cage.uv is None or cage.uv_faces is None:
        return {}
    if detail == "low":
        return {"uv": cage.uv, "uv_triangles": _halves(cage.uv_faces)}
    sizes = len(cage.mean), len(cage.uv)
    matrix, corners = subdivide_texture(cage.uv_faces, cage.faces, cage.levels, sizes)
    # Middles of numbers in [0, 1], but for the last digit.
    return {"uv": np.clip(matrix @ cage.uv, 0, 1), "uv_triangles": corners}


def _halves(quads: np.ndarray) -> np.ndarray:
    """Two triangles a quad, one after the other."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)


def _with_landmarks(cage: Cage, low: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The smoothed cage with a vertex of its own at every landmark, and their rows."""
    points, stencils = low @ cage.mean, cage.layouts[IBUG68].stencils
    wanted = stencils @ cage.mean
    away = np.linalg.norm(wanted[:, None] - points, axis=2) ** 2
    rows = _nearest_in_pairs(away, wanted[:, 0] < 0, points[:, 0] < 0, cage.mirror)
    kept = np.ones(len(points), np.float32)
    kept[rows] = 0
    place = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), (len(points), len(rows))
    )
    return (sparse.diags(kept) @ low + place @ stencils).tocsr().astype(np.float32), rows


def _nearest_in_pairs(
    away: np.ndarray, is_right: np.ndarray, row_is_right: np.ndarray, mirror: Mirror | None
) -> np.ndarray:
    """A row for each landmark, near to it and to no other; mirrored landmarks in mirrored rows.

    Parameters
    ----------
    away : (68, V) float
        Squared distances.
    is_right, row_is_right : (68,), (V,) bool
        Of landmarks and rows, whether they lie on the person's right, x < 0.
    """
    number = np.arange(len(away))
    middle = number[number == LANDMARK_MIRROR]
    right = number[is_right & (number != LANDMARK_MIRROR)]
    left = LANDMARK_MIRROR[right]
    in_pairs = 2 * len(right) + len(middle) == len(away) and not is_right[left].any()
    if mirror is None or not in_pairs:
        return _assigned(away)
    on_itself = mirror.vertices == np.arange(len(row_is_right))
    central, side = np.flatnonzero(on_itself), np.flatnonzero(row_is_right & ~on_itself)
    if len(central) < len(middle) or len(side) < len(right):
        return _assigned(away)
    rows = np.empty(len(away), np.int64)
    rows[middle] = central[_assigned(away[np.ix_(middle, central)])]
    both = away[np.ix_(right, side)] + away[np.ix_(left, mirror.vertices[side])]
    rows[right] = side[_assigned(both)]
    rows[left] = mirror.vertices[rows[right]]
    return rows


def _assigned(cost: np.ndarray) -> np.ndarray:
    """For every row of a matrix a column of its own, such that they add up to the least."""
    near = np.unique(np.argpartition(cost, len(cost) - 1, axis=1)[:, : len(cost)])
    return np.asarray(near[linear_sum_assignment(cost[:, near])[1]])


def _modes(cage: Cage, matrix: sparse.csr_matrix, landmark_rows: np.ndarray) -> np.ndarray:
    """Mean and modes of the mesh, (1 + Ns + Ne, V, 3) float32."""
    fields = np.concatenate([cage.mean[None], cage.shape_basis, cage.expression_basis])
    columns = fields.transpose(1, 0, 2).reshape(len(cage.mean), -1)
    modes = np.empty((len(fields), matrix.shape[0], 3), np.float32)
    for first in range(0, matrix.shape[0], _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = (matrix[rows] @ columns).reshape(-1, len(fields), 3)
        modes[:, rows] = cv2.transpose(block)  # three times as fast as NumPy's
    # What the landmarks are, their rows are to the last bit.
    basis = cage.basis_of(IBUG68)
    at_points = np.concatenate([basis.mean[None], basis.shape_basis, basis.expression_basis])
    modes[:, landmark_rows] = at_points
    return modes
