"""Sections of benchmarks/README.md on accuracy and on the smoothing of video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facegeo.evaluation.aflw2000 import to_markdown

Report = Mapping[str, Any]


def sections(reports: Mapping[str, Report]) -> Iterator[str]:
    """Accuracy, then smoothing; what is of no known kind by its name.

    Parameters
    ----------
    reports : mapping of str to dict
        Name of the file without its ending -> what ``facegeo eval aflw2000-3d --json``,
        ``facegeo-bench accuracy --out`` or ``video_jitter.py`` wrote.
    """
    shown: set[str] = set()
    for heading, known, section in (
        ("## Accuracy\n", _is_evaluation, _evaluation),
        (None, _is_precisions, _precisions),
        ("## Smoothing of video\n", _is_jitter, _jitter),
    ):
        found = {name: report for name, report in reports.items() if known(report)}
        if found and heading:
            yield heading
        yield from map(section, found.values())
        shown |= found.keys()
    rest = sorted(reports.keys() - shown)
    if rest:
        names = ", ".join(f"[`{name}.json`](results/{name}.json)" for name in rest)
        yield f"More results: {names}.\n"


def _is_evaluation(report: Report) -> bool:
    return "pose_mae_deg_exact" in report


def _is_precisions(report: Report) -> bool:
    return report.get("benchmark") == "accuracy"


def _is_jitter(report: Report) -> bool:
    return "stream_reduction" in report


def _evaluation(report: Report) -> str:
    run = report["run"]
    head = f"### {run['model']}, {run['backend']}, {run['precision']}"
    return f"{head}\n\n`facegeo eval aflw2000-3d`: {to_markdown(report)}\n"


def _precisions(report: Report) -> str:
    rows = report["results"]["rows"]
    machine = report["machine"]
    versions = ", ".join(f"{key} {machine[key]}" for key in ("onnxruntime", "openvino", "torch"))
    lines = [
        f"### {rows[0]['model']} in other precisions",
        "",
        f"`facegeo-bench accuracy`, the same photos; {versions}. Orientation by the published "
        "protocol, in degrees; in brackets the difference to ONNX Runtime in float32.",
        "",
        "| engine | precision | NME original | reannotated | orientation |",
        "|---|---|--:|--:|--:|",
    ]
    for row in rows:
        cells = (
            f"{row[key]:.3f} ({row[f'{key}_over_fp32']:+.3f})"
            for key in ("nme_original", "nme_reannotated", "orientation_deg")
        )
        lines.append(f"| {row['backend']} | {row['precision']} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _jitter(report: Report) -> str:
    lines = [
        f"### {report['picture']}, face of {report['face_px']:.0f} px",
        "",
        f"`video_jitter.py` with `{report['model']}` at {report['fps']:.0f} frames a second, "
        f"sensor noise with a standard deviation of {report['noise_std']:g}.",
        "",
        "| | |",
        "|---|--:|",
        f"| landmarks' standard deviation falls by | {report['reduction']:.1f} |",
        f"| the same through the whole stream | {report['stream_reduction']:.1f} |",
        f"| rotation's falls by | {report['rotation_reduction']:.1f} |",
    ]
    for speed in (5, 90):
        pose, points = (
            round(report[f"turn_{speed}_delay_frames_{what}"], 2) + 0.0
            for what in ("pose", "landmarks")
        )
        lines.append(
            f"| delay of a turn of {speed} degrees a second: pose, landmarks "
            f"| {pose:.2f}, {points:.2f} frames |"
        )
    lines.append(
        f"| a blink of 150 ms: delay, amplitude | {report['blink_delay_frames']:.2f} frames, "
        f"{report['blink_amplitude']:.0%} |"
    )
    return "\n".join([*lines, ""])
