"""The z-buffer: which triangle is seen in which pixel, where in it, and how near.

Rules of coverage, depth and facing: :mod:`facegeo.render`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.ops.implementations import Implementation, choose_implementation
from facegeo.ops.threads import default_threads, run_parallel

#: Images beyond this size are a mistake in the arguments.
_MAX_SIDE = 32768


@dataclass(frozen=True, eq=False)
class Raster:
    """Meshes as an image sees them; row i, column j is the pixel whose centre is (x=j, y=i).

    Attributes
    ----------
    triangle : (H, W) int32
        Index of the triangle that is seen, -1 where none is. With several meshes it counts on:
        ``mesh * num_triangles + triangle``.
    barycentric : (H, W, 3) float32
        Weights of the triangle's three corners at the pixel's centre; they sum to one. Zero where
        nothing is seen.
    depth : (H, W) float32
        z in pixels, larger towards the viewer; minus infinity where nothing is seen.
    num_triangles : int
        Triangles of one mesh.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray
    num_triangles: int

    @property
    def covered(self) -> np.ndarray:
        """(H, W) bool: something is seen."""
        seen: np.ndarray = self.triangle >= 0
        return seen

    @property
    def mesh(self) -> np.ndarray:
        """(H, W) int32: index of the mesh that is seen, -1 where none is."""
        index: np.ndarray = self.triangle // max(self.num_triangles, 1)
        return index


def check_triangles(name: str, triangles: Any, count: int) -> np.ndarray:
    """Triangles as ``(F, 3)`` int32 whose corners are rows of a table of ``count``."""
    kind = np.asarray(triangles).dtype.kind
    checked = array_of(name, triangles, ("F", 3), np.int64)
    if len(checked):
        if kind not in "iu":
            raise InvalidInputError(f"{name}: expected whole numbers, got floating-point ones")
        low, high = int(checked.min()), int(checked.max())
        if low < 0 or high >= count:
            raise InvalidInputError(
                f"{name}: expected indices from 0 to {count - 1}, got {low} to {high}"
            )
    return checked.astype(np.int32)


def check_mesh(vertices: Any, triangles: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertices as ``(N, V, 3)`` float32, also of one mesh, and triangles as ``(F, 3)`` int32."""
    one = np.ndim(vertices) == 2
    vertices = array_of("vertices", vertices, ("V", 3) if one else ("N", "V", 3))
    triangles = check_triangles("triangles", triangles, vertices.shape[-2])
    return (vertices[None] if one else vertices), triangles


def joined(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """N meshes or their attributes ``(N, V, C)`` as one: ``(N * V, C)``, and triangles for it."""
    count, size = vertices.shape[:2]
    if count * max(size, len(triangles)) > np.iinfo(np.int32).max:
        raise InvalidInputError(f"vertices: {count} meshes of {size} vertices are too many at once")
    if count == 1:
        return vertices[0], triangles
    offsets = np.arange(count, dtype=np.int32)[:, None, None] * np.int32(size)
    return vertices.reshape(-1, vertices.shape[2]), (triangles + offsets).reshape(-1, 3)


def _bands(vertices: np.ndarray, height: int, parts: int) -> list[tuple[int, int]]:
    """Rows in bands with about as many vertices each; all rows belong to one."""
    if len(vertices) == 0 or parts == 1:
        return [(0, height)]
    sample = vertices[:: max(1, len(vertices) // 2048), 1]
    rows = np.quantile(sample, np.linspace(0, 1, parts + 1)[1:-1])
    borders = np.unique(np.clip(np.rint([0, *rows, height]), 0, height).astype(int))
    return list(pairwise(borders.tolist()))


def rasterize(
    vertices: Any,
    triangles: Any,
    height: int,
    width: int,
    *,
    cull_back_faces: bool = False,
    threads: int | None = None,
    implementation: Implementation = "auto",
) -> Raster:
    """Draw meshes into a z-buffer.

    Parameters
    ----------
    vertices : (V, 3) or (N, V, 3) float32
        One mesh or several, photo pixels.
    triangles : (F, 3) integers
        The same for all meshes. May be empty.
    height, width : int
        Size of the photo, at least one pixel. Meshes may lie partly or wholly outside.
    cull_back_faces : bool
        Leave out triangles that face away from the viewer.
    threads : int, optional
        By default the cores this process may use, at most 8.
    implementation : {"auto", "numba", "numpy"}
        As in :class:`facegeo.ops.mesh.MeshKernel`; both give the same result to the last bit.

    Returns
    -------
    Raster

    Raises
    ------
    InvalidInputError
        If a shape is wrong, a vertex is not finite, or an index is out of range.
    """
    for name, side in (("height", height), ("width", width)):
        if not isinstance(side, int | np.integer) or not 1 <= side <= _MAX_SIDE:
            raise InvalidInputError(
                f"{name}: expected a whole number from 1 to {_MAX_SIDE}, got {side!r}"
            )
    meshes, triangles = check_mesh(vertices, triangles)
    points, corners = joined(meshes, triangles)
    triangle = np.empty((height, width), np.int32)
    depth = np.empty((height, width), np.float32)
    # Zeros cost nothing until they are touched, and only covered pixels are.
    barycentric = np.zeros((height, width, 3), np.float32)
    raster = Raster(triangle, barycentric, depth, len(triangles))
    if choose_implementation(implementation) == "numpy":
        from facegeo.render.zbuffer_numpy import draw_triangles

        draw_triangles(points, corners, cull_back_faces, triangle, barycentric, depth)
        return raster
    from facegeo.render.zbuffer_numba import draw_rows

    threads = threads or default_threads()
    calls = [
        (points, corners, cull_back_faces, triangle, barycentric, depth, *band)
        for band in _bands(points, height, 2 * threads if threads > 1 else 1)
    ]
    run_parallel(draw_rows, calls, threads)
    return raster
