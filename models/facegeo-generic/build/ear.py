"""The outer ear as seen from the side: a plate of relief, attached in front, open behind.

Its own coordinates are (p, q, h) in millimetres: p backwards from the tragus, q the height y, h the
relief outwards from the plate. The plate stands off the head by some 25 degrees.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

#: Chart place and position in space of the plate's (p, q) = (0, -15).
CHART_ORIGIN = (132.0, -15.0)
ORIGIN = np.array([71.0, -15.0, -73.0])
#: Directions of p, q, h in space: back and out, up and a little back, outwards.
AXES = np.array([[0.42, 0.0, -0.907], [0.03, 0.965, -0.26], [0.907, 0.0, 0.42]])
#: Millimetres of chart per millimetre of plate: room for the relief.
CHART_SCALE = np.array([1.3, 1.12])

#: Crest of the helix from its root over the top to the lobe and its attachment: (p, q, h).
HELIX = (
    (4.5, 4.0, 1.0), (6.5, 11, 1.8), (12, 15.5, 2.2), (19, 16.5, 2.4), (26, 13.5, 2.6),
    (31, 7, 2.8), (33.5, -2, 2.8), (33, -12, 2.6), (30, -21, 2.2), (25.5, -29, 1.6),
    (20.5, -36, 1.0), (15.5, -42, 0.4), (9.5, -45.5, 0), (4, -44.5, -0.4),
)  # fmt: skip
#: The groove inside the helix and the antihelix inside the groove, top to bottom.
GROOVE = (
    (10.5, 10, -0.8), (18, 11.6, -1.4), (24.8, 9.2, -1.6), (28.4, 3, -1.6), (29.4, -5, -1.6),
    (28, -14, -1.2), (24.5, -23, -0.6), (20, -31, 0.2),
)  # fmt: skip
ANTIHELIX = (
    (20.5, 6.5, 1.0), (23.3, 0, 1.6), (24.0, -8, 1.8), (21.8, -17, 1.8), (17.5, -24, 1.6),
    (13.5, -27.4, 1.2), (10, -27, 1.4),
)  # fmt: skip
#: What else lies inside the helix: (p, q, h).
INNER = (
    # Root of the helix, running into the bowl.
    (4.5, -3, 0.4), (8.5, -7.5, -2.4),
    # Upper leg of the antihelix and the triangular fossa beside it.
    (12, 5, 0.6), (15.5, 5.8, -1.2),
    # Bowl.
    (13, -2.5, -5.5), (19, -8, -5.5), (8, -14, -8.5), (13.5, -15, -8.5), (15, -20.5, -4.0),
    (10.5, -21.5, -6.5), (18, -1.5, -3.0),
    # Tragus, and the notch below it.
    (0.5, -11, 1.8), (1.6, -15.5, 3.2), (1.0, -20, 2.2), (4.4, -15.5, 0.6), (5, -24.5, -3.2),
    # Lobe.
    (8, -33, 0.2), (15, -34.5, 0.4), (9.5, -40, 1.2), (4, -36, -0.6), (3, -29, -0.6),
)  # fmt: skip
#: The free edge lies this far outside the crest on the chart and this far behind it in space.
EDGE_OUT, EDGE_BACK, EDGE_CHART = 0.6, 4.5, 5.0


def place(pqh: np.ndarray) -> np.ndarray:
    """Millimetres ``(n, 3)`` of ear coordinates ``(n, 3)``, left ear."""
    return np.asarray(ORIGIN + (pqh - [0, -15, 0]) @ AXES)


def ear_chart(pqh: np.ndarray) -> np.ndarray:
    """Chart coordinates ``(n, 2)`` of ear coordinates ``(n, 3)``."""
    return CHART_ORIGIN + (pqh[:, :2] - [0, -15]) * CHART_SCALE


def _densely(curve: tuple[tuple[float, float, float], ...], count: int) -> np.ndarray:
    """Points on a smooth curve: a sharp ridge needs more controls than a shape does."""
    points = np.array(curve)
    at = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    return np.asarray(CubicSpline(at, points)(np.linspace(0, at[-1], count)))


def _outwards(crest: np.ndarray) -> np.ndarray:
    """Unit vectors ``(n, 2)`` in (p, q) away from the ear, across its crest ``(n, 3)``."""
    along = np.gradient(crest[:, :2], axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([-along[:, 1], along[:, 0]], -1)


def ear_crest() -> np.ndarray:
    """The crest of the helix on the chart, root to lobe, ``(n, 2)``."""
    return ear_chart(_densely(HELIX, 36))


def ear_edge() -> np.ndarray:
    """The free edge behind the helix on the chart, root to lobe, ``(n, 2)``."""
    crest = _densely(HELIX, 36)
    return ear_chart(crest) + EDGE_CHART * _outwards(crest)


def ear_controls() -> tuple[np.ndarray, np.ndarray]:
    """Chart coordinates and points of the left ear."""
    crest = _densely(HELIX, 36)
    pqh = np.concatenate([crest, _densely(GROOVE, 20), _densely(ANTIHELIX, 14), np.array(INNER)])
    back = crest - np.array([0, 0, EDGE_BACK])
    back[:, :2] += EDGE_OUT * _outwards(crest)
    return (
        np.concatenate([ear_chart(pqh), ear_edge()]),
        np.concatenate([place(pqh), place(back)]),
    )
