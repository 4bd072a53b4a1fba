"""The 40 modes of shape, each at one standard deviation.

A mode is named for the measurement that it changes; its amplitude is the spread of that measurement
(:mod:`facegeo.generic.measurements`) on one side of the face, in millimetres, unless a comment says
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facegeo.generic.fields import Canvas, Push, smooth_step

Field = Callable[[Canvas], np.ndarray]


@dataclass(frozen=True)
class ShapeMode:
    """A named field; ``odd`` ones change sign in the mirror."""

    name: str
    field: Field
    odd: bool = False


def _pushes(*pushes: Push, odd: bool = False) -> Field:
    return lambda canvas: canvas.push(pushes, odd=odd)


def _stretch(x: float = 0.0, y: float = 0.0, z: float = 0.0, y0: float = -35.0) -> Field:
    """Scale about the point (0, y0, -20)."""
    return lambda canvas: (canvas.points - [0, y0, -20]) * [x, y, z]


def _taper(amount: float) -> Field:
    """Wider above and narrower below, in proportion to the height."""

    def field(canvas: Canvas) -> np.ndarray:
        x, y, _ = canvas.points.T
        zero = np.zeros_like(x)
        return np.stack([amount * x * np.tanh((y + 40) / 60), zero, zero], -1)

    return field


def _shear(amount: float) -> Field:
    """Upper face forward and lower face back, in proportion to the height."""

    def field(canvas: Canvas) -> np.ndarray:
        y = canvas.points[:, 1]
        zero = np.zeros_like(y)
        return np.stack([zero, zero, amount * np.tanh((y + 35) / 90)], -1)

    return field


def _convexity(amount: float) -> Field:
    """Middle of the profile forward, forehead and chin back."""

    def field(canvas: Canvas) -> np.ndarray:
        u, v = canvas.chart.T
        zero = np.zeros_like(u)
        middle = np.exp(-(((v + 50) / 50) ** 2) - (u / 60) ** 2)
        return np.stack([zero, zero, amount * (1.6 * middle - 0.6)], -1)

    return field


def _sides(dx: float, dy: float, dz: float) -> Field:
    """Sides of the head relative to the front, growing from the cheeks to the ears."""

    def field(canvas: Canvas) -> np.ndarray:
        u = canvas.chart[:, 0]
        weight = smooth_step(np.abs(u), 35, 115)
        return np.stack([dx * weight * np.tanh(u / 20), dy * weight, dz * weight], -1)

    return field


def _lower_face(amount: float) -> Field:
    """Length of the face below the nose: in proportion to the distance from it."""

    def field(canvas: Canvas) -> np.ndarray:
        y = canvas.points[:, 1]
        zero = np.zeros_like(y)
        return np.stack([zero, -amount * smooth_step(-y, 30, 130), zero], -1)

    return field


def _upper_face(amount: float) -> Field:
    """Height of the forehead: in proportion to the distance from the brows."""

    def field(canvas: Canvas) -> np.ndarray:
        y = canvas.points[:, 1]
        zero = np.zeros_like(y)
        return np.stack([zero, amount * smooth_step(y, 10, 90), zero], -1)

    return field


SHAPE_MODES: tuple[ShapeMode, ...] = (
    # Proportions of the whole face.
    ShapeMode("face_height_to_width", _stretch(x=-0.035, y=0.035)),
    ShapeMode("face_depth", _stretch(z=0.07)),
    ShapeMode("face_taper", _taper(0.05)),
    ShapeMode("profile_slope", _shear(6.0)),
    ShapeMode("profile_convexity", _convexity(3.5)),
    ShapeMode("side_width", _sides(3.0, 0, 0)),
    ShapeMode("side_height", _sides(0, 4.0, 0)),
    ShapeMode("side_depth", _sides(0, 0, 5.0)),
    ShapeMode("lower_face_height", _lower_face(7.0)),
    ShapeMode("forehead_height", _upper_face(5.0)),
    ShapeMode("forehead_slope", _pushes(Push((0, 70), (70, 38), (0, 0, 5.0)))),
    # Jaw, chin and cheeks.
    ShapeMode("jaw_width", _pushes(Push((82, -85), (40, 38), (4.0, 0, 0)))),
    ShapeMode("jaw_angle_height", _pushes(Push((80, -88), (36, 34), (0, 5.0, 0)))),
    ShapeMode("jaw_angle_depth", _pushes(Push((80, -88), (40, 38), (0, 0, 5.0)))),
    ShapeMode("chin_height", _pushes(Push((0, -128), (34, 26), (0, -4.0, 0)))),
    ShapeMode("chin_projection", _pushes(Push((0, -128), (34, 28), (0, 0, 4.0)))),
    ShapeMode("chin_width", _pushes(Push((28, -122), (20, 24), (3.4, 0, 0)))),
    ShapeMode("cheekbone", _pushes(Push((62, -20), (28, 22), (2.4, 0, 2.4)))),
    ShapeMode("cheek_fullness", _pushes(Push((52, -62), (26, 26), (2.4, 0, 2.4)))),
    # Mouth.
    ShapeMode("mouth_height", _pushes(Push((0, -80), (34, 26), (0, 2.4, 0)))),
    ShapeMode("mouth_projection", _pushes(Push((0, -80), (30, 26), (0, 0, 2.8)))),
    ShapeMode("mouth_width", _pushes(Push((25, -74), (16, 16), (2.6, 0, 0)))),
    ShapeMode("mouth_corner_depth", _pushes(Push((26, -74), (16, 16), (0, 0, 2.2)))),
    ShapeMode("upper_lip_height", _pushes(Push((0, -66.5), (16, 8), (0, 1.3, 0.4)))),
    ShapeMode("lower_lip_height", _pushes(Push((0, -96.5), (17, 9), (0, -1.5, 0.3)))),
    # Nose.
    ShapeMode("nose_height", _pushes(Push((0, -42), (24, 20), (0, -3.2, 0)))),
    ShapeMode("nose_projection", _pushes(Push((0, -38), (17, 19), (0, 0, 2.8)))),
    ShapeMode(
        "nose_tip_rotation",
        _pushes(Push((0, -36), (10, 11), (0, 1.7, 0.3)), Push((0, -53), (16, 10), (0, -0.6, 0.8))),
    ),
    ShapeMode("nose_width", _pushes(Push((18, -44), (11, 13), (1.9, 0, 0)))),
    ShapeMode("nose_root_depth", _pushes(Push((0, 2), (13, 14), (0, 0, 2.2)))),
    ShapeMode("nose_bridge", _pushes(Push((0, -16), (12, 13), (0, 0, 2.0)))),
    # Eyes and brows.
    ShapeMode("eye_spacing", _pushes(Push((31, 2), (24, 24), (2.0, 0, 0)))),
    ShapeMode("eye_height", _pushes(Push((31, 0), (26, 16), (0, 2.0, 0)))),
    ShapeMode("eye_depth", _pushes(Push((32, 0), (24, 18), (0, 0, 2.4)))),
    ShapeMode(
        "eye_width",
        _pushes(Push((45, 0), (11, 12), (1.3, 0, -0.3)), Push((16, -2), (9, 11), (-1.0, 0, 0.2))),
    ),
    ShapeMode(
        "eye_opening",
        _pushes(Push((30, 6), (15, 8), (0, 0.9, 0)), Push((30, -6.5), (15, 8), (0, -0.8, 0))),
    ),
    ShapeMode("eye_slant", _pushes(Push((47, 2), (14, 16), (0, 1.6, 0)))),
    ShapeMode("brow_height", _pushes(Push((30, 23), (34, 13), (0, 2.4, 0)))),
    ShapeMode("brow_depth", _pushes(Push((26, 22), (34, 14), (0, 0, 2.2)))),
    # Left against right.
    ShapeMode("chin_deviation", _pushes(Push((0, -105), (50, 40), (2.4, 0, 0)), odd=True), True),
)
