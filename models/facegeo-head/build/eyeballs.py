"""One eyeball of unit radius that looks along z: sclera, a cornea that bulges, an iris rim."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from facegeo.morphable.subdivision import subdivide

#: Columns around the axis of sight.
_AROUND = 16
#: Polar angles of the rings in degrees; 0 is the middle of the pupil.
_RINGS = (8.5, 17.0, 24.6, 27.1, 33.0, 43.0, 55.0, 70.0, 88.0, 110.0, 135.0, 160.0)
BACK_RING = _RINGS[-1]
#: Angle of the rim between iris and sclera: a human iris of 11.7 mm on the mean face's ball of 28.
IRIS_ANGLE = 24.6
#: How far the cornea's top stands out, in radii.
_CORNEA = 0.025

#: The first and last ring are filled by 4 x 4 quads each, with 9 vertices within.
_CAP_VERTICES, _CAP_QUADS = 9, 16
EYE_VERTICES = _AROUND * len(_RINGS) + 2 * _CAP_VERTICES
#: Rows of an eyeball: the middle of the pupil, and 8 points of the iris' rim, counter-clockwise.
PUPIL = 0
IRIS_RIM = tuple(_CAP_VERTICES + _RINGS.index(IRIS_ANGLE) * _AROUND + k for k in range(0, 16, 2))
EYE_QUADS = _AROUND * (len(_RINGS) - 1) + 2 * _CAP_QUADS


def eye_centre(eye: np.ndarray) -> np.ndarray:
    """Centre ``(..., 3)`` of eyeballs ``(..., EYE_VERTICES, 3)``, wherever they are."""
    cage, _ = eyeball()
    front, back = cage[0, 2], -cage[-1, 2]
    return np.asarray((back * eye[..., 0, :] + front * eye[..., -1, :]) / (front + back))


def _radius(angle: np.ndarray) -> np.ndarray:
    """Distance of the surface from the ball's centre at polar angles in degrees."""
    inside = np.clip(1 - (angle / (IRIS_ANGLE + 4.0)) ** 2, 0, 1)
    return np.asarray(1 + _CORNEA * inside**1.5)


@functools.cache
def eyeball() -> tuple[np.ndarray, np.ndarray]:
    """Cage ``(EYE_VERTICES, 3)`` and quads ``(EYE_QUADS, 4)`` of a left eye.

    The cage lies such that its vertices, once smoothed, are on the eyeball's surface.
    """
    turn = np.arange(_AROUND) * 2 * np.pi / _AROUND
    inner_angle, inner_turn = np.array([0] + 8 * [0.5]), np.concatenate([[0], turn[::2]])
    back = 180 - inner_angle[::-1] * (180 - _RINGS[-1])
    angles = np.concatenate([inner_angle * _RINGS[0], np.repeat(_RINGS, _AROUND), back])
    turns = np.concatenate([inner_turn, np.tile(turn, len(_RINGS)), inner_turn[::-1]])
    polar = np.radians(angles)
    unit = np.stack(
        [np.sin(polar) * np.cos(turns), np.sin(polar) * np.sin(turns), np.cos(polar)], axis=1
    )
    surface = unit * _radius(angles)[:, None]
    first = np.arange(_AROUND)
    second = (first + 1) % _AROUND
    rings = [_CAP_VERTICES + k * _AROUND for k in range(len(_RINGS))]
    bands = [
        np.stack([a + first, b + first, b + second, a + second], axis=1)
        for a, b in itertools.pairwise(rings)
    ]
    last = len(surface) - 1
    front_cap = _cap(np.arange(_CAP_VERTICES), rings[0] + first)
    back_cap = _cap(last - np.arange(_CAP_VERTICES), rings[-1] + first)[:, ::-1]
    quads = np.concatenate([front_cap, *bands, back_cap])
    smoothing = subdivide(quads, np.ones(len(quads), int), len(surface)).matrix[: len(surface)]
    cage = surface.copy()
    for _ in range(100):
        cage += surface - smoothing @ cage
    return cage, quads


def _cap(within: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """The 4 x 4 quads that fill a ring of 16, around 8 vertices and a middle one."""
    grid = np.empty((5, 5), np.int64)
    grid[2, 2] = within[0]
    # Rows and columns of a square's border, from the right side's middle, counter-clockwise.
    for size, border in ((1, within[1:]), (2, ring)):
        steps = 8 * size
        for number in range(steps):
            row, column = _on_square(number, size)
            grid[2 + row, 2 + column] = border[number]
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=-1)
    return quads.reshape(-1, 4)


def _on_square(number: int, size: int) -> tuple[int, int]:
    """Row and column of a place on the border of a square of half width ``size``."""
    turn = 2 * np.pi * number / (8 * size)
    reach = max(abs(np.cos(turn)), abs(np.sin(turn)))
    column, row = (round(size * part / reach) for part in (np.cos(turn), np.sin(turn)))
    return row, column
