"""Catmull-Clark subdivision of a cage of quads as one sparse matrix, one or two steps a quad.

Every fine vertex is a fixed combination of cage vertices, so a model that is linear on its cage is
linear on the fine mesh: mean and modes go through the same matrix (Catmull and Clark 1978, with
the usual rules along borders).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.morphable.validation import index_array


@dataclass(frozen=True, eq=False)
class Subdivision:
    """A fine mesh in terms of its cage.

    Attributes
    ----------
    matrix : (V, C) sparse float64
        Fine vertices as weights over cage vertices; every row adds up to 1. The first C rows are
        the cage's own vertices, smoothed, in their order.
    triangles : (F, 3) int32
        Rows of the fine vertices, turning like the quads; those of one quad lie together.
    sources : (F,) int32
        The quad of the cage that each triangle lies in.
    """

    matrix: sparse.csr_matrix
    triangles: np.ndarray
    sources: np.ndarray


@dataclass(frozen=True, eq=False)
class _Level:
    """A mesh of quads with its edges; edge i of a quad joins its corners i and i + 1."""

    quads: np.ndarray  # (Q, 4)
    edges: np.ndarray  # (E, 2), each ascending
    quad_edges: np.ndarray  # (Q, 4)
    count: int

    @classmethod
    def of(cls, quads: np.ndarray, count: int) -> _Level:
        a, b = quads, np.roll(quads, -1, axis=1)
        keys = (np.minimum(a, b) * count + np.maximum(a, b)).ravel()
        unique, inverse = np.unique(keys, return_inverse=True)
        edges = np.stack([unique // count, unique % count], axis=1)
        return cls(quads, edges, inverse.reshape(-1, 4), count)

    def finer_quads(self) -> np.ndarray:
        """The four quads in each; new vertices are numbered: old ones, edges, quads."""
        edge = self.count + self.quad_edges
        middle = self.count + len(self.edges) + np.arange(len(self.quads))
        corners = [
            np.stack([self.quads[:, i], edge[:, i], middle, edge[:, i - 1]], axis=1)
            for i in range(4)
        ]
        return np.stack(corners, axis=1).reshape(-1, 4)

    def mirrored(self, mirror: np.ndarray) -> np.ndarray:
        """The mirror permutation of the new vertices, from the one of the old."""
        edges = np.sort(mirror[self.edges], axis=1)
        keys = self.edges[:, 0] * self.count + self.edges[:, 1]
        edge = np.searchsorted(keys, edges[:, 0] * self.count + edges[:, 1])
        quads = np.sort(self.quads, axis=1)
        reflected = np.sort(mirror[self.quads], axis=1)
        quad = np.empty(len(quads), np.int64)
        quad[np.lexsort(reflected.T)] = np.lexsort(quads.T)
        return np.concatenate([mirror, self.count + edge, self.count + len(edges) + quad])


def subdivide(faces: np.ndarray, levels: np.ndarray, num_vertices: int) -> Subdivision:
    """Subdivide a cage, each quad once or twice.

    Beside a quad that is split twice, one that is split once takes over the points on the common
    edges and becomes a fan, so that no vertex lies on an edge of another triangle.

    Parameters
    ----------
    faces : (Q, 4) int
        Rows of the cage's vertices. An edge belongs to one quad (a border) or to two.
    levels : (Q,) int, each 1 or 2
    num_vertices : int
        Vertices of the cage, each in at least one quad.

    Raises
    ------
    InvalidInputError
        If a shape, an index or a level does not fit.
    """
    faces, levels = _checked(faces, levels, num_vertices)
    first = _Level.of(faces, num_vertices)
    second = _Level.of(first.finer_quads(), num_vertices + len(first.edges) + len(faces))
    triangles, sources, used = _triangles(second, levels)
    matrix = _smooth_matrix(second, used) @ _smooth_matrix(first, None)
    return Subdivision(matrix.tocsr(), triangles, sources)


def subdivide_texture(
    uv_faces: np.ndarray, faces: np.ndarray, levels: np.ndarray, sizes: tuple[int, int]
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The subdivision of :func:`subdivide` on a texture layout, which is cut along seams.

    Texture points are not smoothed: seams stay where they are, and both sides of one fit.

    Parameters
    ----------
    uv_faces : (Q, 4) int
        Rows of the texture points of each quad's corners.
    faces, levels : (Q, 4), (Q,) int
        As given to :func:`subdivide`.
    sizes : (int, int)
        Number of vertices and number of texture points.

    Returns
    -------
    matrix : (T, U) sparse float64
    triangles : (F, 3) int32
        In the order of the triangles of :func:`subdivide`.
    """
    faces, levels = _checked(faces, levels, sizes[0])
    uv_faces = index_array("uv_faces", uv_faces, faces.shape, sizes[1])
    first = _Level.of(faces, sizes[0])
    second = _Level.of(first.finer_quads(), sizes[0] + len(first.edges) + len(faces))
    flat = _Level.of(uv_faces, sizes[1])
    flat2 = _Level.of(flat.finer_quads(), sizes[1] + len(flat.edges) + len(faces))
    triangles, _, used = _triangles(flat2, levels, split=_split(second, levels)[second.quad_edges])
    matrix = _middle_matrix(flat2, used) @ _middle_matrix(flat, None)
    return matrix.tocsr(), triangles


