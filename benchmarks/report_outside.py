"""Figures that others measured: accuracy by photos that chose nothing, speed on a plain CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]

#: What was timed -> in words, and crops a call where faces a second are said of it.
_TIMED = {
    "crops_1": ("landmarks, `{model}`, batch 1", 1),
    "crops_64": ("landmarks, `{model}`, batch 64", 64),
    "photo_1280x720": ("`predictor(photo)`, `{model}`, 1280x720, one face", 0),
    "stream_1280x720": ("`predictor.stream`, `{model}`, 1280x720, one face", 0),
}

_ACCURACY_HEAD = [
    "| network | photos | original points | reannotated | orientation, published protocol |",
    "|---|--:|--:|--:|--:|",
]


def accuracy_rows(reports: Mapping[str, Report]) -> list[str]:
    """Rows of the README's table of accuracy, in the order of the file."""
    rows = [row for report in reports.values() if _is_accuracy(report) for row in report["rows"]]
    keys = ("nme_original", "nme_reannotated", "orientation_deg")
    return [
        f"| `{row['model']}` | {row['photos']} | "
        + " | ".join(f"{row[key]:.2f}" for key in keys)
        + " |"
        for row in rows
    ]


def speed_rows(reports: Mapping[str, Report]) -> list[str]:
    """Rows of the README's table of speed: what the first command installs."""
    return [row for report in reports.values() if _is_speed(report) for row in _timed(report)]


def _timed(report: Report) -> Iterator[str]:
    machine = f"{report['machine']['cpu']}, {report['machine']['cpus']} cores"
    for model, times in report["milliseconds"].items():
        for key, (what, crops) in _TIMED.items():
            if key not in times:
                continue
            figure = f"{times[key]:.0f} ms"
            if crops:
                figure = f"{1e3 * crops / times[key]:,.0f} faces/s"
            elif key.startswith("stream"):
                figure = f"{1e3 / times[key]:.0f} frames/s"
            engine = f"{report['engine']} {report['precision']}"
            yield f"| {what.format(model=model)}, {engine} | {machine} | {figure} |"


def _is_accuracy(report: Report) -> bool:
    return report.get("benchmark") == "accuracy-outside"


def _is_speed(report: Report) -> bool:
    return report.get("benchmark") == "speed-outside"


def _accuracy(report: Report) -> str:
    head = f"### Outside dev\n\n{report['data']}, {report['source']}.\n"
    return "\n".join([head, *_ACCURACY_HEAD, *accuracy_rows({"": report}), ""])


def _speed(report: Report) -> str:
    head = f"### {report['machine']['cpu']}, {report['machine']['cpus']} cores\n"
    table = ["| what | machine | figure |", "|---|---|--:|", *_timed(report), ""]
    return "\n".join([head, f"{report['source'].capitalize()}.", "", *table])


#: Heading, what belongs under it, how it is shown.
KINDS = ((None, _is_accuracy, _accuracy), ("## A CPU without VNNI\n", _is_speed, _speed))
