"""Cost of an engine or a precision in accuracy, on AFLW2000-3D."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facegeo.bench.candidates import BASELINE, Candidates, add_candidate_options, open_candidates
from facegeo.bench.timing import announce
from facegeo.evaluation.aflw2000 import Aflw2000, evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench accuracy``."""
    parser.add_argument("--model", default="default", help="landmark model")
    add_candidate_options(parser)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with annotations.npz, crops.tar, images.tar",
    )


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run with parsed options."""
    data = Aflw2000.open(args.data)
    candidates = open_candidates(args.model, args.backends, args.precisions, args.device)
    return {"rows": accuracy_rows(candidates, data), "not_measured": candidates.not_measured}


def accuracy_rows(candidates: Candidates, data: Aflw2000) -> list[dict[str, Any]]:
    """NME (percent, mean of the three yaw ranges) and orientation error of every engine.

    Returns
    -------
    list of dict
        ``model``, ``backend``, ``precision``; ``nme_original``, ``nme_reannotated``,
        ``orientation_deg`` (published protocol); each also as ``..._over_fp32``, the difference to
        ONNX Runtime in float32.
    """
    figures = {}
    for key, predictor in candidates.running.items():
        announce(f"{' '.join(key)} on {len(data)} faces")
        figures[key] = _figures(evaluate(predictor, data))
    rows = []
    for (backend, precision), values in figures.items():
        worse = {f"{name}_over_fp32": v - figures[BASELINE][name] for name, v in values.items()}
        card = candidates.running[backend, precision].card
        head = {"model": card.name, "backend": backend, "precision": precision, "n": len(data)}
        rows.append({**head, **values, **worse})
    return rows


def _figures(report: dict[str, Any]) -> dict[str, float]:
    nme = report["nme_percent"]
    return {
        "nme_original": nme["original"]["mean_of_bins"],
        "nme_reannotated": nme["reannotated"]["mean_of_bins"],
        "orientation_deg": report["pose_mae_deg"]["mean"],
    }
