"""Lids that lie on the eyeball, and that meet when they close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeo.morphable.subdivision import Subdivision

from .cage import FLIP, Cage, ring_outside
from .eyeballs import eye_centre
from .fields import lower_side, nearness, settled, smoothstep

#: Space between eyeball and rim of the lids, millimetres: along the lids, and at the corners.
_CLEARANCE = 0.42
_CORNER_CLEARANCE = 0.7
_REACH = 7.0
_CLOSING_ROUNDS = 5
#: Part of their spread of the eye's opening that modes keep: a blink shuts every eye by the same
#: movement, and can only do so where eyes are about equally open.
OPENING_KEPT = 0.25
#: How firmly shut lids keep to the eyeball, beside open ones: both leave the lids no way at all.
_SHUT_SHARE = 0.5
_STEADY_ROUNDS = 8
#: The opening is held up to this distance from the corners along x, millimetres.
_CORNER_WIDTH = 3.0


@dataclass(frozen=True, eq=False)
class LeftLids:
    """The rims of the left eye's lids.

    Attributes
    ----------
    seam : (n,) int64
        Where skin and lining meet, next to the eyeball.
    upper, lower : (n,) int64
        The front edges, which touch when the lids close, from the inner to the outer corner; both
        corners are in each.
    is_lower : (C,) bool
        Vertices nearer to the lower lid.
    nearby : (C,) float64
        1 on skin and lining around the left eye, 0 elsewhere.
    """

    seam: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    is_lower: np.ndarray
    nearby: np.ndarray


def left_lids(cage: Cage, points: np.ndarray, blink: np.ndarray) -> LeftLids:
    """Find the rims; ``blink`` are offsets ``(C, 3)`` that shut the left eye."""
    seam = np.flatnonzero(cage.of_part("lid_lining") & cage.of_part("skin") & (points[:, 0] > 0))
    is_lower = ~lower_side(cage, points, seam, blink)
    edge = ring_outside(cage, seam, cage.of_part("lid_lining"))
    order = edge[np.argsort(points[edge, 0])]
    inner, outer = order[:1], order[-1:]
    between = order[1:-1]
    return LeftLids(
        seam=seam,
        upper=np.concatenate([inner, between[~is_lower[between]], outer]),
        lower=np.concatenate([inner, between[is_lower[between]], outer]),
        is_lower=is_lower,
        nearby=(cage.of_part("lid_lining", "skin") & (points[:, 0] > 3)).astype(float),
    )


def eye_corners(points: np.ndarray, lids: LeftLids) -> tuple[np.ndarray, np.ndarray]:
    """Places of the inner and of the outer corners of both eyes, (2, 3) each."""
    inner, outer = points[lids.upper[:1]], points[lids.upper[-1:]]
    return np.concatenate([inner * FLIP, inner]), np.concatenate([outer * FLIP, outer])


def lids_on_eyeball(
    cage: Cage, points: np.ndarray, fine: Subdivision, lids: LeftLids
) -> np.ndarray:
    """The face with both eyes' rims brought to their distance from the eyeballs."""
    rows = fine.matrix[lids.seam]
    surface = rows @ points
    centre, radius = eyeball_sphere(cage, points)
    outward = surface - centre
    distance = np.linalg.norm(outward, axis=1, keepdims=True)
    ends = surface[[np.argmin(surface[:, 0]), np.argmax(surface[:, 0])]]
    nearest = np.linalg.norm(surface[:, None] - ends, axis=2).min(axis=1)
    gap = _CLEARANCE + (_CORNER_CLEARANCE - _CLEARANCE) * smoothstep(nearest, 6.0, 0.0)
    targets = centre + outward / distance * (radius + gap)[:, None]
    moved = settled(points, rows, targets, _REACH, lids.nearby)
    return _both_eyes(cage, points, moved)


