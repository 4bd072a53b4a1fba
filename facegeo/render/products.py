"""Images and facts read off a z-buffer: depth, PNCC, any vertex attribute, visibility."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.ops.implementations import Implementation, choose_implementation
from facegeo.ops.threads import run_over_rows
from facegeo.render.normals import signed_areas
from facegeo.render.zbuffer import Raster, check_mesh, check_triangles, joined

#: Depth image: the farthest point is this bright, the nearest 255, the background 0.
_FAR_GREY = 40

#: 16-bit depth images: millimetres are ``(value - DEPTH_ZERO) / DEPTH_PER_MM``; 0 is no face.
DEPTH_ZERO: Final = 32768
DEPTH_PER_MM: Final = 100

#: A point is hidden by a surface that is nearer by more than this part of its mesh's extent.
_DEPTH_SLACK = 0.01


def interpolate(
    raster: Raster,
    triangles: Any,
    attributes: Any,
    *,
    background: float = 0.0,
    implementation: Implementation = "auto",
) -> np.ndarray:
    """Vertex attributes as an image.

    Parameters
    ----------
    raster : Raster
    triangles : (F, 3) integers
        Those the raster was drawn with, or another table with the same rows (as of a UV layout).
    attributes : (V, C) or (N, V, C) float32
        One set for all meshes, or one for each.
    background : float
        Value where nothing is seen.

    Returns
    -------
    (H, W, C) float32
    """
    one = np.ndim(attributes) == 2
    attributes = array_of("attributes", attributes, ("V", "C") if one else ("N", "V", "C"))
    if len(triangles) != raster.num_triangles:
        raise InvalidInputError(
            f"triangles: expected the raster's {raster.num_triangles} rows, got {len(triangles)}"
        )
    highest = int(raster.triangle.max(initial=-1))
    meshes = highest // max(raster.num_triangles, 1) + 1
    if not one and len(attributes) < meshes:
        raise InvalidInputError(
            f"attributes: expected at least {meshes} meshes as in the raster, got {len(attributes)}"
        )
    corners = check_triangles("triangles", triangles, attributes.shape[-2])
    triangle, values = raster.triangle, attributes
    if not one:
        values, corners = joined(attributes, corners)
    elif meshes > 1:
        triangle = np.where(triangle >= 0, triangle % raster.num_triangles, -1)
    # Zeros cost nothing until they are touched.
    out = np.zeros((*triangle.shape, values.shape[-1]), np.float32)
    if background != 0:
        out.fill(background)
    _mix(triangle, raster.barycentric, corners, values, out, implementation)
    return out


def _mix(
    triangle: np.ndarray,
    barycentric: np.ndarray,
    corners: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
    implementation: Implementation,
) -> None:
    if choose_implementation(implementation) == "numpy":
        seen = triangle >= 0
        # p[pixel, channel] = sum_k w[pixel, k] value[corner k of the pixel's triangle, channel]
        out[seen] = np.einsum("pk,pkc->pc", barycentric[seen], values[corners[triangle[seen]]])
        return
    from facegeo.render.zbuffer_numba import interpolate_rows

    run_over_rows(interpolate_rows, (triangle, barycentric, corners, values, out), len(triangle))


def depth_image(raster: Raster) -> np.ndarray:
    """Depth as a grey image for people: of each mesh the nearest point 255, the farthest 40.

    Returns
    -------
    (H, W) uint8, 0 where nothing is seen. Depth in pixels is ``raster.depth``.
    """
    image = np.zeros(raster.depth.shape, np.uint8)
    mesh = raster.mesh
    for index in range(int(mesh.max(initial=-1)) + 1):
        seen = mesh == index
        if seen.any():
            depth = raster.depth[seen]
            low = depth.min()
            extent = max(float(depth.max() - low), np.finfo(np.float32).tiny)
            image[seen] = np.rint(_FAR_GREY + (255 - _FAR_GREY) * ((depth - low) / extent))
    return image


def depth_map(raster: Raster, mm_per_px: Any = None) -> np.ndarray:
    """Depth as numbers, larger towards the viewer.

    Parameters
    ----------
    raster : Raster
    mm_per_px : (N,) array, optional
        Of each mesh. Without it the depth is in pixels, the unit of x and y.

    Returns
    -------
    (H, W) float32
        Pixels or millimetres; NaN where nothing is seen.

    Raises
    ------
    InvalidInputError
        If there are fewer meshes in ``mm_per_px`` than in the raster.
    """
    seen = raster.covered
    depth = np.where(seen, raster.depth, np.float32(np.nan))
    if mm_per_px is not None and seen.any():
        factors = array_of("mm_per_px", mm_per_px, ("N",))
        meshes = raster.mesh[seen]
        if meshes.max() >= len(factors):
            raise InvalidInputError(
                f"mm_per_px: expected a number for each of {meshes.max() + 1} meshes, "
                f"got {len(factors)}"
            )
        depth[seen] *= factors[meshes]
    return depth


def encode_depth(depth_mm: Any) -> np.ndarray:
    """A depth map in millimetres as a 16-bit image, in steps of 0.01 mm.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN where nothing is seen.

    Returns
    -------
    (H, W) uint16
        ``DEPTH_ZERO + DEPTH_PER_MM * depth``, from -327.67 to 327.67 mm and clipped beyond; 0 where
        nothing is seen.
    """
    depth = array_of("depth_mm", depth_mm, ("H", "W"), finite=False)
    levels = np.rint(DEPTH_ZERO + DEPTH_PER_MM * depth.astype(np.float64))
    image: np.ndarray = np.where(np.isnan(depth), 0, np.clip(levels, 1, 65535)).astype(np.uint16)
    return image


def decode_depth(image: Any) -> np.ndarray:
    """Millimetres, (H, W) float32, of what :func:`encode_depth` made; NaN where nothing is seen."""
    levels = array_of("image", image, ("H", "W"))
    depth: np.ndarray = (levels - np.float32(DEPTH_ZERO)) / np.float32(DEPTH_PER_MM)
    depth[levels == 0] = np.nan
    return depth


def normalized_coordinates(mean: Any) -> np.ndarray:
    """Normalised coordinate code: each vertex' place on the mean face as a colour.

    Parameters
    ----------
    mean : (V, 3) array
        Mean face in the model frame (x right, y up, z to the viewer).

    Returns
    -------
    (V, 3) float32
        x, y and z, each scaled to 0..1 over the face (3DDFA's NCC).
    """
    mean = array_of("mean", mean, ("V", 3))
    if len(mean) == 0:
        raise InvalidInputError("mean: expected at least one vertex, got none")
    low = mean.min(axis=0)
    extent = mean.max(axis=0) - low
    code: np.ndarray = (mean - low) / np.where(extent > 0, extent, 1)
    return code


def pncc_image(
    raster: Raster, triangles: Any, mean: Any, *, implementation: Implementation = "auto"
) -> np.ndarray:
    """Projected normalised coordinate code.

    Parameters
    ----------
    raster : Raster
    triangles : (F, 3) integers
    mean : (V, 3) array
        Mean face in the model frame.

    Returns
    -------
    (H, W, 3) float32
        Channels x, y, z in 0..1; zero where no face is. As an image x is red, y green, z blue:
        ``(255 * pncc[..., ::-1]).round().astype(numpy.uint8)`` is BGR.
    """
    return interpolate(
        raster, triangles, normalized_coordinates(mean), implementation=implementation
    )


def points_visible(raster: Raster, points: np.ndarray, slack_px: float | np.ndarray) -> np.ndarray:
    """True where points lie in the photo and nothing in front of them is nearer by ``slack_px``.

    A point between pixel centres is compared with the farthest of the four around it, so points
    on a silhouette count as visible.

    Parameters
    ----------
    points : (..., 3) float32
        Photo pixels.
    slack_px : float, or (...) float

    Returns
    -------
    (...) bool
    """
    height, width = raster.depth.shape
    x, y, z = np.moveaxis(points, -1, 0)
    inside: np.ndarray = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    column = np.clip(np.floor(np.where(inside, x, 0)), 0, width - 1).astype(np.intp)
    row = np.clip(np.floor(np.where(inside, y, 0)), 0, height - 1).astype(np.intp)
    below, right = np.minimum(row + 1, height - 1), np.minimum(column + 1, width - 1)
    farthest = raster.depth[row, column]
    for i, j in ((row, right), (below, column), (below, right)):
        farthest = np.minimum(farthest, raster.depth[i, j])
    return inside & (z >= farthest - slack_px)


def depth_slack(vertices: np.ndarray) -> float:
    """Tolerance of visibility in pixels for meshes ``(N, V, 3)``: 1 % of the mean extent."""
    if vertices.size == 0:
        return 0.0
    return _DEPTH_SLACK * float(np.ptp(vertices, axis=1).max(axis=1).mean())


def visible_vertices(
    raster: Raster, vertices: Any, triangles: Any, *, slack_px: float | None = None
) -> np.ndarray:
    """Vertices that the viewer sees.

    A vertex is seen if it lies in the photo, no surface is in front of it, and its normal points
    towards the viewer. Hidden vertices less than a pixel from the border of what hides them may
    count as seen.

    Parameters
    ----------
    raster : Raster
        Drawn with all meshes that may hide something.
    vertices : (V, 3) or (N, V, 3) float32
        Photo pixels.
    triangles : (F, 3) integers
    slack_px : float, optional
        How much nearer a surface must be to hide a vertex; 1 % of the mesh's extent by default.

    Returns
    -------
    (V,) or (N, V) bool
    """
    meshes, triangles = check_mesh(vertices, triangles)
    if slack_px is None:
        slack_px = depth_slack(meshes)
    seen = points_visible(raster, meshes, slack_px)
    for mesh, placed in enumerate(meshes):
        # The z component of the normals, up to a positive factor.
        towards = np.repeat(-signed_areas(placed, triangles), 3)
        seen[mesh] &= np.bincount(triangles.ravel(), towards, len(placed)) > 0
    return seen[0] if np.ndim(vertices) == 2 else seen
