"""UV textures taken from a photo; what the photo does not show is filled and marked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.images.decode import check_image
from facegeo.ops.implementations import Implementation
from facegeo.render.normals import vertex_normals
from facegeo.render.products import depth_slack, interpolate, points_visible
from facegeo.render.zbuffer import Raster, check_mesh, check_triangles, rasterize

#: A surface is trusted where it faces the viewer by at least this cosine (15 degrees from grazing).
_LEAST_FACING = 0.25

#: Where the outline of the meshes is nearer than this share of the face's extent, a surface is only
#: trusted if it faces the viewer by so much (37 degrees): else it goes on behind the outline, which
#: is right to about that share, and the photo may show the background. In profile the nose's ridge,
#: which the other side does not show either, would be a strip of it.
_OUTLINE, _LEAST_FACING_THERE = 0.02, 0.8

#: The two sides of a face are compared in a border of the seen part this many texels wide. Larger
#: differences (levels of 255) are things on one side, hair or a hand, rather than light.
_BORDER = 12
_MOST_DIFFERENT = 40


class TexelSource(IntEnum):
    """Source of a texel's colour."""

    EMPTY = 0  # no triangle lies there; the colour continues that of the nearest ones
    SEEN = 1  # the photo
    MIRRORED = 2  # the photo, at the mirrored place of the face
    FILLED = 3  # smoothly continued from around: neither side is seen


@dataclass(frozen=True, eq=False)
class Texture:
    """A UV texture.

    Attributes
    ----------
    image : (S, S, 3) uint8
        In the photo's channel order. Row 0 is v = 1 (v points up), column 0 is u = 0.
    source : (S, S) uint8
        A :class:`TexelSource` for each texel.
    """

    image: np.ndarray
    source: np.ndarray


def texel_positions(uv: np.ndarray, size: int) -> np.ndarray:
    """UV coordinates (u right, v up, 0..1) as points ``(U, 3)`` of a texture image, z = 0.

    Texel (row i, column j) has its centre at u = (j + 0.5) / size, v = 1 - (i + 0.5) / size.
    """
    points = np.zeros((len(uv), 3), np.float32)
    points[:, 0] = uv[:, 0] * size - 0.5
    points[:, 1] = (1 - uv[:, 1]) * size - 0.5
    return points


def sample_texture(
    image: Any,
    vertices: Any,
    triangles: Any,
    uv: Any,
    uv_triangles: Any,
    *,
    size: int = 1024,
    mirror: Any = None,
    raster: Raster | None = None,
    implementation: Implementation = "auto",
) -> Texture:
    """Texture of one face from a photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
    vertices : (V, 3) float32
        Photo pixels.
    triangles, uv_triangles : (F, 3) integers
        Row f of both is the same triangle: corners in ``vertices`` and in ``uv``.
    uv : (U, 2) float32
        u to the right, v up, 0..1.
    size : int
        Side of the texture in texels.
    mirror : (V,) integers, optional
        Row of each vertex' mirror image; occluded texels are then taken from the other side of the
        face where that is seen.
    raster : Raster, optional
        Drawn with all meshes that may hide this one; by default this mesh hides itself.
    implementation : {"auto", "numba", "numpy"}

    Returns
    -------
    Texture

    Raises
    ------
    InvalidImageError, InvalidInputError
        If the photo or another argument is not as stated.
    """
    image = check_image(image)
    placed = array_of("vertices", vertices, ("V", 3))
    meshes, triangles = check_mesh(placed, triangles)
    if not 1 <= size <= 8192:
        raise InvalidInputError(f"size: expected 1 to 8192 texels, got {size}")
    uv = array_of("uv", uv, ("U", 2))
    uv_triangles = check_triangles("uv_triangles", uv_triangles, len(uv))
    if len(uv_triangles) != len(triangles):
        raise InvalidInputError(
            f"uv_triangles: expected {len(triangles)} rows as in triangles, got {len(uv_triangles)}"
        )
    if raster is None:
        raster = rasterize(placed, triangles, *image.shape[:2], implementation=implementation)
    layout = rasterize(
        texel_positions(uv, size), uv_triangles, size, size, implementation=implementation
    )
    slack = depth_slack(meshes)
    extent = float(np.ptp(placed, axis=0).max()) if len(placed) else 0.0
    facing = _least_facing(raster, _OUTLINE * extent)
    geometry = np.hstack([placed, vertex_normals(placed, triangles)])
    own = _Samples(image, raster, facing, layout, triangles, geometry, slack, implementation)
    source = np.where(layout.covered, TexelSource.FILLED, TexelSource.EMPTY).astype(np.uint8)
    source[own.valid] = TexelSource.SEEN
    color = own.color
    if mirror is not None:
        rows = _check_mirror(mirror, len(placed))
        mirrored = geometry[rows]
        other = _Samples(image, raster, facing, layout, triangles, mirrored, slack, implementation)
        taken = other.valid & ~own.valid
        source[taken] = TexelSource.MIRRORED
        color = _matched(own, other)
    known = (source == TexelSource.SEEN) | (source == TexelSource.MIRRORED)
    filled = np.clip(np.rint(continued(color, known)), 0, 255).astype(np.uint8)
    return Texture(filled, source)


