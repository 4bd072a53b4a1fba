"""Write the tables of benchmarks/README.md from the JSON files in benchmarks/results.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import report_accuracy

from facegeo.files import write_bytes

_HERE = Path(__file__).parent
_MARK = "<!-- tables, made by report.py -->"


def main() -> None:
    readme = _HERE / "README.md"
    reports = read_results(_HERE / "results")
    write_bytes(readme, with_sections(readme.read_text(encoding="utf-8"), reports).encode())


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Name of each file of results, without its ending -> its content."""
    paths = sorted(folder.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def with_sections(text: str, reports: Mapping[str, dict[str, Any]]) -> str:
    """The text of benchmarks/README.md with all tables anew: those of machines have a commit."""
    head = text.split(_MARK)[0]
    machines = [_section(name, report) for name, report in reports.items() if "commit" in report]
    others = {name: report for name, report in reports.items() if "commit" not in report}
    return "\n".join([f"{head}{_MARK}\n", *machines, *report_accuracy.sections(others)])


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


if __name__ == "__main__":
    main()
