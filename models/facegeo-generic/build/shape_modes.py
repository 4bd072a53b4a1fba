"""The 40 modes of shape, each at one standard deviation.

A mode is named for what it changes most. Several modes move each measurement of
:mod:`measurements`; their amplitudes were set by hand such that random faces have
the spreads listed there. Where no measurement is listed the amplitude is the authors' estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .fields import Canvas, Push, smooth_step

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
        middle = canvas.bell((0, -46), (60, 46))
        zero = np.zeros_like(middle)
        return np.stack([zero, zero, amount * (1.6 * middle - 0.6)], -1)

    return field


def _sides(dx: float, dy: float, dz: float) -> Field:
    """Sides of the head relative to the front, growing from the cheeks to the ears."""

    def field(canvas: Canvas) -> np.ndarray:
        a = canvas.around[:, 0]
        weight = smooth_step(np.abs(a), 35, 115)
        return np.stack([dx * weight * np.tanh(a / 20), dy * weight, dz * weight], -1)

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
    ShapeMode("face_height_to_width", _stretch(x=-0.028, y=0.028)),
    ShapeMode("face_depth", _stretch(z=0.05)),
    ShapeMode("face_taper", _taper(0.035)),
    ShapeMode("profile_slope", _shear(5.0)),
    ShapeMode("profile_convexity", _convexity(2.6)),
    ShapeMode("side_width", _sides(2.2, 0, 0)),
    ShapeMode("side_height", _sides(0, 3.6, 0)),
    ShapeMode("side_depth", _sides(0, 0, 4.0)),
    ShapeMode("lower_face_height", _lower_face(4.2)),
    ShapeMode("forehead_height", _upper_face(5.0)),
    ShapeMode("forehead_slope", _pushes(Push((0, 70), (70, 38), (0, 0, 4.0)))),
    # Jaw, chin and cheeks.
    ShapeMode("jaw_width", _pushes(Push((84, -78), (40, 36), (2.6, 0, 0)))),
    ShapeMode("jaw_angle_height", _pushes(Push((82, -80), (36, 32), (0, 4.0, 0)))),
    ShapeMode("jaw_angle_depth", _pushes(Push((82, -80), (40, 36), (0, 0, 4.0)))),
    ShapeMode("chin_height", _pushes(Push((0, -110), (34, 24), (0, -2.7, 0)))),
    ShapeMode("chin_projection", _pushes(Push((0, -108), (34, 25), (0, 0, 3.2)))),
    ShapeMode("chin_width", _pushes(Push((24, -104), (18, 22), (2.4, 0, 0)))),
    ShapeMode("cheekbone", _pushes(Push((62, -20), (28, 22), (1.9, 0, 1.9)))),
    ShapeMode("cheek_fullness", _pushes(Push((52, -58), (26, 25), (2.1, 0, 2.1)))),
    # Mouth.
    ShapeMode("mouth_height", _pushes(Push((0, -68), (34, 22), (0, 1.8, 0)))),
    ShapeMode("mouth_projection", _pushes(Push((0, -68), (30, 20), (0, 0, 2.3)))),
    ShapeMode("mouth_width", _pushes(Push((24, -67.5), (16, 15), (1.75, 0, 0)))),
    ShapeMode("mouth_corner_depth", _pushes(Push((26, -67.5), (16, 15), (0, 0, 1.8)))),
    ShapeMode("upper_lip_height", _pushes(Push((0, -59.5), (16, 6.5), (0, 1.2, 0.4)))),
    ShapeMode("lower_lip_height", _pushes(Push((0, -77.5), (17, 7), (0, -1.3, 0.3)))),
    # Nose.
    ShapeMode("nose_height", _pushes(Push((0, -40), (24, 18), (0, -2.7, 0)))),
    ShapeMode("nose_projection", _pushes(Push((0, -35), (15, 13), (0, 0, 2.8)))),
    ShapeMode(
        "nose_tip_rotation",
        _pushes(Push((0, -36), (10, 10), (0, 1.5, 0.3)), Push((0, -48), (16, 8), (0, -0.5, 0.7))),
    ),
    ShapeMode("nose_width", _pushes(Push((15, -41.5), (10, 11), (1.5, 0, 0)))),
    ShapeMode("nose_root_depth", _pushes(Push((0, 2), (13, 14), (0, 0, 1.8)))),
    ShapeMode("nose_bridge", _pushes(Push((0, -16), (12, 13), (0, 0, 1.7)))),
    # Eyes and brows.
    ShapeMode("eye_spacing", _pushes(Push((30, 2), (24, 24), (1.5, 0, 0)))),
    ShapeMode("eye_height", _pushes(Push((30, 0), (26, 16), (0, 1.8, 0)))),
    ShapeMode("eye_depth", _pushes(Push((31, 0), (24, 18), (0, 0, 2.0)))),
    ShapeMode(
        "eye_width",
        _pushes(Push((44, 0), (11, 12), (0.8, 0, -0.2)), Push((16, -2), (9, 11), (-0.6, 0, 0.2))),
    ),
    ShapeMode(
        "eye_opening",
        _pushes(Push((29.2, 6), (12, 9), (0, 0.75, 0)), Push((29.2, -6.5), (12, 8), (0, -0.6, 0))),
    ),
    ShapeMode("eye_slant", _pushes(Push((46, 2), (14, 16), (0, 1.3, 0)))),
    ShapeMode("brow_height", _pushes(Push((29, 25), (34, 15), (0, 1.9, 0)))),
    ShapeMode("brow_depth", _pushes(Push((26, 22), (34, 14), (0, 0, 1.8)))),
    # Left against right.
    ShapeMode("chin_deviation", _pushes(Push((0, -95), (50, 38), (1.3, 0, 0)), odd=True), True),
)
