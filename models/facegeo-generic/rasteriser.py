"""A small z-buffer in NumPy, enough to look at a mesh: per-pixel normals, three lights, no library.

Only the render sheet of this folder uses it; the library's own rasteriser is another one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

#: Directions towards the lights in camera axes (x right, y up, z to the viewer), and their colours.
LIGHTS = (
    ((-0.55, 0.60, 0.62), (0.74, 0.71, 0.67)),
    ((0.85, 0.10, 0.45), (0.20, 0.22, 0.26)),
    ((0.25, 0.75, -0.60), (0.22, 0.22, 0.24)),
)
AMBIENT = (0.16, 0.16, 0.18)
BACKGROUND = (0.93, 0.94, 0.95)


def rotation(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """Turn the face to the picture's right (yaw > 0) and up (pitch > 0): ``Rx(-pitch) Ry(yaw)``."""
    y, p = np.radians(yaw_deg), np.radians(-pitch_deg)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return nod @ turn


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals ``(V, 3)``: the area-weighted mean of the normals of the triangles around."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                triangles[:, corner], face[:, axis], minlength=len(vertices)
            )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _fragments(xy: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels covered by triangles ``xy (F, 3, 2)``: triangle rows, pixel rows, barycentrics."""
    low = np.floor(xy.min(1)).astype(int)
    span = np.ceil(xy.max(1)).astype(int) - low + 1
    area = _cross(xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0])
    reach = span.max(1)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    edges = [0, 2, 3, 4, 5, 6, 8, 11, 16, 32, 64, 10_000]
    for small, large in pairwise(edges):
        rows = np.flatnonzero((reach > small) & (reach <= large) & (np.abs(area) > 1e-9))
        if not len(rows):
            continue
        side = int(reach[rows].max())
        offsets = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
        for chunk in np.array_split(rows, max(1, len(rows) * len(offsets) // 2_000_000)):
            pixel = low[chunk, None] + offsets
            p = xy[chunk, None]
            weights = (
                np.stack(
                    [
                        _cross(p[:, :, 2] - p[:, :, 1], pixel - p[:, :, 1]),
                        _cross(p[:, :, 0] - p[:, :, 2], pixel - p[:, :, 2]),
                        _cross(p[:, :, 1] - p[:, :, 0], pixel - p[:, :, 0]),
                    ],
                    -1,
                )
                / area[chunk, None, None]
            )
            inside = (weights >= -1e-6).all(-1) & ((pixel >= 0) & (pixel < size)).all(-1)
            which, _ = np.nonzero(inside)
            at = pixel[inside]
            found.append((chunk[which], at[:, 1] * size + at[:, 0], weights[inside]))
    columns = tuple(np.concatenate(part) for part in zip(*found, strict=True))
    return columns[0], columns[1], columns[2]


def openness(
    vertices: np.ndarray, triangles: np.ndarray, directions: int = 40, size: int = 320
) -> np.ndarray:
    """How much of the sky each vertex sees, ``(V,)`` in [0, 1]: ambient occlusion by depth maps."""
    normals = vertex_normals(vertices, triangles)
    index = np.arange(directions) + 0.5
    height = 1 - 1.7 * index / directions  # evenly over the sphere but for its bottom
    turn = np.pi * (1 + 5**0.5) * index
    width = np.sqrt(1 - height**2)
    sky = np.stack([width * np.cos(turn), height, width * np.sin(turn)], -1)
    centre = vertices.mean(0)
    reach = 1.02 * np.linalg.norm(vertices - centre, axis=1).max()
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in sky:
        side = np.cross(direction, [0.3, 0.2, 0.9])
        side /= np.linalg.norm(side)
        axes = np.stack([side, np.cross(direction, side), direction])
        local = (vertices - centre) @ axes.T
        xy = (local[:, :2] / reach + 1) * (size / 2) - 0.5
        rows, pixels, weights = _fragments(xy[triangles], size)
        depth = np.full(size * size, -np.inf)
        np.maximum.at(depth, pixels, (local[triangles[rows], 2] * weights).sum(-1))
        at = np.clip(np.round(xy).astype(int), 0, size - 1)
        step = 4.0 * reach / size
        front = depth[at[:, 1] * size + at[:, 0]] > local[:, 2] + step
        weight = np.clip(normals @ direction, 0, None)
        seen += weight * ~front
        total += weight
    return np.where(total > 0, seen / np.maximum(total, 1e-9), 0.0)


def render(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    *,
    size: int = 480,
    millimetres: float = 250.0,
    gloss: np.ndarray | None = None,
    open_sky: np.ndarray | None = None,
) -> np.ndarray:
    """An ``(size, size, 3)`` uint8 BGR picture of a mesh in camera axes, orthographic.

    Parameters
    ----------
    vertices : (V, 3) float
        Millimetres, x right, y up, z to the viewer; the picture's centre is the origin.
    colours : (V, 3) float
        RGB albedo in [0, 1].
    millimetres : float
        Width of the picture.
    gloss : (V,) float, optional
        Strength of the highlight, 0.12 by default.
    open_sky : (V,) float, optional
        From :func:`openness`; darkens hollows.
    """
    big = 2 * size
    scale = big / millimetres
    normals = vertex_normals(vertices, triangles)
    xy = np.stack([vertices[:, 0], -vertices[:, 1]], -1) * scale + big / 2 - 0.5
    # Back faces are kept: the inside of the mouth is seen through its opening from both sides.
    rows, pixels, weights = _fragments(xy[triangles], big)
    depth = (vertices[triangles[rows], 2] * weights).sum(-1)
    order = np.lexsort((depth, pixels))
    last = order[np.append(np.diff(pixels[order]) > 0, True)]
    rows, pixels, weights = rows[last], pixels[last], weights[last, :, None]
    normal = (normals[triangles[rows]] * weights).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    albedo = (colours[triangles[rows]] * weights).sum(1)
    shine = np.full(len(rows), 0.12)
    if gloss is not None:
        shine = (gloss[triangles[rows]] * weights[..., 0]).sum(1)
    light = np.array(AMBIENT) * (0.75 + 0.25 * normal[:, 1:2])
    highlight = np.zeros((len(rows), 1))
    for direction, colour in LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        # A little wrap softens the terminator as skin does.
        wrapped = np.clip((normal @ towards + 0.15) / 1.15, 0, None)
        light = light + wrapped[:, None] * np.array(colour)
        half = towards + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        highlight += (np.clip(normal @ half, 0, None) ** 30 * np.mean(colour))[:, None]
    if open_sky is not None:
        sky = (open_sky[triangles[rows]] * weights[..., 0]).sum(1)[:, None]
        # Hollows in skin are not grey: what light they get has bounced off skin.
        light = light * np.clip(sky, 0.02, 1) ** np.array([0.75, 0.95, 1.0])
        highlight *= sky**2
    shaded = albedo * light + shine[:, None] * highlight
    shaded[normal[:, 2] < -0.02] *= 0.25  # the back of the surface
    image = np.ones((big * big, 3)) * np.array(BACKGROUND)
    image[pixels] = np.clip(shaded, 0, 1) ** (1 / 1.5)
    image = image.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.round(image[..., ::-1] * 255).astype(np.uint8)
