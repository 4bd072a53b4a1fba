"""Catmull-Clark subdivision of a cage of quads as one sparse matrix, one or two steps a quad.

Every fine vertex is a fixed combination of cage vertices, so a model that is linear on its cage is
linear on the fine mesh: mean and modes go through the same matrix (Catmull and Clark 1978, with
the usual rules along borders).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

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


class Refinement:
    """Connections of a cage's fine mesh; what is made of them shares them.

    Beside a quad that is split twice, one that is split once takes over the points on the common
    edges and becomes a fan, so that no vertex lies on an edge of another triangle.

    Parameters
    ----------
    faces : (Q, 4) int
        Rows of the cage's vertices. An edge belongs to one quad (a border) or to two.
    levels : (Q,) int, each 1 or 2
    num_vertices : int
        Vertices of the cage, each in at least one quad.

    Attributes
    ----------
    num_vertices : int
        Of the fine mesh.
    triangles, sources
        As in :class:`Subdivision`.

    Raises
    ------
    InvalidInputError
        If a shape, an index or a level does not fit, or the quads are no surface.
    """

    def __init__(self, faces: np.ndarray, levels: np.ndarray, num_vertices: int) -> None:
        faces = index_array("faces", faces, ("Q", 4), num_vertices)
        levels = array_of("levels", levels, (len(faces),), np.int64)
        if not np.isin(levels, (1, 2)).all():
            raise InvalidInputError("levels: expected 1 or 2 for each quad")
        self._first = _Level.of(faces, num_vertices)
        _check_surface(self._first)
        self._second = _Level.of(self._first.finer_quads(), self._first.finer_count)
        split = np.zeros(len(self._second.edges), bool)
        split[self._second.quad_edges[np.repeat(levels == 2, 4)]] = True
        #: Edges of the quads that are split once, whether they are halved again, (4 Q, 4).
        self._halved = split[self._second.quad_edges]
        self._new = _NewVertices.of(self._second, self._halved)
        self.num_vertices = self._new.count
        self.triangles, self.sources = _triangles(self._second, self._halved, self._new)

    @cached_property
    def steps(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Both steps, (V1, C) and (V, V1) sparse float64; fine vertices are ``second @ first``."""
        everything = _NewVertices.of(self._first, np.ones((len(self._first.quads), 4), bool))
        return _smooth_matrix(self._first, everything), _smooth_matrix(self._second, self._new)

    def texture(self, uv_faces: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points and triangles on a texture layout, which is cut along seams.

        Texture points are not smoothed: seams stay where they are, and both sides of one fit.

        Parameters
        ----------
        uv_faces : (Q, 4) int
            Rows of the texture points of each quad's corners.
        uv : (U, D) float

        Returns
        -------
        uv : (T, D) float
        triangles : (F, 3) int32
            In the order of :attr:`triangles`.
        """
        uv_faces = index_array("uv_faces", uv_faces, self._first.quads.shape, len(uv))
        first = _Level.of(uv_faces, len(uv))
        second = _Level.of(first.finer_quads(), first.finer_count)
        new = _NewVertices.of(second, self._halved)
        triangles, _ = _triangles(second, self._halved, new)
        return _with_middles(second, _with_middles(first, uv))[new.numbers], triangles

    def mirrored_quads(self, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image of each quad of the cage, (Q,), and the corner that each becomes, (Q, 4)."""
        return self._first.mirrored_quads(np.asarray(mirror, np.int64))

    def mirror(self, mirror: np.ndarray) -> np.ndarray:
        """The mirror permutation of the fine vertices, (V,) int64, from the cage's, (C,) int."""
        quads, turns = self.mirrored_quads(mirror)
        once = self._first.mirrored(np.asarray(mirror, np.int64), quads)
        # The quarter at corner i of a quad goes to the quarter at that corner's image.
        quarters = (4 * quads[:, None] + turns).ravel()
        twice = self._second.mirrored(once, quarters)
        return self._new.place[twice[self._new.numbers]]


def subdivide(faces: np.ndarray, levels: np.ndarray, num_vertices: int) -> Subdivision:
    """Subdivide a cage, each quad once or twice; arguments and errors as :class:`Refinement`."""
    fine = Refinement(faces, levels, num_vertices)
    first, second = fine.steps
    return Subdivision((second @ first).tocsr(), fine.triangles, fine.sources)


def mirror_of_vertices(faces: np.ndarray, levels: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mirror permutation of the fine vertices, (V,) int64, from the cage's, (C,) int."""
    return Refinement(faces, levels, len(mirror)).mirror(mirror)


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

    @property
    def finer_count(self) -> int:
        """Vertices of the mesh of :meth:`finer_quads`: old ones, then edges', then quads'."""
        return self.count + len(self.edges) + len(self.quads)

    def finer_quads(self) -> np.ndarray:
        """The four quads in each, (4 Q, 4); the one at corner i begins there."""
        edge = self.count + self.quad_edges
        middle = self.count + len(self.edges) + np.arange(len(self.quads))
        corners = [
            np.stack([self.quads[:, i], edge[:, i], middle, edge[:, i - 1]], axis=1)
            for i in range(4)
        ]
        return np.stack(corners, axis=1).reshape(-1, 4)

    def border(self) -> np.ndarray:
        """Edges of one quad, (E,) bool."""
        return np.bincount(self.quad_edges.ravel(), minlength=len(self.edges)) == 1

    def mirrored_quads(self, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image of each quad, (Q,), and which corner of it corner i becomes, (Q, 4)."""
        quads, images = np.sort(self.quads, axis=1), np.sort(mirror[self.quads], axis=1)
        image = np.empty(len(quads), np.int64)
        image[np.lexsort(images.T)] = np.lexsort(quads.T)
        same = self.quads[image][:, None, :] == mirror[self.quads][:, :, None]
        return image, same.argmax(axis=2)

    def mirrored(self, mirror: np.ndarray, quads: np.ndarray) -> np.ndarray:
        """The mirror permutation of the finer vertices, from those of vertices and quads."""
        edges = np.sort(mirror[self.edges], axis=1)
        keys = self.edges[:, 0] * self.count + self.edges[:, 1]
        edge = np.searchsorted(keys, edges[:, 0] * self.count + edges[:, 1])
        return np.concatenate([mirror, self.count + edge, self.count + len(edges) + quads])


@dataclass(frozen=True, eq=False)
class _NewVertices:
    """Vertices of the fine mesh among those of a level that is split everywhere.

    Attributes
    ----------
    edges : (E,) bool
        Edges of the level that are halved.
    quads : (Q,) bool
        Quads that have a vertex in their middle.
    numbers : (V,) int64
        The fine vertices, as numbers of the mesh that is split everywhere.
    place : (all,) int64
        Their rows in the fine mesh, -1 for others.
    """

    edges: np.ndarray
    quads: np.ndarray
    numbers: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, level: _Level, halved: np.ndarray) -> _NewVertices:
        edges = np.zeros(len(level.edges), bool)
        edges[level.quad_edges[halved]] = True
        # Not any(axis=1), which is slow along an axis of four.
        quads = functools.reduce(np.logical_or, halved.T)
        kept = np.concatenate([np.ones(level.count, bool), edges, quads])
        numbers = np.flatnonzero(kept)
        place = np.where(kept, np.cumsum(kept) - 1, -1)
        return cls(edges, quads, numbers, place)

    @property
    def count(self) -> int:
        return len(self.numbers)


def _check_surface(level: _Level) -> None:
    uses = np.bincount(level.quad_edges.ravel(), minlength=len(level.edges))
    rim = np.bincount(level.edges[uses == 1].ravel(), minlength=level.count)
    if uses.max(initial=0) > 2 or not np.isin(rim, (0, 2)).all():
        raise InvalidInputError(
            "faces: expected a surface, with one or two quads at an edge and no vertex where "
            "borders cross"
        )


def _triangles(
    level: _Level, halved: np.ndarray, new: _NewVertices
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of a mesh of quads, some of whose edges are halved, and the owner of each.

    The owner is the quad of the mesh one step coarser.
    """
    middle = level.count + len(level.edges) + np.arange(len(level.quads))
    a, b = level.quads, np.roll(level.quads, -1, axis=1)
    # A fan about the middle: two triangles at an edge that is halved, one at another.
    end, centre = np.where(halved, level.count + level.quad_edges, b), middle[:, None]
    centre = np.broadcast_to(centre, a.shape)
    found = np.empty((len(level.quads), 4, 2, 3), np.int32)
    for place, corners in enumerate(((a, end, centre), (end, b, centre))):
        for corner, numbers in enumerate(corners):
            found[:, :, place, corner] = new.place[numbers]
    kept = np.stack([np.broadcast_to(new.quads[:, None], a.shape), halved], axis=2)
    # Others are two triangles, in the places of the fan's first.
    plain = ~new.quads
    found[plain, 0, :] = level.quads[plain][:, [[0, 1, 2], [0, 2, 3]]]
    kept[plain, 0] = True
    owners = np.broadcast_to((np.arange(len(level.quads), dtype=np.int32) // 4)[:, None], a.shape)
    return found[kept], np.repeat(owners.ravel(), (kept[..., 0].astype(int) + kept[..., 1]).ravel())


def _with_middles(level: _Level, points: np.ndarray) -> np.ndarray:
    """One step that only halves: old points, then those of edges and quads."""
    a, b = (points[end] for end in level.edges.T)
    corners = [points[corner] for corner in level.quads.T]
    return np.concatenate([points, 0.5 * (a + b), 0.25 * sum(corners[1:], corners[0])])


_Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


def _smooth_matrix(level: _Level, new: _NewVertices) -> sparse.csr_matrix:
    """One step of Catmull and Clark; rows are the fine vertices."""
    entries = [*_at_vertices(level), *_at_edges(level, new), *_at_quads(level, new)]
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    places = new.place[rows].astype(np.int32), columns.astype(np.int32)
    return sparse.csr_matrix((weights, places), (new.count, level.count))


def _entries(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray | float) -> _Entries:
    """Entries of a matrix; rows are numbers of the mesh that is split everywhere."""
    shape = np.broadcast_shapes(rows.shape, columns.shape)
    given = (rows, columns, np.asarray(weights, float))
    rows, columns, weights = (np.broadcast_to(part, shape).ravel() for part in given)
    return rows, columns, weights


def _at_vertices(level: _Level) -> Iterator[_Entries]:
    """Old vertices: (Q + 2 R + (n - 3) P) / n, and on a border 3/4 and 1/8 of its neighbours."""
    border = level.border()
    rim, inner = level.edges[border], level.edges[~border]
    yield _entries(rim, rim[:, ::-1], 0.125)
    valence = np.bincount(level.edges.ravel(), minlength=level.count).astype(float)
    on_border = np.zeros(level.count, bool)
    on_border[rim] = True
    # With Q and R written out: what the vertices beside and across get, and its own.
    beside = np.where(on_border, 0, 1.5 / valence**2)
    across = np.where(on_border, 0, 0.25 / valence**2)
    own = np.where(on_border, 0.75, 1 - 1.75 / valence)
    number = np.arange(level.count)
    yield _entries(number, number, own)
    yield _entries(inner, inner[:, ::-1], beside[inner])
    yield _entries(level.quads, np.roll(level.quads, 2, axis=1), across[level.quads])


def _at_edges(level: _Level, new: _NewVertices) -> Iterator[_Entries]:
    """The middle of both ends and the middles of both quads; of a border the ends alone."""
    border = level.border()
    row = level.count + np.arange(len(level.edges))
    ends = np.where(border, 0.5, 0.375)
    yield _entries(row[new.edges, None], level.edges[new.edges], ends[new.edges, None])
    sides = (new.edges & ~border)[level.quad_edges]
    rows = row[level.quad_edges[sides]]
    for opposite in (2, 3):
        columns = np.roll(level.quads, -opposite, axis=1)[sides]
        yield _entries(rows, columns, 0.0625)


def _at_quads(level: _Level, new: _NewVertices) -> Iterator[_Entries]:
    """Middles of quads."""
    row = level.count + len(level.edges) + np.arange(len(level.quads))
    yield _entries(row[new.quads, None], level.quads[new.quads], 0.25)