def mirror_of_vertices(faces: np.ndarray, levels: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mirror permutation of the fine vertices, (V,) int64, from the cage's, (C,) int."""
    faces, levels = _checked(faces, levels, len(mirror))
    first = _Level.of(faces, len(mirror))
    once = first.mirrored(np.asarray(mirror, np.int64))
    second = _Level.of(first.finer_quads(), len(once))
    twice = second.mirrored(once)
    _, _, used = _triangles(second, levels)
    place = np.full(len(twice), -1, np.int64)
    place[used] = np.arange(len(used))
    return place[twice[used]]


def _checked(
    faces: np.ndarray, levels: np.ndarray, num_vertices: int
) -> tuple[np.ndarray, np.ndarray]:
    faces = index_array("faces", faces, ("Q", 4), num_vertices)
    levels = array_of("levels", levels, (len(faces),), np.int64)
    if not np.isin(levels, (1, 2)).all():
        raise InvalidInputError("levels: expected 1 or 2 for each quad")
    return faces, levels


def _split(level: _Level, levels: np.ndarray) -> np.ndarray:
    """Edges of the once-split mesh that a twice-split quad halves, (E,) bool."""
    split = np.zeros(len(level.edges), bool)
    split[level.quad_edges[np.repeat(levels == 2, 4)]] = True
    return split


def _triangles(
    level: _Level, levels: np.ndarray, split: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles of the once-split mesh ``level``, whose marked quads are split again.

    Returns triangles on the vertices that occur, the cage quad of each, and those vertices as
    numbers of the mesh that is split twice everywhere.
    """
    quads, edges = level.quads, level.count + level.quad_edges
    middle = level.count + len(level.edges) + np.arange(len(quads))
    if split is None:
        split = _split(level, levels)[level.quad_edges]
    number = np.arange(len(quads))
    fan = split.any(axis=1)
    plain = quads[~fan]
    two = np.stack([plain[:, [0, 1, 2]], plain[:, [0, 2, 3]]], axis=1)
    # A fan about the middle: two triangles at an edge that is halved, one at another.
    a, b, c = quads[fan], np.roll(quads[fan], -1, axis=1), middle[fan, None]
    c = np.broadcast_to(c, a.shape)
    halved = split[fan]
    end = np.where(halved, edges[fan], b)
    fans = np.stack([np.stack([a, end, c], -1), np.stack([end, b, c], -1)], axis=2)
    kept = np.stack([np.ones_like(halved), halved], axis=2)
    triangles = np.concatenate([two.reshape(-1, 3), fans[kept]])
    owner = np.concatenate(
        [np.repeat(number[~fan], 2), np.repeat(number[fan], kept.sum(axis=(1, 2)))]
    )
    order = np.argsort(owner, kind="stable")
    used, local = np.unique(triangles[order], return_inverse=True)
    local = local.reshape(-1, 3).astype(np.int32)
    return local, (owner[order] // 4).astype(np.int32), used


def _incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(rows.size), (rows.ravel(), columns.ravel())), shape)


def _middle_matrix(level: _Level, used: np.ndarray | None) -> sparse.csr_matrix:
    """One step that only halves: old vertices stay, edges and quads give their middles."""
    edge_number = np.arange(len(level.edges)).repeat(2)
    quad_number = np.arange(len(level.quads)).repeat(4)
    ends = _incidence(edge_number, level.edges, (len(level.edges), level.count))
    corners = _incidence(quad_number, level.quads, (len(level.quads), level.count))
    old = sparse.identity(level.count, format="csr")
    matrix = sparse.vstack([old, 0.5 * ends, 0.25 * corners]).tocsr()
    return matrix if used is None else matrix[used]


def _smooth_matrix(level: _Level, used: np.ndarray | None) -> sparse.csr_matrix:
    """One step of Catmull and Clark; only the rows ``used`` where given."""
    count, num_edges, num_quads = level.count, len(level.edges), len(level.quads)
    halves = _middle_matrix(level, None)
    middles = halves[count : count + num_edges]
    centres = halves[count + num_edges :]
    quad_number = np.arange(num_quads).repeat(4)
    sides = _incidence(level.quad_edges, quad_number, (num_edges, num_quads))
    uses = np.bincount(level.quad_edges.ravel(), minlength=num_edges)
    border = uses == 1
    inner = sparse.diags((~border).astype(float))
    edge_points = inner @ (0.5 * middles + 0.25 * (sides @ centres))
    edge_points = edge_points + sparse.diags(border.astype(float)) @ middles

    edge_number = np.arange(num_edges).repeat(2)
    around = _incidence(level.edges, edge_number, (count, num_edges))
    within = _incidence(level.quads, quad_number, (count, num_quads))
    valence = np.bincount(level.edges.ravel(), minlength=count).astype(float)
    on_border = np.zeros(count, bool)
    on_border[level.edges[border]] = True
    quads_at = np.bincount(level.quads.ravel(), minlength=count)
    free = np.where(on_border, 0.0, 1 / valence)
    smoothed = sparse.diags(free / quads_at) @ (within @ centres)
    smoothed = smoothed + sparse.diags(2 * free / valence) @ (around @ middles)
    smoothed = smoothed + sparse.diags(np.where(on_border, 0.75, (valence - 3) / valence))
    rim = level.edges[border]
    along = _incidence(rim, rim[:, ::-1], (count, count))
    vertex_points = smoothed + 0.125 * along
    matrix = sparse.vstack([vertex_points, edge_points, centres]).tocsr()
    return matrix if used is None else matrix[used]
