"""Curves on the chart that edges of the cage must follow: rims, borders, the edge of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline

from . import controls
from .ear import ear_crest, ear_edge
from .surface import ChartSurface

#: The edge of the mesh on the chart: hairline and temple to the root of the ear, and from the lobe
#: behind the jaw to the throat. The ear's own edge lies between.
BORDER_ABOVE = (
    (0, 80), (24, 79.5), (44, 76), (60, 69), (75, 59.5), (89, 48.5), (102, 36), (113, 23.5),
    (122.5, 10.5),
)  # fmt: skip
BORDER_BELOW = (
    (126, -61), (119, -68), (115.5, -78), (114.5, -90), (113.5, -105), (110, -121),
)  # fmt: skip
#: The end of the neck as (u, y): cut level in space, wherever that is on the chart.
NECK = ((102, -123), (86, -132), (64, -138), (42, -140.5), (20, -141), (0, -141))


#: Share of the mouth's half width within which the lips have linings of their own.
OPEN_SEAM = 0.88


@dataclass(frozen=True, eq=False)
class Outline:
    """Points of the half cage that are fixed before the rest is spread between them.

    Attributes
    ----------
    points : (P, 2) float64
        Chart coordinates, u >= 0, midline first to last among others.
    edges : (E, 2) int64
        Neighbours along a curve; the cage keeps them as edges.
    border, eye_hole : (B, 2) float64
        Polygons: the cage lies inside the first and outside the other.
    rows : dict of str to (n,) int64
        The points of a named curve, in order.
    """

    points: np.ndarray
    edges: np.ndarray
    border: np.ndarray
    eye_hole: np.ndarray
    rows: dict[str, np.ndarray]


def resample(
    curve: np.ndarray, surface: ChartSurface, spacing: float, count: int | None = None
) -> np.ndarray:
    """Points on a smooth curve through ``curve (n, 2)``, even on the surface, its ends kept."""
    step = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    at = np.append(0.0, np.cumsum(step))
    spline = CubicSpline(at, curve)
    fine = spline(np.linspace(0, at[-1], 400))
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(surface(fine), axis=0), axis=1)))
    count = count or max(2, round(length[-1] / spacing) + 1)
    even = np.linspace(0, length[-1], count)
    picked = np.stack([np.interp(even, length, fine[:, axis]) for axis in (0, 1)], -1)
    picked[0], picked[-1] = curve[0], curve[-1]
    return picked


class _Collector:
    """Gathers curves, merging points that coincide."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.edges: list[tuple[int, int]] = []
        self.rows: dict[str, np.ndarray] = {}

    def _row(self, point: np.ndarray) -> int:
        for row, known in enumerate(self.points):
            if abs(known[0] - point[0]) < 1e-9 and abs(known[1] - point[1]) < 1e-9:
                return row
        self.points.append(point)
        return len(self.points) - 1

    def add(self, name: str, curve: np.ndarray, *, closed: bool = False) -> None:
        rows = [self._row(point) for point in curve]
        self.edges += list(pairwise(rows))
        if closed:
            self.edges.append((rows[-1], rows[0]))
        self.rows[name] = np.array(rows)


def _ring(share: float, ring: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return centre + share * (ring - centre)


def _eye(collector: _Collector, surface: ChartSurface, spacing: float) -> np.ndarray:
    margin = controls.chart(np.array(controls.LID_MARGIN))
    centre = margin.mean(0)
    upper = resample(margin[:8], surface, spacing)
    lower = resample(np.concatenate([margin[7:], margin[:1]]), surface, spacing)
    ring = np.concatenate([upper, lower[1:-1]])
    collector.add("lid_margin", ring, closed=True)
    collector.rows["upper_lid"] = collector.rows["lid_margin"][: len(upper)]
    for number, (share, _, _) in enumerate(controls.LID_LINING):
        collector.add(f"lid_lining_{number}", _ring(share, ring, centre), closed=True)
    return np.asarray(_ring(controls.LID_LINING[-1][0], ring, centre))


def _mouth(collector: _Collector, surface: ChartSurface, spacing: float) -> None:
    edge, _ = controls.mouth_edge()
    corner = len(edge) // 2
    upper = resample(edge[: corner + 1], surface, spacing)
    lower = resample(edge[corner:], surface, spacing, len(upper))
    ring = np.concatenate([upper, lower[1:]])
    collector.add("lip_edge", ring)
    # A row behind each edge, so that no triangle spans the seam itself but at the very corners.
    centre = np.array([0.0, (edge[0, 1] + edge[-1, 1]) / 2])
    behind = _ring(controls.LIP_LINING[0][0], ring, centre)
    open_rows = np.flatnonzero(ring[:, 0] < OPEN_SEAM * edge[:, 0].max())
    half = len(upper)
    collector.add("upper_lining", behind[open_rows[open_rows < half]])
    collector.add("lower_lining", behind[open_rows[open_rows >= half]])
    top = np.array([(0.0, *controls.MIDLINE_LIP[3]), *controls.LIP_BORDER_UPPER])
    bottom = np.array([(0.0, *controls.MIDLINE_LOWER[1]), *controls.LIP_BORDER_LOWER])
    for name, points, below in (("upper_red", top, 0.0), ("lower_red", bottom, 1.0)):
        flat = controls.chart(points, np.full(len(points), below))
        collector.add(name, resample(flat, surface, spacing))


def _neck(surface: ChartSurface) -> np.ndarray:
    """:data:`NECK` on the chart: down each line of constant u to where y is reached."""
    v = np.linspace(-100, -215, 231)
    points = []
    for u, level in NECK:
        y = surface(np.stack([np.full_like(v, u), v], -1))[:, 1]
        points.append((u, v[int(np.argmax(y <= level))]))
    return np.array(points, float)


def draw_outline(surface: ChartSurface, spacing: float, fine: float) -> Outline:
    """All fixed points of the half cage.

    Parameters
    ----------
    spacing, fine : float
        Millimetres between neighbours on the border and midline, and on the rims.
    """
    collector = _Collector()
    border = np.concatenate(
        [np.array(BORDER_ABOVE), ear_edge(), np.array(BORDER_BELOW), _neck(surface)]
    )
    hairline = resample(border, surface, spacing)
    collector.add("border", hairline)
    collector.add("helix", resample(ear_crest()[2:-2], surface, spacing * 0.8))
    eye_hole = _eye(collector, surface, fine)
    _mouth(collector, surface, fine)
    rim = np.array([p for p, _ in controls.NOSTRIL_RIM], float)
    rim = np.concatenate([rim, rim[:1]])
    collector.add("nostril", resample(rim, surface, fine)[:-1], closed=True)
    # The midline, in two pieces between the curves that cross it.
    on_line = sorted(
        (point for point in collector.points if point[0] == 0), key=lambda point: -point[1]
    )
    for number, (high, low) in enumerate(pairwise(on_line)):
        stretch = resample(np.linspace(high, low, 12), surface, spacing)
        stretch[:, 0] = 0.0
        collector.add(f"midline_{number}", stretch)
    return Outline(
        points=np.array(collector.points),
        edges=np.array(collector.edges),
        border=hairline,
        eye_hole=eye_hole,
        rows=collector.rows,
    )


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mask of the ``points (N, 2)`` that lie in a polygon ``(n, 2)`` (even-odd rule)."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, 0, None], points[:, 1, None]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(a[:, 1] == b[:, 1], 1.0, b[:, 1] - a[:, 1])
    left = x < a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / rise
    return np.asarray((crosses & left).sum(1) % 2 == 1)
