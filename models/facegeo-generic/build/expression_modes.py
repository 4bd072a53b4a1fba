"""The 10 modes of expression: facial action units, in units of a usual expression's spread.

Names in brackets are those of the Facial Action Coding System. Amplitudes are the authors' estimate
of the usual spread of each movement; a coefficient of 3 to 4 is the full movement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import controls
from .fields import Canvas, Push, smooth_step

#: Axis of the jaw's hinge, (y, z) between the ear's front and the cheekbone.
JAW_HINGE = (-18.0, -62.0)
#: Over u: the heights y between which the jaw begins to carry the skin and carries it fully; on the
#: chart, the border of the jaw and where its pull on the throat has gone. The lips part from this.
JAW_REACH = (
    # u, begins (y), carries (y), border (v), released (v)
    (0, -36, -90, -136, -192),
    (25, -38, -90, -120, -180),
    (45, -38, -88, -108, -166),
    (70, -34, -84, -98, -152),
    (90, -30, -82, -92, -138),
    (125, -28, -80, -90, -126),
)


@dataclass(frozen=True)
class ExpressionMode:
    """A named field; in the mirror it becomes the mode ``twin`` times ``sign``."""

    name: str
    field: Callable[[Canvas], np.ndarray]
    twin: str
    sign: int = 1


def _pushes(*pushes: Push, odd: bool = False, side: int = 0) -> Callable[[Canvas], np.ndarray]:
    return lambda canvas: canvas.push(pushes, odd=odd, side=side)


def below_seam(canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Degree to which a point belongs to the lower lip, and how freely the lips part there.

    Returns
    -------
    step : (C,) float64
        On the chart, where the mouth is open: 0 above the opening, 1 below, a step across the bag.
    share : (C,) float64
        1 on the midline, 0 at the corners of the mouth and beyond; so flat at the corner that the
        lips part more slowly than the opening closes.
    """
    u, v = np.abs(canvas.chart[:, 0]), canvas.chart[:, 1]
    edge, _ = controls.mouth_edge()
    corner = len(edge) // 2
    upper = np.interp(u, edge[: corner + 1, 0], edge[: corner + 1, 1])
    lower = np.interp(u, edge[corner:][::-1, 0], edge[corner:][::-1, 1])
    step = smooth_step((v - upper) / np.minimum(lower - upper, -1e-3), 0, 1)
    share = np.clip(1 - (u / edge[corner, 0]) ** 2, 0, None) ** 4
    return step, share


def jaw_weight(canvas: Canvas) -> np.ndarray:
    """``(C,)``: how far the lower jaw carries a point along, 0 to 1.

    A ramp down the cheeks; between the corners of the mouth a step across its opening, so that the
    upper lip stays and the lower lip goes.
    """
    u, v = np.abs(canvas.chart[:, 0]), canvas.chart[:, 1]
    y = canvas.points[:, 1]
    table = np.array(JAW_REACH, float)
    start, full, border, end = (np.interp(u, table[:, 0], table[:, i]) for i in (1, 2, 3, 4))
    # In y, not v: where the chart is torn open at the mouth the skin must not be.
    cheek = smooth_step((y - start) / (full - start), 0, 1)
    throat = 1 - smooth_step((v - border) / (end - border), 0, 1)
    step, share = below_seam(canvas)
    return (cheek + share * (step - cheek)) * throat


def _jaw_open(canvas: Canvas) -> np.ndarray:
    """Lower jaw down around its hinge, which slides forward as it opens [AU 26, 27]."""
    _, y, z = canvas.points.T
    weight = 0.043 * jaw_weight(canvas)
    hinge_y, hinge_z = JAW_HINGE
    down, back = z - hinge_z, 0.6 * (y - hinge_y)
    return np.stack([np.zeros_like(y), -weight * down, weight * back], -1)


def _lips_part(canvas: Canvas) -> np.ndarray:
    """Upper lip up and lower lip down, teeth shown [AU 10, 16]."""
    step, share = below_seam(canvas)
    lower = 0.5 + share * (step - 0.5)
    upper_field = canvas.push((Push((0, -65), (17, 11), (0, 1.3, 0.4)),))
    lower_field = canvas.push((Push((0, -72), (17, 12), (0, -1.3, 0.3)),))
    return (1 - lower)[:, None] * upper_field + lower[:, None] * lower_field


BLINK = (
    Push((30.4, 4.5), (11.6, 11), (0, -2.8, 0.3)),
    Push((30.4, -6.0), (11.6, 8.5), (0, 2.0, 0)),
)

EXPRESSION_MODES: tuple[ExpressionMode, ...] = (
    ExpressionMode("jaw_open", _jaw_open, "jaw_open"),
    ExpressionMode(  # corners of the mouth out, up and back; cheeks up [AU 12, 6]
        "smile",
        _pushes(
            Push((24, -67.5), (17, 16), (2.6, 2.3, -1.5)),
            Push((44, -40), (22, 20), (0.4, 1.2, 0.8)),
            Push((0, -60), (14, 10), (0, 0.7, -0.9)),
            Push((0, -78), (16, 12), (0, 0.4, -0.7)),
        ),
        "smile",
    ),
    ExpressionMode(  # lips forward, corners in [AU 18]
        "pucker",
        _pushes(
            Push((24, -67.5), (17, 16), (-2.8, 0, 0.8)),
            Push((0, -68), (18, 15), (0, 0, 1.9)),
        ),
        "pucker",
    ),
    ExpressionMode(  # [AU 15, 20]
        "mouth_frown", _pushes(Push((26, -68.5), (18, 17), (0.7, -2.2, -0.6))), "mouth_frown"
    ),
    ExpressionMode("lips_part", _lips_part, "lips_part"),
    ExpressionMode(  # [AU 1, 2]
        "brow_raise",
        _pushes(Push((28, 25), (30, 17), (0, 2.3, -0.4)), Push((0, 40), (50, 26), (0, 0.9, 0))),
        "brow_raise",
    ),
    ExpressionMode(  # inner ends of the brows down and together [AU 4]
        "brow_lower",
        _pushes(Push((14, 21), (18, 15), (-1.1, -2.0, 0.6))),
        "brow_lower",
    ),
    ExpressionMode("blink_left", _pushes(*BLINK, side=1), "blink_right"),  # [AU 45]
    ExpressionMode("blink_right", _pushes(*BLINK, side=-1), "blink_left"),
    ExpressionMode(  # mouth and chin to the person's left
        "mouth_left",
        _pushes(
            Push((0, -70), (32, 24), (2.0, 0, 0)), Push((24, -68), (18, 17), (0, 0.7, 0)), odd=True
        ),
        "mouth_left",
        -1,
    ),
)
