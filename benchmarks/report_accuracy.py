"""Sections of benchmarks/README.md on accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facegeo.evaluation.aflw2000 import to_markdown

Report = Mapping[str, Any]


def _is_evaluation(report: Report) -> bool:
    return "pose_mae_deg_exact" in report


def _is_precisions(report: Report) -> bool:
    return report.get("benchmark") == "accuracy"


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


#: Heading, what belongs under it, how it is shown.
KINDS = (("## Accuracy\n", _is_evaluation, _evaluation), (None, _is_precisions, _precisions))
