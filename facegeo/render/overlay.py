"""Meshes drawn over a photo: a shaded or a textured surface, or its visible edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import flip_y
from facegeo.images.decode import check_image
from facegeo.ops.implementations import Implementation, choose_implementation
from facegeo.ops.threads import run_over_rows
from facegeo.render.normals import signed_areas, vertex_normals
from facegeo.render.products import interpolate
from facegeo.render.zbuffer import Raster, check_mesh, check_triangles, joined, rasterize

# Directions to the lights in the y-up frame and their strengths: a key light from the upper left,
# a weak one from the lower right, and the rest from everywhere.
_LIGHTS = (((-0.45, 0.6, 0.75), 0.62), ((0.8, -0.1, 0.5), 0.18))
_AMBIENT = 0.26
_SHINE = 0.22
_SHININESS = 24

_MARGIN = 2  # pixels around a mesh that its smoothed border may touch


def _fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise InvalidInputError(f"{name}: expected a number from 0 to 1, got {value}")
    return float(value)


class _Canvas:
    """The part of a photo that meshes cover, drawn ``samples`` times finer in both directions."""

    def __init__(
        self, image: np.ndarray, meshes: np.ndarray, triangles: np.ndarray, samples: int, **how: Any
    ) -> None:
        if samples not in (1, 2, 3, 4):
            raise InvalidInputError(f"samples: expected 1, 2, 3 or 4, got {samples}")
        height, width = image.shape[:2]
        limit = np.array([width, height])
        flat = meshes[..., :2].reshape(-1, 2) if meshes.size else np.zeros((1, 2), np.float32)
        first = np.floor(np.clip(flat.min(axis=0) - _MARGIN, 0, limit)).astype(int)
        last = np.ceil(np.clip(flat.max(axis=0) + _MARGIN, 0, limit)).astype(int)
        self.samples, self.top, self.left = samples, int(first[1]), int(first[0])
        self.empty = bool((last <= first).any()) or meshes.size == 0 or len(triangles) == 0
        self.rows, self.columns = slice(first[1], last[1]), slice(first[0], last[0])
        if self.empty:
            return
        # Sample k of a pixel has its centre at (k + 0.5) / samples - 0.5 from the pixel's.
        shift = np.array([*first, 0], np.float32)
        self.vertices = (meshes - shift) * np.float32(samples)
        self.vertices[..., :2] += np.float32((samples - 1) / 2)
        self.size_wh = tuple(int(n) for n in last - first)
        self.raster: Raster = rasterize(
            self.vertices,
            triangles,
            self.size_wh[1] * samples,
            self.size_wh[0] * samples,
            **how,
        )

    def blend_compiled(self, image: np.ndarray, blend: Any, *arguments: Any) -> np.ndarray:
        """A copy of the photo with a compiled blend run over the rows that are covered."""
        result = np.array(image, order="C")
        seen = (self.raster.triangle, self.raster.barycentric)
        how = (self.samples, result, self.top, self.left)
        run_over_rows(blend, (*seen, *arguments, *how), self.size_wh[1])
        return result

    def blend(self, image: np.ndarray, layer: np.ndarray) -> np.ndarray:
        """A copy of the photo under samples ``(h, w, 4)``: colour times opacity, and opacity."""
        if layer.shape[:2] != self.size_wh[::-1]:
            layer = cv2.resize(layer, self.size_wh, interpolation=cv2.INTER_AREA)
        result = image.copy()
        part = result[self.rows, self.columns]
        mixed = part * (1 - layer[..., 3:])
        mixed += layer[..., :3]
        part[...] = np.clip(mixed + np.float32(0.5), 0, 255)
        return result


def _lights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors to the lights and halfway to the viewer, photo frame, and their strengths."""
    towards = flip_y(np.array([direction for direction, _ in _LIGHTS]))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    half = towards + np.array([0, 0, 1])
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    strength = np.array([strength for _, strength in _LIGHTS])
    return towards.astype(np.float32), half.astype(np.float32), strength.astype(np.float32)


