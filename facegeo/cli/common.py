"""Parts that the commands share: predictor options, JSON output."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from facegeo.backends import AUTO, BACKENDS
from facegeo.detect.base import SIDE_MULTIPLE, DetectorOptions, Search


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``: machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--backend``, ``--device``, ``--precision``."""
    parser.add_argument("--model", default="default", help="shipped or installed landmark model")
    parser.add_argument("--backend", default=AUTO, choices=[AUTO, *BACKENDS])
    parser.add_argument("--device", default=AUTO, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default=AUTO, help="auto, fp32, fp16, bf16 or int8")


def backend_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of :func:`add_backend_options` as keywords of ``FaceGeometry``."""
    return {name: getattr(options, name) for name in ("model", "backend", "device", "precision")}


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """``--detector``, ``--score``, ``--max-side``, ``--tile``, ``--rotations``."""
    parser.add_argument(
        "--detector", default=AUTO, help="auto, or a shipped or installed detection model"
    )
    parser.add_argument(
        "--score",
        type=number(float, 0, 1),
        default=DetectorOptions.score_threshold,
        help="lowest confidence",
    )
    parser.add_argument(
        "--max-side",
        type=number(int, SIDE_MULTIPLE),
        metavar="PX",
        help=f"larger photos are searched at this size (default: {Search.max_side})",
    )
    parser.add_argument(
        "--tile",
        type=number(int, SIDE_MULTIPLE),
        metavar="PX",
        help="search larger photos in tiles too, at full resolution, for tiny faces",
    )
    parser.add_argument(
        "--rotations",
        choices=["upright", "any"],
        default="upright",
        help="any: find faces that lie on their side or stand on their head, too",
    )


def detector_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of :func:`add_detector_options` as keywords of ``FaceGeometry``."""
    search = None
    if options.max_side is not None or options.tile is not None:
        search = Search(options.max_side or Search.max_side, options.tile)
    return {
        "detector": options.detector,
        "score_threshold": options.score,
        "search": search,
        "rotations": options.rotations,
    }


def number(
    kind: type[int] | type[float], low: float, high: float = float("inf")
) -> Callable[[str], float]:
    """An argparse type: a number within bounds."""

    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def some_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """An argparse type: comma-separated names out of some."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"expected some of {', '.join(known)}, got {unknown[0]!r}"
            )
        return names

    return parse


def print_json(value: Any) -> None:
    """One JSON document on standard output; numbers that are none become null."""
    json.dump(_with_nulls(value), sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def _with_nulls(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return value


class JsonArray:
    """A JSON array on standard output, written item by item; closed even after an error."""

    def __init__(self) -> None:
        self._separator = "[\n"

    def __enter__(self) -> JsonArray:
        return self

    def append(self, item: Any) -> None:
        """Write one item and flush it."""
        sys.stdout.write(self._separator + json.dumps(item))
        sys.stdout.flush()
        self._separator = ",\n"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not BrokenPipeError:
            sys.stdout.write("[]\n" if self._separator == "[\n" else "\n]\n")
