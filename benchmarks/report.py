"""Write the tables of benchmarks/README.md from the JSON files in benchmarks/results.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facegeo.evaluation.aflw2000 import to_markdown
from facegeo.files import write_bytes

_README = Path(__file__).parent / "README.md"
_RESULTS = _README.parent / "results"
_MARK = "<!-- tables, made by report.py -->"


def main() -> None:
    write_bytes(_README, with_tables(_README.read_text(encoding="utf-8"), _RESULTS).encode())


def with_tables(text: str, results: Path) -> str:
    """The README's text with the tables of all results, from its mark on."""
    reports = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("*.json"))
    }
    parts = [f"{text.split(_MARK)[0]}{_MARK}\n", *_tables(reports)]
    return "\n".join(parts)


def _tables(reports: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Speed first, then accuracy, then the smoothing of video; the rest by name only."""
    shown: set[str] = set()
    for heading, known, section in (
        (None, _is_speed, _section),
        ("## Accuracy\n", _is_evaluation, _evaluation),
        (None, _is_precisions, _precisions),
        ("## Smoothing of video\n", _is_jitter, _jitter),
    ):
        found = {name: report for name, report in reports.items() if known(report)}
        if found and heading:
            yield heading
        for name, report in found.items():
            yield section(name, report)
        shown |= found.keys()
    rest = sorted(reports.keys() - shown)
    if rest:
        names = ", ".join(f"[`{name}.json`](results/{name}.json)" for name in rest)
        yield f"More results: {names}.\n"


def _is_speed(report: Mapping[str, Any]) -> bool:
    return "crops" in report.get("results", ())


def _is_evaluation(report: Mapping[str, Any]) -> bool:
    return "pose_mae_deg_exact" in report


def _is_precisions(report: Mapping[str, Any]) -> bool:
    return report.get("benchmark") == "accuracy"


def _is_jitter(report: Mapping[str, Any]) -> bool:
    return "stream_reduction" in report


def _section(name: str, report: dict[str, Any]) -> str:
    machine, results = report["machine"], report["results"]
    versions = ", ".join(
        f"{key} {machine[key]}" for key in ("numpy", "opencv-python", "onnxruntime") if machine[key]
    )
    lines = [
        f"## {name}",
        "",
        f"{machine['cpu']}, {machine['cpus']} cores, Python {machine['python']}, {versions}; "
        f"commit {report['commit']}.",
        "",
        "| what | median ms | beside |",
        "|---|--:|---|",
        *_crop_rows(results["crops"]),
        *_photo_rows(results["photo"]),
        f"| 70,000 triangles on 1280x720, z-buffer | {results['raster']['rasterize_ms']:.1f} | |",
        "",
        "| mesh kernel, batch | faces/s | over NumPy | time over a copy | largest error, px |",
        "|--:|--:|--:|--:|--:|",
        *(
            f"| {row['batch']} | {row['faces_per_s']:,.0f} | {row['speedup_over_numpy']:.1f} "
            f"| {row['time_over_copy']:.2f} | {row['max_error_px']:.4f} |"
            for row in results["mesh"]
        ),
        "",
    ]
    return "\n".join(lines)


def _crop_rows(crops: dict[str, Any]) -> list[str]:
    return [
        f"| `predict_crops`, {name.replace('_', ' ')} | {row['predict_crops']['p50_ms']:.2f} "
        f"| bare ONNX Runtime call on the same file {row['bare']['p50_ms']:.2f} |"
        for name, row in crops.items()
    ]


def _photo_rows(photo: dict[str, Any]) -> list[str]:
    parts = sum(photo[part]["p50_ms"] for part in ("detector", "crop", "network"))
    return [
        f"| `predictor(photo)`, 640x480, one face | {photo['predictor']['p50_ms']:.2f} | detector, "
        f"crop and network alone, together {parts:.2f} |"
    ]


def _evaluation(name: str, report: dict[str, Any]) -> str:
    run = report["run"]
    head = f"### {run['model']}, {run['backend']}, {run['precision']}"
    return f"{head}\n\n`facegeo eval aflw2000-3d`: {to_markdown(report)}\n"


def _precisions(name: str, report: dict[str, Any]) -> str:
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


def _jitter(name: str, report: dict[str, Any]) -> str:
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


if __name__ == "__main__":
    main()
