"""Mesh of a cage, as one set of arrays: subdivided, or with the cage's own vertices.

Two levels of detail share vertices: those of the low one, a smoothed cage, are the first of the
full one. At landmarks the nearest of them stand in for rows that only the full mesh has, and are
put where those lie.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy import sparse

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.errors import InvalidInputError
from facegeo.morphable.basis import IBUG68, Mirror
from facegeo.morphable.cage import COLOURS, MODES, REGION, Arrays, Cage, Detail
from facegeo.morphable.subdivision import Refinement
from facegeo.morphable.validation import frozen

#: Vertices whose modes are computed together; they stay in the processor's cache.
_BLOCK: Final = 1024
#: Three float32 as one item.
_VECTOR: Final = np.dtype("V12")
#: An expression that moves a quad's corners apart by less of its reach turns no half of it.
_STIFF: Final = 0.2

#: Of what is stored, but for regions.
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    MODES: np.dtype(np.float32),
    COLOURS: np.dtype(np.float32),
    "uv": np.dtype(np.float32),
    "triangles": np.dtype(np.int32),
    "uv_triangles": np.dtype(np.int32),
    "landmark_rows": np.dtype(np.int64),
    "mirror": np.dtype(np.int64),
    "triangle_parts": np.dtype(np.uint8),
}


def mesh_of(cage: Cage, detail: Detail) -> Arrays:
    """The mesh, read-only.

    Returns
    -------
    dict of str to array
        ``modes`` (1 + Ns + Ne, V, 3), the mean first, ``triangles``, ``landmark_rows``, and where
        the cage has them ``colours`` (1 + Nt, V, 3), ``uv``, ``uv_triangles``, ``mirror`` (V,),
        ``triangle_parts`` (F,) and ``region/<name>``.

    Raises
    ------
    InvalidInputError
        If the cage is no surface, or a landmark lies outside of it.
    """
    fine = Refinement(cage.faces, cage.levels, len(cage.mean))
    rows = cage.layouts[IBUG68].rows
    if rows.max(initial=0) >= fine.num_vertices:
        raise InvalidInputError(
            f"landmarks/{IBUG68}/rows: expected rows of the mesh, 0 to {fine.num_vertices - 1}, "
            f"got {rows.max()}"
        )
    arrays = _full(cage, fine) if detail == "full" else _low(cage, fine)
    for name, array in arrays.items():
        dtype = _DTYPES.get(name, np.dtype(bool))
        arrays[name] = frozen(np.ascontiguousarray(array, dtype))
    return arrays


def _full(cage: Cage, fine: Refinement) -> Arrays:
    first, second = fine.steps
    matrix = (second @ first).astype(np.float32)
    rows = cage.layouts[IBUG68].rows
    arrays: Arrays = {"triangles": fine.triangles, "landmark_rows": rows}
    if cage.uv is not None and cage.uv_faces is not None:
        uv, arrays["uv_triangles"] = fine.texture(cage.uv_faces, cage.uv)
        # Middles of numbers in [0, 1], but for the last digit.
        arrays["uv"] = np.clip(uv, 0, 1, out=uv)
    if cage.mirror is not None:
        arrays["mirror"] = fine.mirror(cage.mirror.vertices)
    return arrays | _of_cage(cage, matrix, fine.sources, rows)


def _of_cage(
    cage: Cage, matrix: sparse.csr_matrix, sources: np.ndarray, landmark_rows: np.ndarray
) -> Arrays:
    """Fields of the cage's vertices and quads, for vertices and triangles of the mesh."""
    arrays = {MODES: _modes(cage, matrix, landmark_rows)}
    if cage.regions:
        masks = np.stack(list(cage.regions.values()), axis=1).astype(np.float32)
        inside = (matrix @ masks >= 0.5).T
        arrays |= {f"{REGION}{name}": mask for name, mask in zip(cage.regions, inside, strict=True)}
    if cage.texture is not None:
        colours = np.concatenate([cage.texture.mean[None], cage.texture.basis])
        arrays[COLOURS] = _carried(matrix, colours)
    if cage.parts is not None:
        arrays["triangle_parts"] = cage.parts[sources]
    return arrays


def _modes(cage: Cage, matrix: sparse.csr_matrix, landmark_rows: np.ndarray) -> np.ndarray:
    """Mean and modes of the mesh, (1 + Ns + Ne, V, 3) float32."""
    fields = np.concatenate([cage.mean[None], cage.shape_basis, cage.expression_basis])
    modes = _carried(matrix, fields)
    # What the landmarks are, their rows are to the last bit.
    basis = cage.basis_of(IBUG68)
    modes[0, landmark_rows] = basis.mean
    end = 1 + len(basis.shape_basis)
    modes[1:end, landmark_rows] = basis.shape_basis
    modes[end:, landmark_rows] = basis.expression_basis
    return modes


