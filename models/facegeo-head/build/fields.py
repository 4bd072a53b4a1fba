"""Smooth fields on the cage that bring chosen points of the fine surface where they should be."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra

from .cage import Cage, mesh_graph

_RELAXING_ROUNDS = 12


def smoothstep(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before ``start``, 1 after ``end``, smooth between; falls where ``end < start``."""
    share = np.clip((value - start) / (end - start), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def spread_from(
    points: np.ndarray, anchors: np.ndarray, offsets: np.ndarray, reach: float
) -> np.ndarray:
    """Offsets ``(C, k)`` near anchors: their mean by nearness, fading out over a reach.

    Parameters
    ----------
    points : (C, 3) float64
    anchors : (n, 3) float64
    offsets : (n, k) float64
    reach : float
        Distance from the nearest anchor at which nothing moves any more.
    """
    return np.asarray(nearness(points, anchors, reach) @ offsets)


def nearness(points: np.ndarray, anchors: np.ndarray, reach: float) -> np.ndarray:
    """Weights ``(C, n)`` of anchors at points, as :func:`spread_from` takes them."""
    distance = np.linalg.norm(points[:, None] - anchors, axis=2)
    near = 1 / (distance**2 + 0.3**2) ** 1.5
    fade = smoothstep(distance.min(axis=1), reach, 0.0)
    return np.asarray(near * (fade / near.sum(axis=1))[:, None])


def stiffened(
    points: np.ndarray,
    offsets: np.ndarray,
    centres: np.ndarray,
    allowed: np.ndarray,
    inner: float,
    outer: float,
    firmness: float = 0.3,
) -> np.ndarray:
    """Offsets ``(n, C, 3)`` that move the surroundings of some centres as a piece each.

    Within ``inner`` of a centre they become the affine movement that fits them best, between
    ``inner`` and ``outer`` a mixture: where quads are tiny, modes that differ from one to the next
    would fold them.

    Parameters
    ----------
    points : (C, 3) float64
    centres : (k, 3) float64
    allowed : (C,) bool
        Vertices that are looked at and changed.
    firmness : float
        0 lets a piece be stretched and turned as fits best; a large one is only shifted.
    """
    result = offsets.copy()
    for centre in centres:
        away = np.linalg.norm(points - centre, axis=1)
        share = smoothstep(away, outer, inner) * allowed
        near = np.flatnonzero(share)
        terms = np.concatenate([np.ones((len(near), 1)), (points[near] - centre) / outer], axis=1)
        weighted = terms * share[near, None]
        inverse = np.linalg.solve(terms.T @ weighted + firmness * np.diag([0, 1, 1, 1]), weighted.T)
        affine = terms @ inverse
        fitted = np.einsum("vw,nwc->nvc", affine, offsets[:, near])
        result[:, near] += share[near, None] * (fitted - offsets[:, near])
    return result


def evened(cage: Cage, points: np.ndarray, share: np.ndarray, rounds: int) -> np.ndarray:
    """Points (or offsets) moved towards the middle of the quads around them, by a share each."""
    corners = cage.faces.ravel()
    uses = np.maximum(np.bincount(corners, minlength=len(points)), 1)[:, None]
    smooth = points
    for _ in range(rounds):
        mean = np.repeat(smooth[cage.faces].mean(axis=1), 4, axis=0)
        around = np.stack([np.bincount(corners, mean[:, i], len(points)) for i in range(3)], axis=1)
        smooth = smooth + share[:, None] * (around / uses - smooth)
    return smooth


def strain(cage: Cage, points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Strain of offsets ``(n, C, 3)``, (n, C): stretch, shear and turn of the edges at each vertex.

    The largest change of an edge, in parts of its length. Where what is added up comes near 1,
    triangles turn over.
    """
    edges = np.concatenate([cage.faces, np.roll(cage.faces, -1, axis=1)]).reshape(2, -1)
    length = np.linalg.norm(points[edges[0]] - points[edges[1]], axis=1)
    result = np.zeros(offsets.shape[:2])
    for row, offset in zip(result, offsets, strict=True):
        change = np.linalg.norm(offset[edges[0]] - offset[edges[1]], axis=1) / length
        for ends in edges:
            np.maximum.at(row, ends, change)
    return result


def relaxed(
    cage: Cage,
    points: np.ndarray,
    offsets: np.ndarray,
    allowed: np.ndarray,
    bounds: tuple[float, float],
    *,
    together: bool,
) -> np.ndarray:
    """Offsets ``(n, C, 3)`` evened where they strain the surface so much that it could turn over.

    Parameters
    ----------
    allowed : (C,) float64, 0 to 1
    bounds : (float, float)
        Strain from which on they are evened, and from which on fully.
    together : bool
        True for modes that come in any mixture: the root of the sum of their squares counts, for
        all. False looks at each by itself.
    """
    for _ in range(_RELAXING_ROUNDS):
        found = strain(cage, points, offsets)
        if together:
            found = np.broadcast_to(np.sqrt((found**2).sum(axis=0)), found.shape)
        shares = 0.5 * smoothstep(found, *bounds) * allowed
        offsets = np.stack(
            [evened(cage, o, share, 1) for o, share in zip(offsets, shares, strict=True)]
        )
    return offsets


def settled(
    points: np.ndarray,
    surface_rows: sparse.csr_matrix,
    targets: np.ndarray,
    reach: float,
    allowed: np.ndarray,
    rounds: int = 12,
) -> np.ndarray:
    """The cage, moved near some surface points until these lie at their targets.

    Parameters
    ----------
    points : (C, 3) float64
    surface_rows : (n, C) sparse
        Rows of the subdivision matrix.
    targets : (n, 3) float64
    allowed : (C,) float64, 0 to 1
        How much each vertex may follow.
    """
    moved = points.copy()
    anchors = surface_rows @ points
    for _ in range(rounds):
        missing = targets - surface_rows @ moved
        moved += spread_from(points, anchors, missing, reach) * allowed[:, None]
    return moved


def lower_side(cage: Cage, points: np.ndarray, ring: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Vertices nearer to the lower side of a slit than to the upper along the mesh, (C,) bool.

    Parameters
    ----------
    ring : (n,) int64
        Vertices around the slit; those of least and greatest x are its corners.
    motion : (C, 3) float64
        Offsets that take the lower side of the slit down, or bring the upper side least up.
    """
    corners = ring[[np.argmin(points[ring, 0]), np.argmax(points[ring, 0])]]
    joined = mesh_graph(cage, points)
    # Without its corners the ring falls into two arcs.
    arc = np.setdiff1d(ring, corners)
    _, label = connected_components(joined[arc][:, arc], directed=False)
    size = np.bincount(label)
    arcs = np.argsort(-size)[:2]
    drop = (np.bincount(label, motion[arc, 1]) / size)[arcs]
    low, high = (
        dijkstra(joined, indices=arc[label == side], directed=False, min_only=True)
        for side in (arcs[np.argmin(drop)], arcs[np.argmax(drop)])
    )
    return np.asarray(low < high)
