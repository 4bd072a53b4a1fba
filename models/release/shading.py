"""Light on the meshes of the face models' sheets: three lights, hollows darker."""

from __future__ import annotations

import numpy as np

from facegeo.render import interpolate, rasterize, vertex_normals

#: Directions towards the lights in camera axes (x right, y up, z to the viewer), and their colours.
LIGHTS = (
    ((-0.55, 0.60, 0.62), (0.74, 0.71, 0.67)),
    ((0.85, 0.10, 0.45), (0.20, 0.22, 0.26)),
    ((0.25, 0.75, -0.60), (0.22, 0.22, 0.24)),
)
AMBIENT = (0.16, 0.16, 0.18)
BACKGROUND = (0.93, 0.94, 0.95)

#: Camera axes have y up, pictures y down.
_FLIP = np.array([1.0, -1.0, 1.0])


def rotation(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """Turn the face to the picture's right (yaw > 0) and up (pitch > 0): ``Rx(-pitch) Ry(yaw)``."""
    y, p = np.radians(yaw_deg), np.radians(-pitch_deg)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return nod @ turn


def _normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward, in the vertices' own axes (y up)."""
    return vertex_normals(vertices * _FLIP, triangles) * _FLIP


def _in_picture(vertices: np.ndarray, pixels_per_unit: float, size: int) -> np.ndarray:
    """Camera axes to pixels of a square picture whose centre is the origin."""
    middle = np.array([size / 2 - 0.5, size / 2 - 0.5, 0])
    return vertices * _FLIP * pixels_per_unit + middle


def openness(
    vertices: np.ndarray, triangles: np.ndarray, directions: int = 40, size: int = 320
) -> np.ndarray:
    """Part of the sky each vertex sees, ``(V,)`` in [0, 1]: ambient occlusion by depth maps."""
    normals = _normals(vertices, triangles)
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
        points = _in_picture((vertices - centre) @ axes.T, size / (2 * reach), size)
        depth = rasterize(points, triangles, size, size).depth
        column, row = np.clip(np.round(points[:, :2]).astype(int), 0, size - 1).T
        in_front = depth[row, column] > points[:, 2] + 2.0  # pixels
        weight = np.clip(normals @ direction, 0, None)
        seen += weight * ~in_front
        total += weight
    return np.where(total > 0, seen / np.maximum(total, 1e-9), 0.0)


def render(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    *,
    gloss: np.ndarray,
    open_sky: np.ndarray,
    size: int = 480,
    millimetres: float = 250.0,
) -> np.ndarray:
    """An ``(size, size, 3)`` uint8 BGR picture of a mesh in camera axes, orthographic.

    Parameters
    ----------
    vertices : (V, 3) float
        Millimetres, x right, y up, z to the viewer; the picture's centre is the origin.
    colours : (V, 3) float
        RGB albedo in [0, 1].
    gloss : (V,) float
        Strength of the highlight.
    open_sky : (V,) float
        From :func:`openness`; darkens hollows.
    millimetres : float
        Width of the picture.
    """
    big = 2 * size
    # Back faces are kept: the inside of the mouth is seen through its opening from both sides.
    raster = rasterize(_in_picture(vertices, big / millimetres, big), triangles, big, big)
    attributes = (_normals(vertices, triangles), colours, gloss[:, None], open_sky[:, None])
    drawn = interpolate(raster, triangles, np.concatenate(attributes, 1).astype(np.float32))
    drawn = drawn[raster.covered].astype(np.float64)
    normal, albedo, shine, sky = np.split(drawn, [3, 6, 7], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = np.array(AMBIENT) * (0.75 + 0.25 * normal[:, 1:2])
    highlight = np.zeros((len(normal), 1))
    for direction, colour in LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        # A little wrap softens the terminator as skin does.
        wrapped = np.clip((normal @ towards + 0.15) / 1.15, 0, None)
        light = light + wrapped[:, None] * np.array(colour)
        half = towards + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        highlight += (np.clip(normal @ half, 0, None) ** 30 * np.mean(colour))[:, None]
    # Hollows in skin are not grey: what light they get has bounced off skin.
    light = light * np.clip(sky, 0.02, 1) ** np.array([0.75, 0.95, 1.0])
    shaded = albedo * light + shine * sky**2 * highlight
    shaded[normal[:, 2] < -0.02] *= 0.25  # the back of the surface
    image = np.ones((big, big, 3)) * np.array(BACKGROUND)
    image[raster.covered] = np.clip(shaded, 0, 1) ** (1 / 1.5)
    image = image.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.round(image[..., ::-1] * 255).astype(np.uint8)
