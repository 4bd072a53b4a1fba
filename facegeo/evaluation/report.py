"""Parts that all protocols report in the same way: Markdown tables, and curves for JSON and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facegeo.evaluation.measures import cumulative
from facegeo.evaluation.plots import draw_curves
from facegeo.evaluation.published import Rows
from facegeo.images import encode_photo

#: A row of a table: its name, its numbers.
Row = tuple[str, Sequence[float]]


def table(head: Sequence[str], rows: Iterable[Row], digits: int = 3) -> list[str]:
    """Lines of a Markdown table. Whole numbers stay whole; what is no number is a dash."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, values in rows:
        lines.append("| " + " | ".join([name, *(_cell(v, digits) for v in values)]) + " |")
    return lines


def published_rows(rows: Rows, prefix: str = "") -> list[str]:
    """Lines that go below those of :func:`table`, with the two digits that papers print."""
    named = ((prefix + name, values) for name, values in rows.items())
    return table([], named, digits=2)[2:]


def error_curves(
    errors: Mapping[str, np.ndarray], limit: float, x: str, y: str = "part of the faces"
) -> dict[str, Any]:
    """Cumulative error distributions, as ``report["curve"]``.

    Parameters
    ----------
    errors : mapping of str to (N,) float
        An error that is no number, or infinite, is one that no threshold reaches.
    limit : float
        Where the axis ends.
    x, y : str
        What the axes show.
    """
    thresholds = np.linspace(0, limit, 101)
    curves = {
        name: {"x": thresholds.tolist(), "y": cumulative(values, thresholds).tolist()}
        for name, values in errors.items()
    }
    return {"x": x, "y": y, "x_max": limit, "curves": curves}


def curve_png(curve: Mapping[str, Any]) -> bytes:
    """``report["curve"]`` as a PNG file."""
    return encode_photo(curve_image(curve), ".png")


def curve_image(curve: Mapping[str, Any]) -> np.ndarray:
    """``report["curve"]`` drawn, (H, W, 3) uint8."""
    lines = {name: (np.array(c["x"]), np.array(c["y"])) for name, c in curve["curves"].items()}
    return draw_curves(lines, (curve["x"], curve["y"]), x_max=float(curve["x_max"]), legend="right")


def part_used(every: int) -> str:
    """Part of the frames that was measured, in words."""
    return "all" if every == 1 else f"one in {every}"


def _cell(value: float, digits: int) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"
