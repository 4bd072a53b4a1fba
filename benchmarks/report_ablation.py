"""Sections of benchmarks/README.md on what the network's parts bring, and what they cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from facegeo.networks.synergy.config import ABLATIONS

Report = Mapping[str, Any]

#: Figures of a run's last epoch that the table shows: key of the report, heading.
FIGURES = {
    "nme_original_refined": "NME original",
    "nme_reannotated_refined": "NME reannotated",
    "nme_original_coarse": "coarse, original",
    "nme_reannotated_coarse": "coarse, reannotated",
    "pose_mae_deg_exact": "orientation, degrees",
}

#: Rows of the table whose names do not say what they are.
ROWS = {
    "baseline": "without both",
    "mafa": "refinement",
    "inverse": "landmark-to-3DMM",
    "mafa+inverse": "both",
}


def _is_ablation(report: Report) -> bool:
    return report.get("benchmark") == "ablation"


def _ablation(report: Report) -> str:
    config, runs = report["config"], report["runs"]
    sizes = ", ".join(str(size) for _, size in config["sizes"])
    lines = [
        f"`ablation.py`: {config['epochs']} epochs at {sizes} px from {_start(config)}, batch "
        f"{config['batch']}, {config['precision']}; mean and standard deviation over seeds, on the "
        f"development photos of AFLW2000-3D at the same size. Commits "
        f"{_all(runs, 'commit', 7)}, torch {_all(runs, 'torch')}.",
        "",
        "| network | seeds | " + " | ".join(FIGURES.values()) + " |",
        "|---|" + "--:|" * (1 + len(FIGURES)),
    ]
    for row in dict.fromkeys(run["row"] for run in runs):
        same = [run for run in runs if run["row"] == row]
        cells = " | ".join(_spread([run[key] for run in same]) for key in FIGURES)
        lines.append(f"| {_named(row)} | {len(same)} | {cells} |")
    return "\n".join([*lines, ""])


def _start(config: Report) -> str:
    if not config.get("initial"):
        return "random weights"
    parts = {
        "from random weights": config.get("fresh", ()),
        "frozen": config.get("frozen", ()),
    }
    told = [f", {_listed(names)} {how}" for how, names in parts.items() if names]
    return f"`{config['initial']}`" + "".join(told)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _named(row: str) -> str:
    words = ROWS.get(row, "")
    if row in ABLATIONS and (widths := ABLATIONS[row].adaptation):
        words = "both, adaptation layers of " + ", ".join(map(str, widths))
    return f"{words} (`{row}`)" if words else f"`{row}`"


def _all(runs: Sequence[Report], name: str, length: int | None = None) -> str:
    return ", ".join(dict.fromkeys(str(run["environment"][name])[:length] for run in runs))


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def _is_refinement(report: Report) -> bool:
    return report.get("benchmark") == "refinement"


def _refinement(report: Report) -> str:
    backbone, both = (report[name]["p50_ms"] for name in ("backbone", "with_refinement"))
    return (
        f"Refinement of `{report['model']}` ({report['crop_size']} px, ONNX Runtime float32, batch "
        f"{report['batch']}, {report['machine']['cpus']} cores): {both:.1f} ms instead of "
        f"{backbone:.1f}, {report['refinement_over_backbone']:.1%} more than without "
        f"(`refinement.py`).\n"
    )


KINDS = (
    ("## Parts of the network\n", _is_ablation, _ablation),
    (None, _is_refinement, _refinement),
)
