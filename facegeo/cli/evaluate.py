"""``facegeo eval``: the papers' protocols on data that you have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facegeo.cli.common import add_engine_options, add_json_option, engine_options, print_json

_AFLW2000_FOLDER = "folder with annotations.npz, crops.tar, images.tar"


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("eval", help="measure a model by the papers' protocols")
    protocols = parser.add_subparsers(title="protocols", metavar="PROTOCOL", required=True)
    aflw2000 = protocols.add_parser("aflw2000-3d", help="68 landmarks and head orientation")
    _add_data(aflw2000, _AFLW2000_FOLDER)
    _add_source(aflw2000)
    _add_common(aflw2000, run_aflw2000)


def run_aflw2000(options: argparse.Namespace) -> int:
    """Evaluate on AFLW2000-3D."""
    from facegeo.evaluation.aflw2000 import Aflw2000, evaluate, to_markdown

    data = Aflw2000.open(options.data)
    predictor = _predictor(options)
    report = evaluate(predictor, data, options.source)
    return _finish(options, predictor, report, to_markdown(report))


def _add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=what)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="source",
        choices=("crops", "photos"),
        default="crops",
        help="the data set's own crops, or cropped afresh from its photos",
    )


def _add_common(parser: argparse.ArgumentParser, run: Any) -> None:
    add_engine_options(parser)
    add_json_option(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="draw the curve there, as PNG")
    parser.set_defaults(run=run)


def _predictor(options: argparse.Namespace, **more: Any) -> Any:
    from facegeo.predictor import FaceGeometry

    return FaceGeometry(**engine_options(options), **more)


def _finish(
    options: argparse.Namespace, predictor: Any, report: dict[str, Any], markdown: str
) -> int:
    """Print the report, and write what was asked for."""
    from facegeo.evaluation.report import curve_png
    from facegeo.files import write_bytes

    network = predictor.network
    run = {
        "model": predictor.card.name,
        "backend": network.name,
        "device": network.device,
        "precision": network.precision,
    }
    heading = f"Model {run['model']}, {run['backend']}, {run['device']}, {run['precision']}."
    markdown = f"{heading}\n\n{markdown}"
    if options.markdown is not None:
        write_bytes(options.markdown, f"{markdown}\n".encode())
    if options.curve is not None:
        write_bytes(options.curve, curve_png(report["curve"]))
    if options.json:
        print_json({"run": run} | report)
    else:
        print(markdown)
    return 0
