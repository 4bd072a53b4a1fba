"""The command ``facegeo-bench``: how fast this machine is, beside the obvious alternative."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from facegeo.base.files import write_bytes
from facegeo.base.optional import missing_extra
from facegeo.bench.timing import as_text, machine
from facegeo.errors import FacegeoError

#: Benchmark -> module, its functions that run it and add its options, help. Modules are imported
#: when they are asked for.
_BENCHMARKS = {
    "fps": (
        "fps",
        "main",
        "add_arguments",
        "faces a second of every engine and precision that works here",
    ),
    "accuracy": (
        "accuracy",
        "main",
        "add_arguments",
        "what each engine and precision costs in accuracy",
    ),
    "crops": (
        "predictor",
        "main_crops",
        "add_arguments",
        "predict_crops against a bare ONNX Runtime call",
    ),
    "photo": (
        "predictor",
        "main_photo",
        "add_photo_arguments",
        "a photo end to end against its parts",
    ),
    "detectors": (
        "detectors",
        "main",
        "add_arguments",
        "the face detector against the released FaceBoxes",
    ),
    "mesh": ("mesh", "main", "add_arguments", "the mesh kernel against NumPy and against a copy"),
    "raster": ("raster", "main", "add_arguments", "drawing 70,000 triangles on a photo"),
    "video": (
        "video",
        "main",
        "add_arguments",
        "a clip: frames a second, latency of live mode, memory",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    module = import_module(f"facegeo.bench.{_BENCHMARKS[options.benchmark][0]}")
    try:
        results = getattr(module, _BENCHMARKS[options.benchmark][1])(options)
    except FacegeoError as error:
        print(f"facegeo-bench: error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:  # of an extra, from wherever a benchmark leads
        missing = missing_extra(error)
        if missing is None:
            raise
        print(f"facegeo-bench: error: {missing}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report = {"benchmark": options.benchmark, "machine": machine(), "results": results}
    if options.out is not None:
        write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all benchmarks."""
    parser = argparse.ArgumentParser(prog="facegeo-bench", description=__doc__)
    subparsers = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for name, (module, _, add_arguments, text) in _BENCHMARKS.items():
        added = subparsers.add_parser(name, help=text)
        getattr(import_module(f"facegeo.bench.{module}"), add_arguments)(added)
        added.add_argument("--json", action="store_true", help="print JSON on standard output")
        added.add_argument("--out", type=Path, metavar="JSON", help="also write it to a file")
    return parser


def collect(wanted: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Run benchmarks by name, each with its options: ``machine`` and ``results`` by name."""
    results = {}
    for name, arguments in wanted.items():
        options = build_parser().parse_args([name, *arguments])
        module, function, *_ = _BENCHMARKS[name]
        results[name] = getattr(import_module(f"facegeo.bench.{module}"), function)(options)
    return {"machine": machine(), "results": results}
