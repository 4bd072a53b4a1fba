"""Overlays as compiled loops: one pass over the vertices, one over the pixels under the mesh.

The same as the NumPy code in :mod:`facegeo.render.overlay`, which defines the result, to one level.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from facegeo.ops.jit import compiled


@compiled()
def add_normals(points, corners, first, last, total):  # type: ignore[no-untyped-def]
    """Add the outward normals of triangles ``first`` to ``last`` to those of their corners."""
    for index in range(first, last):
        a, b, c = corners[index, 0], corners[index, 1], corners[index, 2]
        ux, uy, uz = (
            points[b, 0] - points[a, 0],
            points[b, 1] - points[a, 1],
            points[b, 2] - points[a, 2],
        )
        vx, vy, vz = (
            points[c, 0] - points[a, 0],
            points[c, 1] - points[a, 1],
            points[c, 2] - points[a, 2],
        )
        # A reflection (y down) turns the cross product around.
        nx, ny, nz = uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy
        for corner in (a, b, c):
            total[corner, 0] += nx
            total[corner, 1] += ny
            total[corner, 2] += nz


@numba.njit(inline="always")
def _power_24(x):  # type: ignore[no-untyped-def]
    """x ** 24 in five products; the general power takes ten times as long."""
    x3 = x * x * x
    x6 = x3 * x3
    x12 = x6 * x6
    return x12 * x12


@compiled(error_model="numpy")
def shade_rows(normals, towards, half, strength, ambient, shine, color, paint, first, last):  # type: ignore[no-untyped-def]
    """Colours (V, 3) of vertices ``first`` to ``last`` with normals of any length.

    ``towards``, ``half`` (L, 3) are the unit vectors to the lights and halfway to the viewer.
    """
    for vertex in range(first, last):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = math.sqrt(x * x + y * y + z * z)
        scale = np.float32(1 / length) if length > 1e-10 else np.float32(0)
        if z < 0:  # the inner side of an open surface is lit as well
            scale = -scale
        light, gloss = ambient, np.float32(0)
        for index in range(len(strength)):
            direct = (x * towards[index, 0] + y * towards[index, 1] + z * towards[index, 2]) * scale
            mirrored = (x * half[index, 0] + y * half[index, 1] + z * half[index, 2]) * scale
            light += strength[index] * max(direct, np.float32(0))
            gloss += strength[index] * _power_24(max(mirrored, np.float32(0)))
        for channel in range(3):
            value = color[channel] * light + shine * gloss
            paint[vertex, channel] = min(max(value, np.float32(0)), np.float32(255))


@numba.njit(inline="always")
def _mix(image, row, column, red, green, blue, opacity):  # type: ignore[no-untyped-def]
    """Lay a colour, already times its opacity, over a pixel."""
    rest = np.float32(1) - opacity
    half = np.float32(0.5)
    for channel, value in ((0, red), (1, green), (2, blue)):
        mixed = image[row, column, channel] * rest + value + half
        image[row, column, channel] = np.uint8(min(max(mixed, np.float32(0)), np.float32(255)))


@compiled()
def blend_surface(  # type: ignore[no-untyped-def]
    triangle, barycentric, corners, paint, opacity, samples, image, top, left, first, last
):
    """Lay shaded meshes over rows ``first`` to ``last`` (of the covered part) of a photo, in place.

    ``triangle`` and ``barycentric`` are those of :class:`Raster`, ``samples`` times as fine;
    ``top`` and ``left`` are where the part begins in the photo.
    """
    share = opacity / np.float32(samples * samples)
    for row in range(first, last):
        for column in range(triangle.shape[1] // samples):
            red, green, blue, seen = np.float32(0), np.float32(0), np.float32(0), 0
            for i in range(row * samples, row * samples + samples):
                for j in range(column * samples, column * samples + samples):
                    index = triangle[i, j]
                    if index < 0:
                        continue
                    seen += 1
                    for k in range(3):
                        weight, corner = barycentric[i, j, k], corners[index, k]
                        red += weight * paint[corner, 0]
                        green += weight * paint[corner, 1]
                        blue += weight * paint[corner, 2]
            if seen:
                _mix(
                    image,
                    top + row,
                    left + column,
                    red * share,
                    green * share,
                    blue * share,
                    seen * share,
                )


@compiled()
def blend_edges(  # type: ignore[no-untyped-def]
    triangle, barycentric, heights, reach, color, opacity, samples, image, top, left, first, last
):
    """As :func:`blend_surface`, but only where a sample is nearer than ``reach`` to an edge.

    ``heights`` (F, 3) are those of the triangles in samples: a weight is the distance to the
    opposite edge in heights.
    """
    share = opacity / np.float32(samples * samples)
    for row in range(first, last):
        for column in range(triangle.shape[1] // samples):
            total = np.float32(0)
            for i in range(row * samples, row * samples + samples):
                for j in range(column * samples, column * samples + samples):
                    index = triangle[i, j]
                    if index < 0:
                        continue
                    distance = min(
                        barycentric[i, j, 0] * heights[index, 0],
                        barycentric[i, j, 1] * heights[index, 1],
                        barycentric[i, j, 2] * heights[index, 2],
                    )
                    total += min(max(reach - distance, np.float32(0)), np.float32(1))
            if total > 0:
                strength = total * share
                _mix(
                    image,
                    top + row,
                    left + column,
                    strength * color[0],
                    strength * color[1],
                    strength * color[2],
                    strength,
                )
