"""``facegeo train``: train a network, or go on with a training that was stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from facegeo.errors import DependencyMissingError


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "train",
        help="train a network",
        description="Train a network as a YAML file says: landmarks, or with 'task: detection' a "
        "face detector. A run that was stopped goes on where its last checkpoint is. Landmarks on "
        "several GPUs: torchrun --nproc-per-node=gpu -m facegeo train CONFIG.",
    )
    parser.add_argument("config", type=Path, help="YAML file")
    parser.set_defaults(run=run_train)


def run_train(options: argparse.Namespace) -> int:
    """Train."""
    try:
        import torch  # noqa: F401, I001 - named first where all are missing
        import safetensors  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as error:
        raise DependencyMissingError(
            f'training needs {error.name}; install it with: pip install "facegeo[train]"'
        ) from error
    from facegeo.training.core.memory import keep_freed_memory
    from facegeo.training.core.run_folder import read_epochs
    from facegeo.training.tasks import train_from

    keep_freed_memory()
    result = train_from(options.config)
    for line in read_epochs(Path(result).parent)[-1:]:
        print(f"facegeo: {_summary(line)}", file=sys.stderr)
    print(result, file=sys.stdout)
    return 0


def _summary(line: dict[str, Any]) -> str:
    """The last figures of a run in one line: step 4000, loss/total 0.12, held_back/nme 3.1."""
    words = []
    for name, value in line.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for key, number in inner:
            words.append(f"{name}{'/' * bool(key)}{key} {number:.4g}")
    return ", ".join(words)
