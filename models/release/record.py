"""Steps of shipping a trained network, whatever its task: proof, card, record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from facegeo.base import files
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.export.to_onnx import parity
from facegeo.training.core.yaml_files import require_yaml
from facegeo.zoo.cards import Card

#: Licence of networks that learnt from AFLW's photos.
AFLW_LICENCE: Final = "non-commercial research only, as AFLW, whose photos it was trained on"

METRICS: Final = "metrics.json"
TEMPLATE: Final = "card.template.md"

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def largest_difference(
    network: torch.nn.Module,
    onnx: bytes,
    batches: Iterable[torch.Tensor],
    tolerance: float,
    where: str,
) -> float:
    """Largest difference of an exported network from PyTorch, as a part of each output's range.

    Parameters
    ----------
    batches : iterable of Tensor
        What both are run on; ``where`` says in words what that is.

    Raises
    ------
    CorruptFileError
        If it is more than ``tolerance``.
    """
    difference = max(parity(network, onnx, batch) for batch in batches)
    if not difference <= tolerance:  # not a number is beyond, too
        raise CorruptFileError(
            f"the exported network differs from PyTorch by {difference:.1e} of the output's range "
            f"on {where}; at most {tolerance:.0e} is allowed; nothing was written"
        )
    return difference


def card(name: str, task: str, architecture: str, **facts: Any) -> Card:
    """The card of a network of this repository."""
    return Card(
        name=name,
        task=task,
        architecture=architecture,
        source=f"facegeo, models/{name}",
        licence=AFLW_LICENCE,
        files={},
        **facts,
    )


def mean_weights(network: nn.Module, other: nn.Module) -> None:
    """Give a network the mean of its weights and batch-norm statistics and those of another.

    Of a network and the one that it was trained on from, the mean keeps what the last stage gained
    without what it forgot (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").

    Raises
    ------
    InvalidInputError
        If they are not of the same layers.
    """
    before, state = other.state_dict(), network.state_dict()
    if {n: v.shape for n, v in before.items()} != {n: v.shape for n, v in state.items()}:
        raise InvalidInputError("mean of weights: expected two networks of the same layers")
    for name, value in state.items():
        if value.is_floating_point():
            value.lerp_(before[name], 0.5)


def read_template(folder: Path) -> str:
    """The text that a model's card is made of. Raises UnreadableFileError, naming the file."""
    path = folder / TEMPLATE
    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file; the model's card is made from it")
    return path.read_text(encoding="utf-8")


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with each ``{name}`` replaced. Raises InvalidInputError for an unknown one."""
    unknown = set(_PLACEHOLDER.findall(template)) - set(values)
    if unknown:
        raise InvalidInputError(
            f"{TEMPLATE}: no values for {sorted(unknown)}; known are {sorted(values)}"
        )
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def write_record(
    folder: Path,
    configs: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Any],
    curve: bytes,
    card_text: str,
) -> None:
    """Write what stays in ``models/<name>``: configurations, metrics, curve and card.

    Parameters
    ----------
    configs : mapping
        Name of the file, such as ``config.yaml`` -> its settings.
    curve : bytes
        A JPEG file.
    """
    yaml = require_yaml()
    contents = {
        **{n: yaml.safe_dump(dict(c), sort_keys=False).encode() for n, c in configs.items()},
        METRICS: (json.dumps(figures, indent=2) + "\n").encode(),
        "curve.jpg": curve,
        "card.md": card_text.encode(),
    }
    for name, content in contents.items():
        files.write_bytes(folder / name, content)