def _shade(normals: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Colours 0..255 of a matt, slightly shiny surface with photo-frame unit normals (..., 3)."""
    # The inner side of an open surface is lit as well, from the same lights.
    normals = normals * np.where(normals[..., 2:] < 0, np.float32(-1), np.float32(1))
    light = np.full(normals.shape[:-1], _AMBIENT, np.float32)
    shine = np.zeros_like(light)
    for towards, half, strength in zip(*_lights(), strict=True):
        light += strength * np.maximum(normals @ towards, 0)
        shine += strength * np.maximum(normals @ half, 0) ** _SHININESS
    shaded: np.ndarray = color * light[..., None] + np.float32(255 * _SHINE) * shine[..., None]
    return np.clip(shaded, 0, 255)


def _shade_compiled(points: np.ndarray, corners: np.ndarray, color: np.ndarray) -> np.ndarray:
    """:func:`_shade` of the vertices' own normals: (V, 3)."""
    from facegeo.render.overlay_numba import add_normals, shade_rows

    normals = np.zeros((len(points), 3), np.float32)
    add_normals(points, corners, 0, len(corners), normals)
    paint = np.empty((len(points), 3), np.float32)
    look = np.float32(_AMBIENT), np.float32(255 * _SHINE), color
    run_over_rows(shade_rows, (normals, *_lights(), *look, paint), len(points))
    return paint


def draw_mesh(
    image: Any,
    vertices: Any,
    triangles: Any,
    *,
    color: Sequence[float] = (226, 214, 200),
    opacity: float = 0.85,
    samples: int = 2,
    implementation: Implementation = "auto",
) -> np.ndarray:
    """Meshes as smooth shaded surfaces over a photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Not changed.
    vertices : (V, 3) or (N, V, 3) float32
        Photo pixels.
    triangles : (F, 3) integers
    color : three numbers in 0..255
        Of the surface, in the photo's channel order.
    opacity : float
        0 leaves the photo as it is, 1 covers it.
    samples : {1, 2, 3, 4}
        Samples a pixel in each direction; 2 smooths the borders, 1 is the fastest.
    implementation : {"auto", "numba", "numpy"}

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    InvalidImageError, InvalidInputError
        If the photo or another argument is not as stated.
    """
    image = check_image(image)
    opacity = _fraction("opacity", opacity)
    surface = array_of("color", color, (3,))
    meshes, triangles = check_mesh(vertices, triangles)
    canvas = _Canvas(image, meshes, triangles, samples, implementation=implementation)
    if canvas.empty:
        return image.copy()
    # Lit at the vertices: on a dense mesh this looks like lighting each pixel, and is far cheaper.
    if choose_implementation(implementation) == "numba":
        from facegeo.render.overlay_numba import blend_surface

        points, corners = joined(meshes, triangles)
        shaded = _shade_compiled(points, corners, surface)
        return canvas.blend_compiled(image, blend_surface, corners, shaded, np.float32(opacity))
    normals = np.stack([vertex_normals(mesh, triangles) for mesh in meshes])
    paint = np.full((*normals.shape[:2], 4), opacity, np.float32)
    paint[..., :3] *= _shade(normals, surface)
    return canvas.blend(
        image, interpolate(canvas.raster, triangles, paint, implementation=implementation)
    )


def draw_textured(
    image: Any,
    vertices: Any,
    triangles: Any,
    textures: Any,
    uv: Any,
    uv_triangles: Any = None,
    *,
    opacity: float = 1.0,
    lit: bool = True,
    samples: int = 2,
    implementation: Implementation = "auto",
) -> np.ndarray:
    """Meshes over a photo, each with its texture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Not changed.
    vertices : (V, 3) or (N, V, 3) float32
        Photo pixels.
    triangles : (F, 3) integers
    textures : (S, T, 3) uint8, or a sequence of N of them
        In the photo's channel order; row 0 is v = 1, column 0 is u = 0.
    uv : (U, 2) float32
        u to the right, v up, 0..1.
    uv_triangles : (F, 3) integers, optional
        Row of ``uv`` of every corner; ``triangles`` without it.
    opacity : float
        0 leaves the photo as it is, 1 covers it.
    lit : bool
        Light the surface from where :func:`draw_mesh` does, half as strongly, so that its shape
        shows; else the texture's colours are drawn as they are.
    samples : {1, 2, 3, 4}
        Samples a pixel in each direction.
    implementation : {"auto", "numba", "numpy"}

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    InvalidImageError, InvalidInputError
        If the photo, a texture or another argument is not as stated.
    """
    image = check_image(image)
    opacity = _fraction("opacity", opacity)
    meshes, triangles = check_mesh(vertices, triangles)
    one = isinstance(textures, np.ndarray) and textures.ndim == 3
    pictures = [check_image(texture) for texture in ([textures] if one else textures)]
    if len(pictures) != len(meshes):
        raise InvalidInputError(f"textures: expected {len(meshes)}, got {len(pictures)}")
    places = array_of("uv", uv, ("U", 2))
    corners = triangles if uv_triangles is None else uv_triangles
    corners = check_triangles("uv_triangles", corners, len(places))
    canvas = _Canvas(image, meshes, triangles, samples, implementation=implementation)
    if canvas.empty:
        return image.copy()
    raster = canvas.raster
    texels = interpolate(raster, corners, places, implementation=implementation)
    layer = np.zeros((*raster.triangle.shape, 4), np.float32)
    for index, picture in enumerate(pictures):
        seen = raster.mesh == index
        layer[seen, :3] = _picked(picture, texels[seen])
    if lit:
        light = np.stack([_relative_light(vertex_normals(mesh, triangles)) for mesh in meshes])
        layer[..., :3] *= interpolate(
            raster, triangles, light[..., None], implementation=implementation
        )
    layer[..., :3] = np.clip(layer[..., :3], 0, 255) * opacity
    layer[..., 3] = opacity * raster.covered
    return canvas.blend(image, layer)


def _picked(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Colours (P, 3) of a texture at UV coordinates (P, 2), bilinear."""
    height, width = texture.shape[:2]
    # OpenCV remaps to images of at most 32767 pixels a side, so the list becomes a rectangle.
    side = int(np.ceil(np.sqrt(max(len(uv), 1))))
    x, y = np.zeros((2, side * side), np.float32)
    x[: len(uv)] = uv[:, 0] * width - 0.5
    y[: len(uv)] = (1 - uv[:, 1]) * height - 0.5
    grid = x.reshape(side, side), y.reshape(side, side)
    picked = cv2.remap(texture, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picked.reshape(-1, 3)[: len(uv)]


def _relative_light(normals: np.ndarray) -> np.ndarray:
    """Light on surfaces with photo-frame unit normals (V, 3), 1 where they face the viewer.

    Half of it: a texture from a photo has that photo's light in it already.
    """
    towards, _, strength = _lights()
    normals = normals * np.where(normals[:, 2:] < 0, np.float32(-1), np.float32(1))
    light = _AMBIENT + np.maximum(normals @ towards.T, 0) @ strength
    facing = _AMBIENT + np.maximum(towards[:, 2], 0) @ strength
    relative: np.ndarray = (0.5 + 0.5 * light / facing).astype(np.float32)
    return relative


def _heights(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Heights of the triangles of all meshes in the image, (N * F, 3) float32."""
    xy = vertices[:, triangles, :2]  # (N, F, 3, 2)
    opposite = np.roll(xy, -1, axis=2) - np.roll(xy, -2, axis=2)
    area = np.stack([np.abs(signed_areas(mesh, triangles)) for mesh in vertices])
    heights = area[..., None] / np.maximum(np.linalg.norm(opposite, axis=3), 1e-6)
    result: np.ndarray = heights.reshape(-1, 3).astype(np.float32)
    return result


def _edge_distance(raster: Raster, heights: np.ndarray) -> np.ndarray:
    """Distance in samples from each covered sample to the nearest edge of its triangle, (P,)."""
    seen = raster.covered
    # A weight is the distance to the opposite edge in heights of the triangle.
    distance: np.ndarray = (raster.barycentric[seen] * heights[raster.triangle[seen]]).min(axis=1)
    return distance


def draw_wireframe(
    image: Any,
    vertices: Any,
    triangles: Any,
    *,
    color: Sequence[float] = (255, 225, 120),
    opacity: float = 0.8,
    thickness: float = 1.0,
    samples: int = 2,
    implementation: Implementation = "auto",
) -> np.ndarray:
    """The edges of meshes that the viewer sees, smooth, hidden ones left out.

    Where triangles are smaller than a few pixels the lines run together into a tint;
    :func:`facegeo.render.coarse_mesh` gives a mesh that one can see through.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Not changed.
    vertices : (V, 3) or (N, V, 3) float32
        Photo pixels.
    triangles : (F, 3) integers
    color : three numbers in 0..255
        Of the lines, in the photo's channel order.
    opacity : float
        0..1.
    thickness : float
        Of the lines in pixels.
    samples : {1, 2, 3, 4}
        Samples a pixel in each direction.
    implementation : {"auto", "numba", "numpy"}

    Returns
    -------
    (H, W, 3) uint8
    """
    image = check_image(image)
    opacity = _fraction("opacity", opacity)
    paint = array_of("color", color, (3,))
    if not thickness > 0:
        raise InvalidInputError(f"thickness: expected a positive number, got {thickness}")
    meshes, triangles = check_mesh(vertices, triangles)
    canvas = _Canvas(image, meshes, triangles, samples, implementation=implementation)
    if canvas.empty:
        return image.copy()
    heights = _heights(canvas.vertices, triangles)
    reach = 0.5 * thickness * samples + 0.5
    if choose_implementation(implementation) == "numba":
        from facegeo.render.overlay_numba import blend_edges

        how = np.float32(reach), paint, np.float32(opacity)
        return canvas.blend_compiled(image, blend_edges, heights, *how)
    seen = canvas.raster.covered
    strength = opacity * np.clip(reach - _edge_distance(canvas.raster, heights), 0, 1)
    layer = np.zeros((*seen.shape, 4), np.float32)
    layer[seen] = strength[:, None] * np.append(paint, np.float32(1))
    return canvas.blend(image, layer)
