"""The z-buffer's inner loop, compiled. Threads share no pixel: each draws its own rows."""

from __future__ import annotations

import math

import numba
import numpy as np

from facegeo.ops.jit import compiled

# Rows of a triangle are narrowed to the pixels inside before these are tested. In triangles of at
# most 4096 px an edge function is off by less than 1e-8, so with slopes of at least 1e-3 its zero
# is off by less than 1e-5 px.
_NARROWED = 4096.0
_LEAST_SLOPE = 1e-3
_SPAN_MARGIN = 1e-3


@numba.njit(inline="always")
def _includes(ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """True if points on the edge a -> b are inside: a left edge (upwards) or a top edge."""
    return by < ay or (by == ay and bx > ax)


@numba.njit(inline="always", error_model="numpy")
def _clip_span(value, run, start, left, right):  # type: ignore[no-untyped-def]
    """Columns from ``left`` to ``right`` in which an edge function may not be negative.

    It has ``value`` in column ``start``. The span is a little too wide, never too narrow: pixels in
    it are tested exactly.
    """
    zero = start - value * run
    if run > 0:
        left = max(left, zero - _SPAN_MARGIN)
    elif run < 0:
        right = min(right, zero + _SPAN_MARGIN)
    return left, right


@numba.njit(inline="always")
def _run(slope):  # type: ignore[no-untyped-def]
    """1 / slope, or 0 for an edge too flat to narrow a row by."""
    return 1.0 / slope if abs(slope) > _LEAST_SLOPE else 0.0


@compiled(error_model="numpy")
def draw_rows(points, corners, cull, triangle, barycentric, depth, first, last):  # type: ignore[no-untyped-def]
    """Clear and draw rows ``first`` to ``last``; arguments as in :class:`Raster`."""
    width = triangle.shape[1]
    for row in range(first, last):  # slices would double the time to compile
        for column in range(width):
            triangle[row, column] = -1
            depth[row, column] = -np.inf
    for index in range(len(corners)):
        a, b, c = corners[index, 0], corners[index, 1], corners[index, 2]
        y0, y1, y2 = points[a, 1], points[b, 1], points[c, 1]
        top, bottom = min(y0, y1, y2), max(y0, y1, y2)
        if bottom < first or top > last - 1:
            continue
        x0, x1, x2 = points[a, 0], points[b, 0], points[c, 0]
        left, right = min(x0, x1, x2), max(x0, x1, x2)
        if right < 0 or left > width - 1:
            continue
        row_0, row_1 = math.ceil(max(top, first)), math.floor(min(bottom, last - 1))
        col_0, col_1 = math.ceil(max(left, 0)), math.floor(min(right, width - 1))
        if row_0 > row_1 or col_0 > col_1:
            continue
        _draw_triangle(
            points, a, b, c, index, cull, triangle, barycentric, depth, row_0, row_1, col_0, col_1
        )


@numba.njit(inline="always", error_model="numpy")
def _draw_triangle(  # type: ignore[no-untyped-def]
    points, a, b, c, index, cull, triangle, barycentric, depth, row_0, row_1, col_0, col_1
):
    x0, y0, z0 = np.float64(points[a, 0]), np.float64(points[a, 1]), np.float64(points[a, 2])
    x1, y1, z1 = np.float64(points[b, 0]), np.float64(points[b, 1]), np.float64(points[b, 2])
    x2, y2, z2 = np.float64(points[c, 0]), np.float64(points[c, 1]), np.float64(points[c, 2])
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    if area == 0 or (cull and area > 0):
        return
    # Turn the edge functions so that they are positive inside.
    turn = 1.0 if area > 0 else -1.0
    if area > 0:
        on_0, on_1, on_2 = (
            _includes(x1, y1, x2, y2),
            _includes(x2, y2, x0, y0),
            _includes(x0, y0, x1, y1),
        )
    else:
        on_0, on_1, on_2 = (
            _includes(x2, y2, x1, y1),
            _includes(x0, y0, x2, y2),
            _includes(x1, y1, x0, y0),
        )
    scale = 1.0 / abs(area)
    # Columns in which an edge function grows by one.
    run_0, run_1, run_2 = _run(turn * (y1 - y2)), _run(turn * (y2 - y0)), _run(turn * (y0 - y1))
    narrow = max(x0, x1, x2) - min(x0, x1, x2) < _NARROWED and (
        max(y0, y1, y2) - min(y0, y1, y2) < _NARROWED
    )
    for row in range(row_0, row_1 + 1):
        v0, v1, v2 = y0 - row, y1 - row, y2 - row
        left, right = np.float64(col_0), np.float64(col_1)
        if narrow:
            u0, u1, u2 = x0 - col_0, x1 - col_0, x2 - col_0
            left, right = _clip_span(turn * (u1 * v2 - v1 * u2), run_0, col_0, left, right)
            left, right = _clip_span(turn * (u2 * v0 - v2 * u0), run_1, col_0, left, right)
            left, right = _clip_span(turn * (u0 * v1 - v0 * u1), run_2, col_0, left, right)
        for column in range(math.ceil(left), math.floor(right) + 1):
            u0, u1, u2 = x0 - column, x1 - column, x2 - column
            # Exactly the negative for the neighbour, which has the edge's ends swapped.
            e0 = turn * (u1 * v2 - v1 * u2)
            e1 = turn * (u2 * v0 - v2 * u0)
            e2 = turn * (u0 * v1 - v0 * u1)
            if e0 < 0 or e1 < 0 or e2 < 0:
                continue
            if (e0 == 0 and not on_0) or (e1 == 0 and not on_1) or (e2 == 0 and not on_2):
                continue
            w0, w1, w2 = e0 * scale, e1 * scale, e2 * scale
            z = np.float32(w0 * z0 + w1 * z1 + w2 * z2)
            if z > depth[row, column]:
                depth[row, column] = z
                triangle[row, column] = index
                barycentric[row, column, 0] = w0
                barycentric[row, column, 1] = w1
                barycentric[row, column, 2] = w2


@compiled()
def interpolate_rows(triangle, barycentric, corners, attributes, out, first, last):  # type: ignore[no-untyped-def]
    """Attributes of the corners (V, C) mixed in each covered pixel of some rows of ``out``."""
    channels = attributes.shape[1]
    for row in range(first, last):
        for column in range(triangle.shape[1]):
            index = triangle[row, column]
            if index < 0:
                continue
            a, b, c = corners[index, 0], corners[index, 1], corners[index, 2]
            w0 = barycentric[row, column, 0]
            w1 = barycentric[row, column, 1]
            w2 = barycentric[row, column, 2]
            for channel in range(channels):
                out[row, column, channel] = (
                    w0 * attributes[a, channel]
                    + w1 * attributes[b, channel]
                    + w2 * attributes[c, channel]
                )