def _check_mirror(mirror: Any, count: int) -> np.ndarray:
    rows = array_of("mirror", mirror, (count,), np.int64)
    if count and (rows.min() < 0 or rows.max() >= count):
        raise InvalidInputError(
            f"mirror: expected vertex indices from 0 to {count - 1}, "
            f"got {rows.min()} to {rows.max()}"
        )
    return rows


class _Samples:
    """The photo's colours at the texels of a layout, for vertices with these places and normals.

    Attributes
    ----------
    color : (S, S, 3) float32
    valid : (S, S) bool
        The surface there is seen, and not too much from the side.
    """

    def __init__(
        self,
        image: np.ndarray,
        raster: Raster,
        least_facing: np.ndarray,
        layout: Raster,
        triangles: np.ndarray,
        geometry: np.ndarray,
        slack_px: float,
        implementation: Implementation,
    ) -> None:
        texels = interpolate(
            layout, triangles, geometry, background=-1e6, implementation=implementation
        )
        position, normal = texels[..., :3], texels[..., 3:]
        length = np.maximum(np.linalg.norm(normal, axis=2), 1e-6)
        x, y = (np.ascontiguousarray(position[..., axis]) for axis in range(2))
        self.valid = (
            layout.covered
            & points_visible(raster, position, slack_px)
            & (normal[..., 2] / length > cv2.remap(least_facing, x, y, cv2.INTER_NEAREST))
        )
        self.color = cv2.remap(
            image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)


def _least_facing(raster: Raster, outline_px: float) -> np.ndarray:
    """Cosine by which a surface must face the viewer at each pixel, (H, W) float32."""
    # The photo's border is no outline: there the face goes on.
    away = cv2.distanceTransform(raster.covered.astype(np.uint8), cv2.DIST_L2, 5)
    return np.where(away > outline_px, _LEAST_FACING, _LEAST_FACING_THERE).astype(np.float32)


def _matched(own: _Samples, other: _Samples) -> np.ndarray:
    """Own colours where seen, else the mirrored ones, without a step of brightness between.

    Faces are seldom lit evenly. What the two sides differ by along the border of the seen part is
    continued smoothly into the mirrored part and added there.
    """
    inside = cv2.distanceTransform(own.valid.astype(np.uint8), cv2.DIST_L2, 3)
    border = own.valid & other.valid & (inside <= _BORDER)
    difference = np.clip(own.color - other.color, -_MOST_DIFFERENT, _MOST_DIFFERENT)
    matched = other.color + continued(difference, border)
    result: np.ndarray = np.where(own.valid[..., None], own.color, matched)
    return result


def continued(color: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours ``(S, S, 3)`` with the unknown ones continued smoothly from the known (pull-push)."""
    weight = known.astype(np.float32)[..., None]
    if weight.all():
        return color
    if max(color.shape[:2]) == 1 or not known.any():
        return color * weight
    height, width = known.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(weight[..., 0], half, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(color * weight, half, interpolation=cv2.INTER_AREA)
    coarse = continued(mean / np.maximum(share, 1e-6)[..., None], share > 0)
    filled = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    result: np.ndarray = np.where(known[..., None], color, filled)
    return result
