"""Loop subdivision as one sparse matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def _edge_table(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique edges ``(E, 2)``, the edge opposite each corner ``(T, 3)``, triangles per edge."""
    pairs = np.sort(
        np.concatenate([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]]), axis=1
    )
    edges, index, count = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return edges, index.reshape(3, -1).T, count


def loop_matrix(triangles: np.ndarray, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One step of Loop's scheme (Loop 1987), with Warren's weights and boundary rules.

    Parameters
    ----------
    triangles : (T, 3) int64
    count : int
        Number of vertices.

    Returns
    -------
    (count + E, count) sparse float64
        New vertices from old ones: old vertices first, in their order, then one per edge.
    (4 T, 3) int64
        The new triangles, each old one's four in a row.
    """
    edges, opposite, uses = _edge_table(triangles)
    border = uses == 1
    number = np.arange(len(edges))
    # New vertices: 3/8 of the ends, 1/8 of the opposite corners; the middle on a boundary.
    across = sparse.csr_matrix(
        (np.ones(triangles.size), (opposite.ravel(), triangles.ravel())), (len(edges), count)
    )
    ends = sparse.csr_matrix(
        (np.ones(edges.size), (np.repeat(number, 2), edges.ravel())), (len(edges), count)
    )
    middle = sparse.diags(np.where(border, 0.5, 0.375)) @ ends
    middle = middle + sparse.diags(np.where(border, 0.0, 0.125)) @ across
    # Old vertices: the mean of the ring with weight beta each; 1/8, 3/4, 1/8 along a boundary.
    rim = np.zeros(count, bool)
    rim[edges[border].ravel()] = True
    ring = ends.T @ ends
    ring.setdiag(0)
    edge_ring = ends[border].T @ ends[border]
    edge_ring.setdiag(0)
    valence = np.maximum(np.asarray(ring.sum(1)).ravel(), 1)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * valence))
    keep = np.where(rim, 0.75, 1 - valence * beta)
    old = sparse.diags(keep) + sparse.diags(np.where(rim, 0.0, beta)) @ ring
    old = old + sparse.diags(np.where(rim, 0.125, 0.0)) @ edge_ring
    a, b, c = triangles.T
    p, q, r = (count + opposite).T
    fresh = np.stack([a, r, q, r, b, p, q, p, c, p, q, r], -1).reshape(-1, 3)
    return sparse.vstack([old, middle]).tocsr(), fresh


def mirror_of_edges(triangles: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mirror permutation after one step, from the one before it."""
    edges, _, _ = _edge_table(triangles)
    reflected = np.sort(mirror[edges], axis=1)
    size = len(mirror)
    key, wanted = edges[:, 0] * size + edges[:, 1], reflected[:, 0] * size + reflected[:, 1]
    return np.concatenate([mirror, size + np.searchsorted(key, wanted)])
