"""Faces a second by batch size, drawn with OpenCV alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

_WIDTH, _LEAST_HEIGHT = 1100, 720
_ROW = 26  # of the legend
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 380, 50, 80
_INK, _GRID = (60, 60, 60), (225, 225, 225)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_COLOURS = (
    (150, 150, 150),
    (40, 120, 230),
    (180, 90, 20),
    (60, 150, 60),
    (150, 60, 150),
    (30, 30, 200),
    (160, 160, 0),
)
_MARKS = {
    "landmarks": cv2.MARKER_DIAMOND,
    "dense": cv2.MARKER_SQUARE,
    "photos": cv2.MARKER_TRIANGLE_UP,
}


def draw_rates(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows of ``facegeo-bench fps`` as a PNG; both axes logarithmic.

    A colour an engine and precision of a model, a mark a task.
    """
    models = {row["model"] for row in rows}
    count = len({(_series(row, models), row["task"]) for row in rows})
    full_height = max(_LEAST_HEIGHT, _TOP + _ROW * (count + 1))
    image = np.full((full_height, _WIDTH, 3), 255, np.uint8)
    batches = sorted({int(row["batch"]) for row in rows})
    rates = [float(row["fps"]) for row in rows]
    decades = (np.floor(np.log10(min(rates))), np.ceil(np.log10(max(rates)) + 1e-9))
    span = np.log2(batches[0]), max(np.log2(batches[-1]), np.log2(batches[0]) + 1)

    def at(batch: float, rate: float) -> tuple[int, int]:
        x = (np.log2(batch) - span[0]) / (span[1] - span[0])
        y = (np.log10(rate) - decades[0]) / (decades[1] - decades[0])
        width, height = _WIDTH - _LEFT - _RIGHT, full_height - _TOP - _BOTTOM
        return round(_LEFT + x * width), round(full_height - _BOTTOM - y * height)

    _draw_axes(image, at, batches, decades, 2.0 ** span[1])
    lines: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in rows:
        line = lines.setdefault((_series(row, models), row["task"]), [])
        line.append(at(row["batch"], row["fps"]))
    all_series = list(dict.fromkeys(series for series, _ in lines))
    for number, ((series, task), points) in enumerate(lines.items()):
        colour = _COLOURS[all_series.index(series) % len(_COLOURS)]
        cv2.polylines(image, [np.array(points)], False, colour, 2, cv2.LINE_AA)
        row_y = _TOP + 12 + _ROW * number
        for point in [*points, (_WIDTH - _RIGHT + 30, row_y)]:
            cv2.drawMarker(image, point, colour, _MARKS[task], 12, 2, cv2.LINE_AA)
        _write(image, f"{series}, {task}", (_WIDTH - _RIGHT + 48, row_y + 5))
    return cv2.imencode(".png", image)[1].tobytes()


def _series(row: Mapping[str, Any], models: Collection[str]) -> str:
    """Name of a line; by its model too where there are several."""
    series = f"{row['backend']} {row['precision']}"
    return series if len(models) == 1 else f"{row['model']} {series}"


def _draw_axes(
    image: np.ndarray, at: Any, batches: Sequence[int], decades: tuple[float, float], last: float
) -> None:
    for decade in range(int(decades[0]), int(decades[1]) + 1):
        for factor in (1, 2, 5):
            rate = factor * 10.0**decade
            if rate <= 10.0 ** decades[1]:
                y = at(batches[0], rate)[1]
                cv2.line(image, (_LEFT, y), (at(last, rate)[0], y), _GRID, 1)
                _write(image, f"{rate:>9,.6g}", (18, y + 5))
    for batch in batches:
        x, bottom = at(batch, 10.0 ** decades[0])
        cv2.line(image, (x, bottom), (x, _TOP), _GRID, 1)
        _write(image, str(batch), (x - 6 * len(str(batch)), bottom + 24))
    _write(image, "faces a second", (18, 28))
    _write(image, "faces in a call", (_LEFT, len(image) - 20))


def _write(image: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    cv2.putText(image, text, corner, _FONT, 0.5, _INK, 1, cv2.LINE_AA)
