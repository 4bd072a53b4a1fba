"""The control cage: triangles of even size on the surface, spread between the fixed curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import Delaunay, cKDTree

from .outline import Outline, draw_outline, inside
from .surface import ChartSurface

#: Step of the lookup grid on the chart, and points tried per cage: enough for its densest part.
GRID = 1.0
TRIALS = 160_000
#: Least quality of a triangle with a free corner: 1 is equilateral, 0 a needle.
LEAST_SHAPE = 0.3


@dataclass(frozen=True, eq=False)
class Cage:
    """A symmetric triangle mesh on the chart.

    Attributes
    ----------
    chart : (C, 2) float64
    triangles : (T, 3) int64
        Counter-clockwise on the chart, which is counter-clockwise seen from outside the face.
    mirror : (C,) int64
        Row of each point's mirror image.
    rows : dict of str to (n,) int64
        Points of the named curves, on the side u >= 0.
    """

    chart: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    rows: dict[str, np.ndarray]


class _Lookup:
    """The surface sampled on a grid of the chart, for the many evaluations while points move."""

    def __init__(self, surface: ChartSurface, border: np.ndarray) -> None:
        self.low = np.array([-2.0, border[:, 1].min() - 2])
        u = np.arange(self.low[0], border[:, 0].max() + 3, GRID)
        v = np.arange(self.low[1], border[:, 1].max() + 3, GRID)
        nodes = np.stack(np.meshgrid(u, v, indexing="ij"), -1).reshape(-1, 2)
        values = np.concatenate([surface(part) for part in np.array_split(nodes, 64)])
        self.values = values.reshape(len(u), len(v), 3)

    def __call__(self, chart: np.ndarray) -> np.ndarray:
        at = ((chart - self.low) / GRID).T
        return np.stack(
            [map_coordinates(self.values[..., i], at, order=1, mode="nearest") for i in range(3)],
            -1,
        )


def _free(outline: Outline, points: np.ndarray) -> np.ndarray:
    return inside(outline.border, points) & ~inside(outline.eye_hole, points) & (points[:, 0] > 0)


def _triangles(outline: Outline, points: np.ndarray) -> np.ndarray:
    found = Delaunay(points).simplices.astype(np.int64)
    found = found[_free(outline, points[found].mean(1))]
    a, b, c = (points[found[:, i]] for i in range(3))
    turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    found = found[np.abs(turn) > 1e-6]
    turn = turn[np.abs(turn) > 1e-6]
    return np.where(turn[:, None] > 0, found, found[:, [0, 2, 1]])


def _edges(triangles: np.ndarray) -> np.ndarray:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _size(points: np.ndarray, fine: np.ndarray, ratio: float) -> np.ndarray:
    """Wanted edge length relative to the coarse one: ``ratio`` on the rims, 1 from 14 mm away."""
    distance, _ = cKDTree(fine).query(points)
    return ratio + (1 - ratio) * np.clip(distance / 14, 0, 1)


def _seed(lookup: _Lookup, outline: Outline, fine: np.ndarray, spacing: float, ratio: float
) -> np.ndarray:  # fmt: skip
    """Free points with about the wanted density, by rejection from a fixed generator."""
    generator = np.random.default_rng(68)
    low, high = outline.border.min(0), outline.border.max(0)
    box = float(np.prod(high - low))
    trial = low + generator.random((TRIALS, 2)) * (high - low)
    e = 0.25
    right, up = np.array([e, 0.0]), np.array([0.0, e])
    du = (lookup(trial + right) - lookup(trial - right)) / (2 * e)
    dv = (lookup(trial + up) - lookup(trial - up)) / (2 * e)
    stretch = np.linalg.norm(np.cross(du, dv), axis=1)
    wanted = stretch / (np.sqrt(3) / 2 * (spacing * _size(trial, fine, ratio)) ** 2)
    keep = generator.random(len(trial)) < wanted * box / len(trial)
    trial = trial[keep & _free(outline, trial)]
    nearest, _ = cKDTree(outline.points).query(trial)
    return trial[nearest > 0.5]


def _relax(
    points: np.ndarray, fixed: int, lookup: _Lookup, outline: Outline, fine: np.ndarray,
    spacing: float, ratio: float, rounds: int,
) -> np.ndarray:  # fmt: skip
    """Spread points like springs under pressure; lengths are those on the surface."""
    for turn in range(rounds):
        if turn % 3 == 0:
            edges = _edges(_triangles(outline, points))
        a, b = edges.T
        flat = points[b] - points[a]
        length = np.linalg.norm(np.diff(lookup(points)[edges], axis=1)[:, 0], axis=1)
        wanted = _size(points[edges].mean(1), fine, ratio) * spacing
        wanted *= 1.15 * np.sqrt((length**2).sum() / (wanted**2).sum())
        push = flat * (np.clip(wanted - length, 0, None) / np.maximum(length, 0.2))[:, None]
        move = np.zeros_like(points)
        for axis in (0, 1):
            move[:, axis] = np.bincount(b, push[:, axis], len(points)) - np.bincount(
                a, push[:, axis], len(points)
            )
        size = np.linalg.norm(move, axis=1, keepdims=True)
        move *= 0.2 * np.minimum(1.0, 2.0 / np.maximum(size, 1e-9))
        move[:fixed] = 0
        moved = points + move
        ok = _free(outline, moved)
        ok[:fixed] = False
        points = np.where(ok[:, None], moved, points)
    return points


def _uncrowded(xyz: np.ndarray, distance: np.ndarray, fixed: int) -> np.ndarray:
    """Mask of points to keep so that no free point is nearer than ``distance`` to another kept one.

    The chart's parts may touch in space (lips, lids), so only neighbours on both count; free points
    give way to fixed ones, later free points to earlier ones.
    """
    keep = np.ones(len(xyz), bool)
    pairs = cKDTree(xyz).query_pairs(float(distance.max()), output_type="ndarray")
    length = np.linalg.norm(xyz[pairs[:, 0]] - xyz[pairs[:, 1]], axis=1)
    pairs = np.sort(pairs[length < distance[pairs].min(1)], axis=1)
    for first, second in pairs[np.lexsort(pairs.T)]:
        if second >= fixed and keep[first]:
            keep[second] = False
    return keep


def _flip_to_surface(
    triangles: np.ndarray, xyz: np.ndarray, chart: np.ndarray, kept: set[tuple[int, int]]
) -> np.ndarray:
    """Swap diagonals until the triangles are Delaunay on the surface, where the chart is not.

    An edge is swapped where the angles opposite to it sum to more than 180 degrees in space, unless
    it lies on a fixed curve or the swap would fold the chart.
    """
    tri = [list(map(int, t)) for t in triangles]
    place = [tuple(map(float, point)) for point in xyz]
    at: dict[tuple[int, int], int] = {}
    for number, t in enumerate(tri):
        for i in range(3):
            at[t[i], t[(i + 1) % 3]] = number

    def angle(apex: int, p: int, q: int) -> float:
        o = place[apex]
        a, b = ([e - f for e, f in zip(place[i], o, strict=True)] for i in (p, q))
        dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
        return math.acos(max(-1.0, min(1.0, dot / (math.hypot(*a) * math.hypot(*b)))))

    def area(p: int, q: int, r: int) -> float:
        a, b = chart[q] - chart[p], chart[r] - chart[p]
        return float(a[0] * b[1] - a[1] * b[0])

    queue = [edge for edge in at if edge[0] < edge[1]]
    for _ in range(12):
        changed: list[tuple[int, int]] = []
        for p, q in queue:
            if (p, q) in kept or (q, p) in kept or (p, q) not in at or (q, p) not in at:
                continue
            left, right = at[p, q], at[q, p]
            r = next(x for x in tri[left] if x not in (p, q))
            s = next(x for x in tri[right] if x not in (p, q))
            if (r, s) in at or (s, r) in at:
                continue
            if angle(r, p, q) + angle(s, p, q) <= np.pi + 1e-6:
                continue
            if area(p, s, r) < 1e-3 or area(q, r, s) < 1e-3:
                continue
            tri[left], tri[right] = [p, s, r], [q, r, s]
            del at[p, q], at[q, p]
            for number in (left, right):
                t = tri[number]
                for i in range(3):
                    at[t[i], t[(i + 1) % 3]] = number
            changed += [tuple(sorted(e)) for e in ((p, s), (s, q), (q, r), (r, p))]  # type: ignore[misc]
        queue = sorted(set(changed))
        if not queue:
            break
    return np.array(tri, dtype=np.int64)


def build_cage(
    surface: ChartSurface, spacing: float = 2.8, ratio: float = 0.75, rounds: int = 80
) -> Cage:
    """Triangulate the chart with even triangles on the surface.

    Parameters
    ----------
    spacing : float
        Edge length in millimetres far from the rims of eyes, lips and nostrils.
    ratio : float
        Edge length on those rims relative to ``spacing``.
    rounds : int
        Steps of relaxation.
    """
    outline = draw_outline(surface, spacing, spacing * ratio)
    lookup = _Lookup(surface, outline.border)
    names = ("lid_margin", "lid_lining_0", "lip_edge", "upper_red", "lower_red", "nostril")
    fine = outline.points[np.concatenate([outline.rows[name] for name in names])]
    seeds = _seed(lookup, outline, fine, spacing, ratio)
    fixed = len(outline.points)
    points = np.concatenate([outline.points, seeds])
    # Twice: points that were caught too near to others are taken out in between.
    for _ in range(2):
        points = _relax(points, fixed, lookup, outline, fine, spacing, ratio, rounds)
        wanted = _size(points, fine, ratio) * spacing
        points = points[_uncrowded(lookup(points), 0.62 * wanted, fixed)]
    points = _relax(points, fixed, lookup, outline, fine, spacing, ratio, rounds // 4)
    points, half = _without_slivers(points, surface, outline)
    return _reflect(points, half, outline.rows)


def _without_slivers(
    points: np.ndarray, surface: ChartSurface, outline: Outline
) -> tuple[np.ndarray, np.ndarray]:
    """Triangulate; take out free points that make needles; again, until none does."""
    kept = {(int(a), int(b)) for a, b in outline.edges}
    for _ in range(6):
        xyz = surface(points)
        half = _flip_to_surface(_triangles(outline, points), xyz, points, kept)
        a, b, c = (xyz[half[:, i]] for i in range(3))
        sides = sum(((q - p) ** 2).sum(1) for p, q in ((a, b), (b, c), (c, a)))
        shape = 2 * np.sqrt(3) * np.linalg.norm(np.cross(b - a, c - a), axis=1) / sides
        spoilt = np.unique(half[shape < LEAST_SHAPE].max(1))  # free points come last
        spoilt = spoilt[spoilt >= len(outline.points)]
        if not len(spoilt):
            break
        points = np.delete(points, spoilt, axis=0)
    return points, half


def _reflect(points: np.ndarray, half: np.ndarray, rows: dict[str, np.ndarray]) -> Cage:
    """Add the mirror image of a half cage; points on the midline are shared."""
    used = np.unique(half)
    if len(used) != len(points):
        place = np.full(len(points), -1)
        place[used] = np.arange(len(used))
        points, half = points[used], place[half]
        rows = {name: place[row][place[row] >= 0] for name, row in rows.items()}
    count = len(points)
    off = np.flatnonzero(points[:, 0] > 0)
    mirror = np.arange(count + len(off))
    mirror[off] = count + np.arange(len(off))
    mirror[count:] = off
    chart = np.concatenate([points, points[off] * [-1, 1]])
    triangles = np.concatenate([half, mirror[half][:, [0, 2, 1]]])
    return Cage(chart, triangles, mirror, rows)