def eyeball_sphere(cage: Cage, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the left eyeball, without its cornea."""
    eye = points[cage.of_part("eye_left")]
    centre = eye_centre(eye)
    return centre, float(np.linalg.norm(eye[-1] - centre))


def _both_eyes(cage: Cage, points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """A change around the left eye, made around the right too."""
    change = moved - points
    return np.asarray(points + change + cage.reflected(change))


def closing_lids(
    cage: Cage, points: np.ndarray, blink: np.ndarray, fine: Subdivision, lids: LeftLids
) -> np.ndarray:
    """Offsets that shut the left eye such that the lids just meet, on the eyeball.

    The face unit's own movement is scaled along the lid, then the rims are settled exactly.
    """
    centre, radius = eyeball_sphere(cage, points)
    up, low, seam = (fine.matrix[rows] for rows in (lids.upper, lids.lower, lids.seam))
    open_up, open_low = up @ points, low @ points
    shut_up, shut_low = up @ (points + blink), low @ (points + blink)
    x = np.linspace(open_up[0, 0] + 3, open_up[-1, 0] - 3, 25)
    gap_open = _height(open_up, x) - _height(open_low, x)
    gap_shut = _height(shut_up, x) - _height(shut_low, x)
    share = np.interp(points[:, 0], x, gap_open / (gap_open - gap_shut))
    moved = points + blink * share[:, None]
    for _ in range(_CLOSING_ROUNDS):
        above, below = up @ moved, low @ moved
        goal = above.copy()
        goal[:, 1] = _height(below, above[:, 0])
        moved = settled(moved, up[1:-1], goal[1:-1], _REACH, lids.nearby * ~lids.is_lower, 4)
        inner = seam @ moved - centre
        distance = np.linalg.norm(inner, axis=1, keepdims=True)
        goal = centre + inner / distance * np.maximum(distance, radius + _CLEARANCE)
        moved = settled(moved, seam, goal, _REACH, lids.nearby, 4)
    return np.asarray(moved - points)


def steady_lids(
    cage: Cage,
    points: np.ndarray,
    modes: np.ndarray,
    closing: np.ndarray,
    fine: Subdivision,
    lids: LeftLids,
    *,
    opening_kept: float,
) -> np.ndarray:
    """Modes of the face that keep the left lids at the eyeball, and shut when they are shut.

    Parameters
    ----------
    modes : (n, C, 3) float64
    closing : (C, 3) float64
        Offsets that shut the left eye of the mean face ``points``.
    opening_kept : float
        Part of their spread of the eye's opening that they keep.
    """
    centre, radius = eyeball_sphere(cage, points)
    eye = modes[:, cage.of_part("eye_left")]
    shift = eye_centre(eye)[:, None]
    back = points[cage.of_part("eye_left")][-1] - centre
    growth = (eye[:, -1:] - shift) @ back[:, None] / radius**2
    rows = np.concatenate([lids.upper, lids.lower, lids.seam])
    stencil = fine.matrix[rows]
    place = stencil @ points
    outward = place - centre
    carried = shift + growth * outward
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    shut = stencil @ (points + closing)
    shut_outward = shut - centre
    shut_outward /= np.linalg.norm(shut_outward, axis=1, keepdims=True)
    up, low = np.arange(len(lids.upper)), len(lids.upper) + np.arange(len(lids.lower))
    below = _along(shut[low], shut[up])
    slope = np.clip(np.gradient(shut[up, 1], shut[up, 0]), -1, 1)
    # Each rim goes half of the way, and the seam with the rim of its side; the corners stay.
    ends = np.abs(place[:, :1] - place[[up[0], up[-1]], 0]).min(axis=1)
    inside = smoothstep(ends, 0.5, _CORNER_WIDTH)
    half = np.where(lids.is_lower[rows], 0.5, -0.5)
    half[low] = 0.5
    half *= inside
    on_upper = _along(shut[up], shut)
    spread = nearness(points, place, _REACH) * lids.nearby[:, None]
    slide = np.array([0.0, 1, 0]) - outward * outward[:, 1:2]
    slide /= slide[:, 1:2]
    moved = modes.copy()
    wanted: np.ndarray | None = None
    for _ in range(_STEADY_ROUNDS):
        rims = np.stack([stencil @ mode for mode in moved])
        apart = rims[:, up] - below @ rims[:, low]
        gap = apart[..., 1] - slope * apart[..., 0]
        if wanted is None:
            wanted = opening_kept * gap
        missing = ((gap - wanted) @ on_upper.T * half)[..., None] * slide
        for direction, share in ((outward, 1.0), (shut_outward, _SHUT_SHARE * inside[:, None])):
            away = ((rims - carried) * direction).sum(axis=2, keepdims=True)
            missing = missing - away * share * direction
        moved += np.einsum("vr,nrc->nvc", spread, missing)
    return moved


def _along(rim: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Weights ``(m, n)`` of a rim's n points, ascending in x, at the x of m places."""
    return np.stack([np.interp(places[:, 0], rim[:, 0], row) for row in np.eye(len(rim))], axis=1)


def _height(rim: np.ndarray, x: np.ndarray) -> np.ndarray:
    order = np.argsort(rim[:, 0])
    return np.asarray(np.interp(x, rim[order, 0], rim[order, 1]))
