"""``facegeo eval``: the papers' protocols on data that you have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facegeo.cli.common import add_engine_options, add_json_option, engine_options, print_json


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("eval", help="measure a model by the papers' protocols")
    protocols = parser.add_subparsers(title="protocols", metavar="PROTOCOL", required=True)
    aflw = protocols.add_parser("aflw2000-3d", help="68 landmarks and head orientation")
    aflw.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with annotations.npz, crops.tar, images.tar",
    )
    aflw.add_argument(
        "--from",
        dest="source",
        choices=("crops", "photos"),
        default="crops",
        help="the data set's own crops, or cropped afresh from its photos",
    )
    add_engine_options(aflw)
    add_json_option(aflw)
    aflw.set_defaults(run=run_aflw2000)


def run_aflw2000(options: argparse.Namespace) -> int:
    """Evaluate on AFLW2000-3D."""
    from facegeo.evaluation.aflw2000 import Aflw2000, evaluate
    from facegeo.predictor import FaceGeometry

    data = Aflw2000.open(options.data)
    report = evaluate(FaceGeometry(**engine_options(options)), data, options.source)
    if options.json:
        print_json(report)
    else:
        print(_markdown(report))
    return 0


def _markdown(report: dict[str, Any]) -> str:
    bins = list(report["nme_percent"]["original"])
    lines = [
        f"AFLW2000-3D, {report['n']} photos, NME in percent",
        "",
        "| points | " + " | ".join(bins).replace("_", " ") + " |",
        "|---|" + "---|" * len(bins),
    ]
    for name, values in report["nme_percent"].items():
        lines.append(f"| {name} | " + " | ".join(f"{values[b]:.3f}" for b in bins) + " |")
    lines += ["", "| orientation, mean absolute error in degrees | n | yaw | pitch | roll | mean |"]
    lines += ["|---|---|---|---|---|---|"]
    for key, label in (
        ("pose_mae_deg", "published protocol"),
        ("pose_mae_deg_exact", "angles that facegeo returns"),
    ):
        values = report[key]
        cells = " | ".join(f"{values[a]:.3f}" for a in ("yaw", "pitch", "roll", "mean"))
        lines.append(f"| {label} | {values['n']} | {cells} |")
    return "\n".join(lines)
