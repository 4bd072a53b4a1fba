"""A coarser mesh on some vertices of a dense one, for wireframes that one can see through."""

from __future__ import annotations

from typing import Any

import numpy as np

from facegeo.errors import InvalidInputError
from facegeo.render.zbuffer import check_mesh

#: Vertices that are looked at for each that is chosen.
_CANDIDATES = 12


def coarse_mesh(vertices: Any, triangles: Any, count: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Choose evenly spread vertices and the triangles between them.

    Every vertex belongs to the nearest chosen one along the surface; where three such regions meet
    is a triangle (the dual of a geodesic Voronoi diagram). Found once on the mean face, the result
    serves all faces of a model: ``draw_wireframe(photo, vertices[rows], coarse)``.

    Parameters
    ----------
    vertices : (V, 3) float32
    triangles : (F, 3) integers
    count : int
        Vertices to choose, at least 3; all are taken if there are no more.

    Returns
    -------
    rows : (count,) int64
        Indices of the chosen vertices.
    coarse : (F', 3) int32
        Triangles between them, as indices into ``rows``, with the orientation of the dense ones.

    Raises
    ------
    InvalidInputError
        If an argument is not as stated.
    """
    meshes, triangles = check_mesh(vertices, triangles)
    if len(meshes) != 1:
        raise InvalidInputError(f"vertices: expected one mesh, got {len(meshes)}")
    if count < 3:
        raise InvalidInputError(f"count: expected 3 or more, got {count}")
    used = np.unique(triangles)
    if len(used) <= count:
        return used.astype(np.int64), np.searchsorted(used, triangles).astype(np.int32)
    candidates = used[:: max(1, len(used) // (_CANDIDATES * count))]
    rows = candidates[_spread(meshes[0][candidates], count)].astype(np.int64)
    region = _nearest_along_surface(meshes[0], triangles, rows)
    corners = region[triangles]
    a, b, c = corners.T
    meeting = corners[(a != b) & (b != c) & (c != a) & (corners >= 0).all(axis=1)]
    # The same three regions may meet in several triangles; the smallest corner first tells.
    turned = (meeting.argmin(axis=1)[:, None] + np.arange(3)) % 3
    coarse = np.unique(np.take_along_axis(meeting, turned, axis=1), axis=0)
    return rows, coarse.astype(np.int32)


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of points, each the farthest from those before it."""
    chosen = np.empty(count, np.int64)
    distance = np.square(points - points.mean(axis=0)).sum(axis=1)
    for index in range(count):
        chosen[index] = distance.argmax()
        offset = points - points[chosen[index]]
        gap = np.einsum("ij,ij->i", offset, offset)  # several times faster than a sum of rows
        distance = gap if index == 0 else np.minimum(distance, gap)
    return chosen


def _nearest_along_surface(
    vertices: np.ndarray, triangles: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Position in ``rows`` of the nearest of them along edges, -1 where none can be reached."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    start = triangles.ravel()
    end = np.roll(triangles, -1, axis=1).ravel()
    # Edges of length zero would be no edges to a sparse matrix.
    length = np.maximum(np.linalg.norm(vertices[start] - vertices[end], axis=1), 1e-6)
    size = len(vertices)
    # Each once, though two triangles share it.
    key = np.minimum(start, end).astype(np.int64) * size + np.maximum(start, end)
    edges = np.unique(key, return_index=True)[1]
    graph = coo_matrix((length[edges], (start[edges], end[edges])), shape=(size, size)).tocsr()
    _, _, source = dijkstra(
        graph, directed=False, indices=rows, min_only=True, return_predecessors=True
    )
    position = np.full(size + 1, -1)
    position[rows] = np.arange(len(rows))
    reached: np.ndarray = position[np.where(source >= 0, source, size)]
    return reached
