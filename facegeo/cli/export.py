"""``facegeo export``: an installed network as one ONNX file of a precision."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegeo.base.precisions import PRECISIONS
from facegeo.cli.common import add_json_option, number, print_json

if TYPE_CHECKING:
    import numpy as np


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "export",
        help="write a network as ONNX: fp32, fp16, bf16, int8",
        description="Write one self-contained ONNX file and, beside it, a JSON file that says how "
        "far it is from the network in float32. Beyond the tolerance nothing is written.",
    )
    parser.add_argument("model", metavar="NAME", help="installed landmark model, or default")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: NAME-PRECISION.onnx in this folder"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR_OR_TAR",
        help="face crops; int8 needs them, the others are compared on them",
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="also add the file to the model, for --precision of the other commands",
    )
    positive = number(float, 0)
    parser.add_argument("--tolerance-px", type=positive, help="allowed mean of the landmarks")
    parser.add_argument("--tolerance-deg", type=positive, help="allowed mean of the head rotation")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export."""
    from facegeo.errors import InvalidInputError
    from facegeo.export.publishing import TOLERANCES, Tolerance, install_precision, publish
    from facegeo.zoo.store import find

    if options.precision == "int8" and options.calibration is None:
        raise InvalidInputError(
            "int8 is calibrated on real crops: --calibration DIR_OR_TAR (a few hundred face crops)"
        )
    model = find(options.model)
    usual = TOLERANCES[options.precision]
    tolerance = Tolerance(
        usual.landmarks_px if options.tolerance_px is None else options.tolerance_px,
        usual.rotation_deg if options.tolerance_deg is None else options.tolerance_deg,
    )
    crops = _crops(options.calibration, model.card.crop_size)
    target = options.out or Path(f"{model.card.name}-{options.precision}.onnx")
    report = publish(model, options.precision, target, crops, tolerance)
    if options.install:
        install_precision(model, options.precision, target)
    if options.json:
        print_json({"file": str(target), **report})
    else:
        _print(target, report)
    return 0


def _crops(calibration: Path | None, size: int) -> np.ndarray:
    from facegeo.export.publishing import read_crops, sample_crops

    if calibration is None:
        return sample_crops(size=size)
    return read_crops(calibration, size=size)


def _print(target: Path, report: dict[str, Any]) -> None:
    parity = report["parity"]
    print(f"{target}: {report['precision']}, {target.stat().st_size / 1e6:.1f} MB")
    print(f"against {report['reference']} on {report['crops']} crops, mean / 99 % / largest:")
    for key, unit in (("landmarks_px", "crop pixels"), ("rotation_deg", "degrees")):
        values = " / ".join(f"{parity[f'{key}_{kind}']:.4f}" for kind in ("mean", "p99", "max"))
        print(f"  {values} {unit} (mean allowed: {report['tolerance'][key]})")
