"""Lips that touch: the gap between them as linear functions of the cage, and what closes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from facegeo.morphable.subdivision import Subdivision

from .cage import Cage, ring_outside

#: Reach of the fields around the line where the lips meet, millimetres.
_REACH = 8.0
_ROUNDS = 6
#: Part of the mouth's half width that has stations; the corners follow.
_STATIONS = 0.98
#: A station looks for the narrowest place this far around it, and this far along the mouth.
_SECTION_REACH = 3.5
_SECTION_WIDTH = 0.5


@dataclass(frozen=True, eq=False)
class LipSeal:
    """Closes the lips of any face of the cage.

    Attributes
    ----------
    gap : (S, C) sparse
        Height of the gap at S stations along the mouth, from the cage's y.
    field : (C, S) float64
        Offset of the cage's y that closes each station by about 1.
    """

    gap: sparse.csr_matrix
    field: np.ndarray

    def __call__(self, points: np.ndarray, wanted: float = 0.0) -> np.ndarray:
        """Points ``(..., C, 3)`` whose gap is ``wanted`` millimetres at every station.

        Linear where ``wanted`` is 0: modes that went through it open no lips.
        """
        closed = np.array(points, np.float64)
        for _ in range(_ROUNDS):
            heights = closed[..., 1].reshape(-1, self.gap.shape[1])
            gaps = (self.gap @ heights.T).T - wanted
            closed[..., 1] += (gaps @ self.field.T).reshape(closed.shape[:-1])
        return closed

    def together(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets ``(C, 3)`` in which both lips move alike in every direction where they touch."""
        alike = np.array(offsets, np.float64)
        for _ in range(_ROUNDS):
            alike += self.field @ (self.gap @ alike)
        return alike


def lip_seal(
    cage: Cage,
    points: np.ndarray,
    fine: Subdivision,
    lower: np.ndarray,
    spacing: float = 0.0,
) -> LipSeal:
    """The seal for a face whose lips lie close to each other.

    Parameters
    ----------
    points : (C, 3) float64
        The face, millimetres.
    fine : Subdivision
        Of the cage, once everywhere.
    lower : (C,) bool
        From :func:`.fields.lower_side` of :func:`lip_rim`.
    spacing : float
        Least distance between stations along x, and from the corners:
        wide for modes, which must not shear the rims; 0 for a face that is to close exactly.
    """
    surface = fine.matrix @ points
    rim = lip_rim(cage)
    upper = rim[~lower[rim]]
    middle, half = surface[rim, 0].mean(), np.ptp(surface[rim, 0]) / 2
    # Vertices that mix both lips lie at the corners and count for the lower.
    below = fine.matrix @ lower.astype(float) > 0.3
    triangles = fine.triangles[below[fine.triangles].all(axis=1)]
    # A ring of the upper lip may count as lower near the corners, but not what touches the rim.
    triangles = triangles[~np.isin(triangles, upper).any(axis=1)]
    near = np.linalg.norm(surface[triangles].mean(axis=1) - surface[rim].mean(axis=0), axis=1) < 45
    triangles = triangles[near]
    rows, columns, values, stations = [], [], [], []
    reach = _STATIONS * half - spacing
    above = np.unique(fine.triangles[~below[fine.triangles].any(axis=1)])
    # From the middle outwards, so that stations are symmetric.
    for vertex in upper[np.argsort(np.abs(surface[upper, 0] - middle), kind="stable")]:
        x = surface[vertex, 0]
        if abs(x - middle) > reach or any(abs(x - other[0]) < spacing for other in stations):
            continue
        near = np.linalg.norm(surface[above] - surface[vertex], axis=1) < _SECTION_REACH
        section = above[near & (np.abs(surface[above, 0] - x) < _SECTION_WIDTH)]
        hits = {
            row: _below(surface, triangles, surface[row]) for row in {vertex, *section.tolist()}
        }
        hits = {row: hit for row, hit in hits.items() if hit is not None}
        if not hits:
            continue
        gaps = {
            row: surface[row, 1] - share @ surface[corner, 1]
            for row, (corner, share) in hits.items()
        }
        closest = min(gaps, key=gaps.__getitem__)
        corners, shares = hits[closest]
        rows += [len(stations)] * 4
        columns += [closest, *corners]
        values += [1.0, *(-shares)]
        stations.append(surface[vertex])
    pick = sparse.csr_matrix((values, (rows, columns)), (len(stations), len(surface)))
    order = np.argsort([station[0] for station in stations])
    field = _fields(cage, points, lower, np.array(stations)[order])
    return LipSeal((pick @ fine.matrix).tocsr()[order], field)


def mouth_corners(cage: Cage, points: np.ndarray) -> np.ndarray:
    """Places of the right and left corner of the mouth, (2, 3)."""
    rim = points[lip_rim(cage)]
    return np.asarray(rim[[np.argmin(rim[:, 0]), np.argmax(rim[:, 0])]])


def lip_rim(cage: Cage) -> np.ndarray:
    """Vertices of the lips one edge outside the seam between skin and mouth."""
    inside = cage.of_part("mouth_inside")
    return ring_outside(cage, np.flatnonzero(inside & cage.of_part("skin")), inside)


def _below(
    surface: np.ndarray, triangles: np.ndarray, point: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners and shares of the highest place of some triangles on the vertical of a point."""
    flat = surface[triangles][:, :, [0, 2]] - point[[0, 2]]
    area = np.stack([_cross(flat[:, (i + 1) % 3], flat[:, (i + 2) % 3]) for i in range(3)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = area / area.sum(axis=1, keepdims=True)
    height = (shares * surface[triangles][:, :, 1]).sum(axis=1)
    hit = np.flatnonzero((shares >= 0).all(axis=1) & (np.abs(height - point[1]) < 5))
    if not len(hit):
        return None
    best = hit[np.argmax(height[hit])]
    return triangles[best], shares[best]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _fields(cage: Cage, points: np.ndarray, lower: np.ndarray, stations: np.ndarray) -> np.ndarray:
    """Hat functions along x, that fade away from the line of contact; half of it for each lip."""
    x = stations[:, 0]
    hats = np.stack([np.interp(points[:, 0], x, row) for row in np.eye(len(x))], axis=1)
    line = np.stack([np.interp(points[:, 0], x, stations[:, i]) for i in (1, 2)], axis=1)
    away = np.linalg.norm(points[:, 1:] - line, axis=1) / _REACH
    side = np.maximum(np.abs(points[:, 0]) - np.abs(x).max(), 0) / 3.0
    fade = np.clip(1 - np.hypot(away, side), 0, 1)
    fade = fade * fade * (3 - 2 * fade) * cage.of_part("skin", "mouth_inside")
    return np.asarray((np.where(lower, 0.5, -0.5) * fade)[:, None] * hats)
