"""Everything that a run needs to go on as if it had not stopped, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from facegeo.base import files
from facegeo.base.json_files import parse_json
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.training.core.settings import build_settings, plain_settings

Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Progress of a run. A task without epochs counts steps alone.

    Attributes
    ----------
    epoch : int
        The epoch that runs, from 0.
    batch : int
        Batches of it that are done.
    step : int
        Batches of all epochs that are done.
    sums : dict of str to float
        Loss terms of this epoch, added up over its batches.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)


class Ema:
    """Exponential moving average of weights and batch-norm statistics (Polyak averaging).

    The decay rises from 0.1 to its value, so that early weights are forgotten soon.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        means, values = [], []
        for name, value in network.state_dict().items():
            mean = self.state[name]
            if mean.is_floating_point():
                means.append(mean)
                values.append(value)
            else:
                mean.copy_(value)
        # All at once: a GPU takes longer to be told of hundreds of tensors than to average them.
        get_ema_multi_avg_fn(decay)(means, values, step)


def save(
    path: Path,
    progress: Progress,
    config: Mapping[str, Any],
    network: nn.Module,
    ema: Ema,
    optimiser: torch.optim.Optimizer,
    scaler: Mapping[str, Any] | None = None,
    extra: Tensors | None = None,
) -> None:
    """Write a checkpoint, whole or not at all; ``extra`` is what else a task needs to go on."""
    from safetensors.torch import save as to_bytes

    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"ema/{name}": value for name, value in ema.state.items()}
    tensors |= {f"extra/{name}": value for name, value in (extra or {}).items()}
    numbers: dict[str, Any] = {}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser/{index}/{key}"] = value
            else:
                numbers[f"{index}/{key}"] = value
    meta = {
        "progress": json.dumps(vars(progress)),
        "config": json.dumps(config, sort_keys=True),
        "optimiser": json.dumps(numbers),
        "scaler": json.dumps(dict(scaler or {})),
    }
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    files.write_bytes(path, to_bytes(contiguous, meta))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Content that :func:`save` wrote; ``name`` is what errors call it."""

    progress: Progress
    config: dict[str, Any]
    network: Tensors
    ema: Tensors
    optimiser: dict[int, dict[str, Any]]
    scaler: dict[str, Any]
    extra: Tensors = field(default_factory=dict)
    name: str = "checkpoint"

    def check_settings(self, settings: Any, may_change: Collection[str], folder: Path) -> None:
        """Refuse to go on with other settings, ``may_change`` aside.

        Settings that did not exist when the run began are taken to have had their defaults.

        Raises
        ------
        InvalidInputError
            If they are others, or the run's have no meaning any more.
        """
        ours = _flat(plain_settings(settings))
        theirs = _flat(plain_settings(build_settings(type(settings), self.config)))
        different = sorted(
            name for name in ours if name not in may_change and ours[name] != theirs[name]
        )
        if different:
            raise InvalidInputError(
                f"{folder}: holds a run with other settings ({', '.join(different)}); "
                "give another folder under 'run', or remove it"
            )

    def restore(self, network: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer) -> None:
        """Put weights, averages and the optimiser's state back. Raises CorruptFileError."""
        try:
            network.load_state_dict(self.network)
            for name, value in ema.state.items():
                value.copy_(self.ema[name])
            content = optimiser.state_dict()
            content["state"] = self.optimiser
            optimiser.load_state_dict(content)
        # PyTorch refuses names and shapes that do not fit in as many ways as there are places.
        except Exception as error:
            raise CorruptFileError(f"{self.name}: not of this network ({error})") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CorruptFileError."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        progress = _progress(**_mapping(meta, "progress"))
        parts = [_mapping(meta, name) for name in ("config", "optimiser", "scaler")]
        config, numbers, scaler = parts
        optimiser: dict[int, dict[str, Any]] = {}
        for name, value in [*_below(tensors, "optimiser/").items(), *numbers.items()]:
            index, key = name.split("/")
            optimiser.setdefault(int(index), {})[key] = value
    except FileNotFoundError as error:
        raise CorruptFileError(f"{path}: no such file") from error
    # A damaged file fails in the package safetensors, in PyTorch or where names are taken apart.
    except Exception as error:
        raise CorruptFileError(f"{path}: not a checkpoint of a training run ({error})") from error
    return Checkpoint(
        progress,
        config,
        _below(tensors, "network/"),
        _below(tensors, "ema/"),
        optimiser,
        scaler,
        _below(tensors, "extra/"),
        str(path),
    )


def _flat(settings: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Settings by their whole names: ``data.workers``."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{section}{name}.")
        else:
            found[section + name] = value
    return found


def _mapping(meta: Mapping[str, str], name: str) -> dict[str, Any]:
    content = parse_json(meta[name], name)
    if not isinstance(content, dict):
        raise CorruptFileError(f"{name}: expected names and values")
    return content


def _progress(epoch: Any, batch: Any, step: Any, sums: Any) -> Progress:
    counts = (epoch, batch, step)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise CorruptFileError(f"progress: expected counts, got {counts}")
    return Progress(*counts, {str(name): float(value) for name, value in sums.items()})


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
