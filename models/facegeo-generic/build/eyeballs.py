"""The eyeballs: the fronts of two spheres behind the lids."""

from __future__ import annotations

import numpy as np

from . import controls

#: Rings of the cap and its half angle, degrees: what lids of any opening can show, and a little.
RINGS = 16
HALF_ANGLE_DEG = 74.0


def eyeball(spacing: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    """A cap of the left eyeball, its pole towards the viewer.

    Returns
    -------
    (n, 3) float64
        Millimetres.
    (t, 3) int64
        Counter-clockwise seen from outside. The cap is its own mirror image in x = eye centre,
        but rows are not ordered for that: the right eye is made by reflection.
    """
    radius = controls.EYE_RADIUS
    angles = np.radians(HALF_ANGLE_DEG) * np.arange(RINGS + 1) / RINGS
    counts = [1] + [max(6, round(2 * np.pi * radius * np.sin(a) / spacing)) for a in angles[1:]]
    rings, first = [], [0]
    for angle, count in zip(angles, counts, strict=True):
        turn = 2 * np.pi * np.arange(count) / count
        rings.append(
            radius
            * np.stack(
                [
                    np.sin(angle) * np.cos(turn),
                    np.sin(angle) * np.sin(turn),
                    np.full(count, np.cos(angle)),
                ],
                -1,
            )
        )
        first.append(first[-1] + count)
    triangles: list[tuple[int, int, int]] = []
    for ring in range(RINGS):
        triangles += _zip(first[ring], counts[ring], first[ring + 1], counts[ring + 1])
    return np.concatenate(rings) + controls.EYE_CENTRE, np.array(triangles)


def _zip(inner: int, n: int, outer: int, m: int) -> list[tuple[int, int, int]]:
    """Triangles between two rings that start at the same angle."""
    if n == 1:
        return [(inner, outer + j, outer + (j + 1) % m) for j in range(m)]
    triangles = []
    i = j = 0
    while i < n or j < m:
        # Advance on the ring whose next point comes first.
        if j < m and (i == n or (j + 0.5) / m <= (i + 0.5) / n):
            triangles.append((inner + i % n, outer + j, outer + (j + 1) % m))
            j += 1
        else:
            triangles.append((inner + i, outer + j % m, inner + (i + 1) % n))
            i += 1
    return triangles