def _carried(matrix: sparse.csr_matrix, fields: np.ndarray) -> np.ndarray:
    """Fields ``(M, C, 3)`` of the cage on the mesh, ``(M, V, 3)`` float32."""
    # Whole vectors change places: twice as fast as the three numbers of each.
    columns = np.ascontiguousarray(_vectors(fields).T).view(np.float32)
    carried = np.empty((len(fields), matrix.shape[0], 3), np.float32)
    places = _vectors(carried)
    for first in range(0, matrix.shape[0], _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = (matrix[rows] @ columns).reshape(-1, len(fields), 3)
        places[:, rows] = _vectors(block).T
    return carried


def _vectors(fields: np.ndarray) -> np.ndarray:
    """The same memory with a vector an item, ``(M, C)`` of ``(M, C, 3)`` float32."""
    return fields.view(_VECTOR)[..., 0]


def _low(cage: Cage, fine: Refinement) -> Arrays:
    first, second = fine.steps
    count = len(cage.mean)
    matrix, rows = _with_landmarks(cage, (second[:count] @ first).astype(np.float32))
    arrays = _of_cage(cage, matrix, np.arange(len(cage.faces)).repeat(2), rows)
    other = _other_diagonal(cage, fine, arrays[MODES])
    arrays |= {"triangles": _halves(cage.faces, other), "landmark_rows": rows}
    if cage.uv is not None and cage.uv_faces is not None:
        arrays |= {"uv": cage.uv, "uv_triangles": _halves(cage.uv_faces, other)}
    if cage.mirror is not None:
        arrays["mirror"] = cage.mirror.vertices
    return arrays


def _halves(quads: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two triangles a quad, one after the other, cut from corner 0 or, where told, from 1."""
    start = other.astype(int)[:, None]
    a, b, c, d = (np.take_along_axis(quads, (start + k) % 4, axis=1)[:, 0] for k in range(4))
    return np.stack([a, b, c, a, c, d], axis=1).reshape(-1, 3)


def _other_diagonal(cage: Cage, fine: Refinement, modes: np.ndarray) -> np.ndarray:
    """Quads that are cut from corner 1 to 3, (Q,) bool, as both sides of the face agree.

    A quad is not flat, and of one that is not convex either, a half is turned over by the wrong
    cut. The right one turns none on the mean face, and few where an expression is at its end.
    """
    high = 1.0 if cage.expression_range is None else cage.expression_range[1]
    mean = modes[0][cage.faces]
    reach = np.linalg.norm(mean - mean.mean(axis=1, keepdims=True), axis=2).max(axis=1)
    # Whatever the mean asks for counts more than all expressions together.
    expressions = modes[1 + len(cage.shape_basis) :]
    costs = (1 + len(expressions)) * _turned(mean)
    for expression in high * expressions:
        moves = expression[cage.faces]
        bent = np.abs(moves - moves[:, :1]).max(axis=(1, 2)) > _STIFF * reach
        costs[:, bent] += _turned(mean[bent] + moves[bent])
    low = np.array([cage.faces[:, [k, k + 2]].min(axis=1) for k in (0, 1)])
    if cage.mirror is not None:
        image, turns = fine.mirrored_quads(cage.mirror.vertices)
        # A cut from an even corner is one from corner 0.
        same = turns[:, 0] % 2
        costs += np.array([costs[(k + same) % 2, image] for k in (0, 1)])
        low = np.minimum(low, [low[(k + same) % 2, image] for k in (0, 1)])
    return np.where(costs[0] == costs[1], low[1] < low[0], costs[1] < costs[0])


def _turned(corners: np.ndarray) -> np.ndarray:
    """Lean of the halves of quads from the quad, for either cut; 0 up to 60 degrees, (2, Q).

    Parameters
    ----------
    corners : (Q, 4, 3) float
    """
    sides = np.roll(corners, -1, axis=1) - corners
    # Normals at the corners, each that of the half which the corner is the tip of.
    normals = np.cross(np.roll(sides, 1, axis=1), sides)
    whole = normals.sum(axis=1, keepdims=True)
    lengths = np.linalg.norm(normals, axis=2) * np.linalg.norm(whole, axis=2)
    cosines = (normals * whole).sum(axis=2) / np.maximum(lengths, np.finfo(np.float32).tiny)
    excess = np.maximum(0.5 - cosines, 0)
    # The cut from corner 0 to 2 makes halves with the tips 1 and 3.
    return np.stack([np.maximum(excess[:, k], excess[:, k + 2]) for k in (1, 0)])


def _with_landmarks(cage: Cage, low: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The smoothed cage with a vertex of its own at every landmark, and their rows."""
    layout = cage.layouts[IBUG68]
    # Near to each other in all expressions: lips that are closed at rest are two.
    fields = np.concatenate([cage.mean[None], cage.expression_basis])
    points, wanted = (
        np.concatenate(list(part), axis=1).astype(np.float64)
        for part in ((low @ field for field in fields), layout.of(fields))
    )
    away = (wanted**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2 * wanted @ points.T
    rows = _nearest_in_pairs(away, wanted[:, 0] < 0, points[:, 0] < 0, cage.mirror)
    kept = np.ones(len(points), np.float32)
    kept[rows] = 0
    entries = np.diff(layout.starts, append=len(layout.vertices))
    place = (layout.weights, (rows.repeat(entries), layout.vertices))
    moved = sparse.diags(kept) @ low + sparse.csr_matrix(place, low.shape)
    return moved.tocsr().astype(np.float32), rows


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
    """For every row of a matrix a column of its own, the nearest pairs first."""
    columns = np.full(len(cost), -1)
    free = np.ones(cost.shape[1], bool)
    for row, column in zip(*np.unravel_index(np.argsort(cost, axis=None), cost.shape), strict=True):
        if columns[row] < 0 and free[column]:
            columns[row], free[column] = column, False
    return columns
