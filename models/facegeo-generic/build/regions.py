"""Named regions of the mesh and its texture coordinates, both read off the chart."""

from __future__ import annotations

import numpy as np

from . import controls
from .cage import Cage
from .outline import inside

#: Millimetres of the chart across the unit square, and the chart's point in its lower left corner.
UV_SPAN = 380.0
UV_ORIGIN = (-190.0, -240.0)
#: Where on the chart the left eyeball's disc lies: a free corner below the jaw.
EYE_DISC = (150.0, -170.0)


def _polygon(cage: Cage, *names: str) -> np.ndarray:
    """The closed half curve through named rows, in order."""
    return np.concatenate([cage.chart[cage.rows[name]] for name in names])


def skin_regions(cage: Cage, chart: np.ndarray) -> dict[str, np.ndarray]:
    """Masks ``(n,)`` of points of the skin, from their chart coordinates ``(n, 2)``.

    ``lips`` is the red of the lips, ``mouth_interior`` the bag behind them, ``lid_lining`` what
    lies behind the lash line, ``nostrils`` the inside of the nose, ``face`` all the rest and the
    lips.
    """
    half = np.abs(chart) * [1, 0] + chart * [0, 1]
    # Points of the midline lie on the edge of a half polygon; move them inside.
    half[:, 0] = np.maximum(half[:, 0], 1e-3)
    corner = np.array([controls.chart(np.array([controls.MOUTH_CORNER]), np.full(1, 0.5))[0]])
    upper = cage.chart[cage.rows["upper_red"]]
    lower = cage.chart[cage.rows["lower_red"]][::-1]
    outline = np.concatenate([upper, corner, lower])
    bag = inside(_polygon(cage, "lip_edge"), half)
    lids = inside(_polygon(cage, "lid_margin"), half)
    nostrils = inside(_polygon(cage, "nostril"), half)
    return {
        "face": ~(bag | lids | nostrils),
        "lips": inside(outline, half) & ~bag,
        "mouth_interior": bag,
        "lid_lining": lids,
        "nostrils": nostrils,
    }


def texture_coordinates(chart: np.ndarray) -> np.ndarray:
    """The chart in the unit square, v up: ``(n, 2)``."""
    return (chart - UV_ORIGIN) / UV_SPAN


def eyeball_chart(points: np.ndarray) -> np.ndarray:
    """Places on the chart for the left eyeball's points ``(n, 3)``: equidistant from its pole."""
    out = points - controls.EYE_CENTRE
    radius = np.hypot(out[:, 0], out[:, 1])
    arc = controls.EYE_RADIUS * np.arctan2(radius, out[:, 2])
    return EYE_DISC + out[:, :2] * (arc / np.maximum(radius, 1e-9))[:, None]
