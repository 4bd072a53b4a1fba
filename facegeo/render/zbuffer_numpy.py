"""The z-buffer without Numba: the same arithmetic on all pixels of many triangles at once."""

from __future__ import annotations

import numpy as np

#: Pixels of bounding boxes that are tested at a time (about 200 bytes each).
_CHUNK_PIXELS = 1_000_000


def _includes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """True where points on the edges a -> b, ``(F, 3)`` each, are inside: left or top edges."""
    inside: np.ndarray = (b[:, 1] < a[:, 1]) | ((b[:, 1] == a[:, 1]) & (b[:, 0] > a[:, 0]))
    return inside


def _boxes(corners: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel (x, y) and size (w, h) of each triangle's pixels, from ``(F, 3, 3)`` corners."""
    limit = np.array([width - 1, height - 1])
    first = np.ceil(np.clip(corners[:, :, :2].min(axis=1), 0, limit + 1)).astype(np.int64)
    last = np.floor(np.clip(corners[:, :, :2].max(axis=1), -1, limit)).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)


def draw_triangles(
    points: np.ndarray,
    corners: np.ndarray,
    cull: bool,
    triangle: np.ndarray,
    barycentric: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Clear and draw; arguments as in :class:`facegeo.render.Raster`."""
    triangle.fill(-1)
    depth.fill(-np.inf)
    if len(corners) == 0:
        return
    placed = points[corners].astype(np.float64)  # (F, 3, 3)
    first, size = _boxes(placed, *triangle.shape)
    pixels = size[:, 0] * size[:, 1]
    side = placed[:, 1:] - placed[:, :1]
    area = side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0]
    kept = np.flatnonzero((pixels > 0) & (area != 0) & ~(cull & (area > 0)))
    chunk = np.cumsum(pixels[kept]) // _CHUNK_PIXELS
    for part in np.split(kept, np.flatnonzero(np.diff(chunk)) + 1):
        if len(part):
            _draw_chunk(
                placed[part],
                area[part],
                part,
                first[part],
                size[part],
                triangle,
                barycentric,
                depth,
            )


def _draw_chunk(
    placed: np.ndarray,
    area: np.ndarray,
    indices: np.ndarray,
    first: np.ndarray,
    size: np.ndarray,
    triangle: np.ndarray,
    barycentric: np.ndarray,
    depth: np.ndarray,
) -> None:
    pixels = size[:, 0] * size[:, 1]
    of = np.repeat(np.arange(len(placed)), pixels)  # triangle of each candidate pixel
    within = np.arange(len(of)) - np.repeat(np.cumsum(pixels) - pixels, pixels)
    column = first[of, 0] + within % size[of, 0]
    row = first[of, 1] + within // size[of, 0]
    weights, inside = _weights(placed, area, of, column, row)
    weights, of, column, row = weights[:, inside], of[inside], column[inside], row[inside]
    z = placed[of, :, 2]
    z = (weights[0] * z[:, 0] + weights[1] * z[:, 1] + weights[2] * z[:, 2]).astype(np.float32)
    # Of the candidates of a pixel the first in this order is drawn.
    place = row * triangle.shape[1] + column
    order = np.lexsort((indices[of], -z, place))
    order = order[np.diff(place[order], prepend=-1) != 0]
    order = order[z[order] > depth[row[order], column[order]]]
    row, column = row[order], column[order]
    depth[row, column] = z[order]
    triangle[row, column] = indices[of[order]]
    barycentric[row, column] = weights[:, order].T


def _weights(
    placed: np.ndarray, area: np.ndarray, of: np.ndarray, column: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric weights ``(3, P)`` of pixel centres, and which of them are inside."""
    turn = np.where(area > 0, 1.0, -1.0)
    scale = (1.0 / np.abs(area))[of]
    u = placed[of, :, 0] - column[:, None]
    v = placed[of, :, 1] - row[:, None]
    inside = np.ones(len(of), bool)
    weights = np.empty((3, len(of)))
    for corner in range(3):
        after, last = (corner + 1) % 3, (corner + 2) % 3
        a, b = placed[:, after], placed[:, last]
        swapped = (turn < 0)[:, None]
        included = _includes(np.where(swapped, b, a), np.where(swapped, a, b))
        edge = turn[of] * (u[:, after] * v[:, last] - v[:, after] * u[:, last])
        inside &= (edge > 0) | ((edge == 0) & included[of])
        weights[corner] = edge * scale
    return weights, inside
