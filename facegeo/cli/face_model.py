"""``facegeo model``: build the face model that ships with facegeo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_DEFAULT_OUT = Path("facegeo-generic.npz")


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("model", help="build the face model that ships with facegeo")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    build = actions.add_parser(
        "build-generic", help="make facegeo-generic from its measurements; needs no data"
    )
    build.add_argument("--out", type=Path, default=_DEFAULT_OUT, help="file to write")
    build.set_defaults(run=run_build)


def run_build(options: argparse.Namespace) -> int:
    """Build and write the model; say what it is."""
    from facegeo.generic import write_generic
    from facegeo.morphable import MorphableModel

    write_generic(options.out)
    print(f"{MorphableModel.load(options.out)!r}: {options.out}")
    return 0
