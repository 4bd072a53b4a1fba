"""Plots drawn with OpenCV alone: no plotting library is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

_SIZE = (720, 960)
_MARGIN = 80
_COLOURS = ((180, 90, 20), (40, 120, 230), (60, 150, 60), (150, 60, 150))
_INK = (60, 60, 60)
_GRID = (225, 225, 225)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    labels: tuple[str, str] = ("recall", "precision"),
    *,
    x_max: float = 1.0,
    y_range: tuple[float, float] = (0.0, 1.0),
    legend: Literal["left", "right"] = "left",
) -> np.ndarray:
    """Curves of two quantities, ``(720, 960, 3)`` uint8 BGR, with axes and a legend.

    Parameters
    ----------
    curves : mapping of str to pair of (K,) float
        x in 0..``x_max``, y within ``y_range``; points that are no number are left out.
    legend : {"left", "right"}
        In which lower corner; the first curve stands at its top.
    """
    height, width = _SIZE
    low, high = y_range
    image = np.full((height, width, 3), 255, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return (
            round(_MARGIN + x * (width - 2 * _MARGIN)),
            round(height - _MARGIN - y * (height - 2 * _MARGIN)),
        )

    for tick in np.linspace(0, 1, 6):
        cv2.line(image, at(tick, 0), at(tick, 1), _GRID, 1)
        cv2.line(image, at(0, tick), at(1, tick), _GRID, 1)
        x, y = at(tick, 0)
        shown = f"{tick * x_max:.1f}"
        cv2.putText(
            image, shown, (x - _wide(shown, 0.5) // 2, y + 24), _FONT, 0.5, _INK, 1, cv2.LINE_AA
        )
        x, y = at(0, tick)
        shown = f"{low + tick * (high - low):.1f}"
        cv2.putText(
            image, shown, (x - 10 - _wide(shown, 0.5), y + 5), _FONT, 0.5, _INK, 1, cv2.LINE_AA
        )
    cv2.rectangle(image, at(0, 1), at(1, 0), _INK, 1)
    x, y = at(0.5, 0)
    cv2.putText(
        image, labels[0], (x - _wide(labels[0], 0.6) // 2, y + 52), _FONT, 0.6, _INK, 1, cv2.LINE_AA
    )
    x, y = at(0, 1)
    cv2.putText(image, labels[1], (x - 20, y - 16), _FONT, 0.6, _INK, 1, cv2.LINE_AA)
    for row, (name, (xs, ys)) in enumerate(curves.items()):
        colour = _COLOURS[row % len(_COLOURS)]
        pairs = [(a, b) for a, b in zip(xs, ys, strict=True) if np.isfinite(a + b)]
        points = np.array([at(a / x_max, (b - low) / (high - low)) for a, b in pairs], np.int32)
        cv2.polylines(image, [points.reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
        x, y = at(0.04 if legend == "left" else 0.55, 0.06 + 0.06 * (len(curves) - 1 - row))
        cv2.line(image, (x, y), (x + 36, y), colour, 3)
        cv2.putText(image, name, (x + 46, y + 5), _FONT, 0.6, _INK, 1, cv2.LINE_AA)
    return image


def _wide(text: str, scale: float) -> int:
    """Pixels that a line of text takes."""
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0])
