"""Sections of benchmarks/README.md on accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import report_outside

from facegeo.evaluation import published
from facegeo.evaluation.aflw2000 import to_markdown

Report = Mapping[str, Any]


#: Rows of papers that stand in the README, by the names of their original and reannotated tables.
_PAPERS = (("3DDFA-V2 (MRS)", "3DDFA-V2"), ("SynergyNet", "SynergyNet"))


def front_table(reports: Mapping[str, Report]) -> list[str]:
    """The README's lines: by photos that chose nothing, by dev, the best first, and the papers'."""
    measured = [report for report in reports.values() if _is_evaluation(report)]
    measured.sort(key=lambda report: report["nme_percent"]["original"]["mean_of_bins"])
    lines = [
        "| network | photos | original points | reannotated | orientation, published protocol |",
        "|---|--:|--:|--:|--:|",
        *report_outside.accuracy_rows(reports),
    ]
    for report in measured:
        nme = [report["nme_percent"][key]["mean_of_bins"] for key in ("original", "reannotated")]
        cells = " | ".join(f"{value:.2f}" for value in (*nme, report["pose_mae_deg"]["mean"]))
        lines.append(f"| `{report['run']['model']}` | {report['n']}, dev, which chose | {cells} |")
    for original, other in _PAPERS:
        values = (
            published.AFLW2000_ORIGINAL[original][-1],
            published.AFLW2000_REANNOTATED[other][-1],
            published.AFLW2000_POSE[other][-1],
        )
        cells = " | ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {other}, as published | 2,000, all | {cells} |")
    return lines


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
