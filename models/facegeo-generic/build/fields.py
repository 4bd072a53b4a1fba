"""Smooth displacement fields on the cage, from which the modes are put together.

A field is a ``(C, 3)`` array of millimetres. It is either *even*, its mirror image being itself
(dx changes sign across the midline), or *odd*, its mirror image being its negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]
Place = tuple[float, float]


@dataclass(frozen=True)
class Push:
    """A soft push of the surface around a place of the head, and its mirror image.

    Places are those of :attr:`Canvas.around`: millimetres around the head, and height.

    Attributes
    ----------
    at : (a, y)
        Centre, a >= 0.
    reach : (da, dy)
        Distance from the centre at which the push has fallen to 1/e.
    by : (dx, dy, dz)
        Millimetres at the centre on the side x > 0.
    """

    at: Place
    reach: Place
    by: Vector


@dataclass(frozen=True, eq=False)
class Canvas:
    """The points on which fields are evaluated.

    Attributes
    ----------
    chart : (C, 2) float64
    points : (C, 3) float64
        The average face, millimetres.
    """

    chart: np.ndarray
    points: np.ndarray

    @property
    def around(self) -> np.ndarray:
        """``(C, 2)``: millimetres around the head from the midline, and height y.

        Unlike the chart these are smooth in space: what touches, as closed lips do, moves together,
        so that no field can fold the surface between.
        """
        x, y, z = self.points.T
        return np.stack([85.0 * np.arctan2(x, z + 75.0), y], -1)

    def bell(self, at: Place, reach: Place) -> np.ndarray:
        """``(C,)``: 1 at a place of the head, 1/e at the distance ``reach``."""
        return np.asarray(np.exp(-(((self.around - at) / reach) ** 2).sum(-1)))

    def push(self, pushes: tuple[Push, ...], *, odd: bool = False, side: int = 0) -> np.ndarray:
        """The sum of pushes with their mirror images.

        Parameters
        ----------
        odd : bool
            Mirror images are subtracted instead of added.
        side : int
            +1 or -1: only the pushes on that side, without mirror images.
        """
        field = np.zeros_like(self.points)
        for push in pushes:
            a, y = push.at
            by = np.array(push.by)
            near = self.bell((a, y), push.reach)[:, None] * by
            far = self.bell((-a, y), push.reach)[:, None] * (by * [-1, 1, 1])
            if side:
                field += near if side > 0 else far
            else:
                field += (near - far if odd else near + far) * (0.5 if a == 0 else 1.0)
        return field


def smooth_step(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before ``start``, 1 after ``end``, with two continuous derivatives between."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return np.asarray(t**3 * (t * (6 * t - 15) + 10))
