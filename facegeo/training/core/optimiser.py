"""The optimiser of a run, and how its rate falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from facegeo.errors import InvalidInputError, TrainingError
from facegeo.training.core.settings import DECAY, NOT_NEGATIVE, POSITIVE, SHARE, check_numbers

#: Rates, and numbers of samples a step that they are for: SynergyNet's, and what ships.
_SGD_RATE, _SGD_BATCH = 0.08, 1024
_ADAMW_RATE, _ADAMW_BATCH = 0.002, 512


@dataclass(frozen=True)
class OptimiserConfig:
    """The paper's recipe by default, for any size of batch; its weight decay is 3DDFA's.

    Attributes
    ----------
    name : str
        ``sgd`` or ``adamw``.
    rate : float or None
        None: by the batch, see :meth:`rate_for`.
    momentum, weight_decay : float
    schedule : str
        ``steps``: a tenth after 60 % of the epochs, a hundredth after 80 %; or ``cosine``.
    warmup : float
        Part of all steps over which the rate rises from zero; by default the first five of the
        paper's 80 epochs, as in its authors' program.
    clip : float
        Largest norm of the gradient; 0 leaves it as it is.
    """

    name: str = "sgd"
    rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "steps"
    warmup: float = 0.0625
    clip: float = 5.0

    def __post_init__(self) -> None:
        for name, known in (("name", ("sgd", "adamw")), ("schedule", ("steps", "cosine"))):
            value = getattr(self, name)
            if value not in known:
                raise InvalidInputError(f"optimiser.{name}: expected one of {known}, got {value!r}")
        numbers = {DECAY: "momentum", NOT_NEGATIVE: "weight_decay clip", SHARE: "warmup"}
        if self.rate is not None:
            numbers[POSITIVE] = "rate"
        check_numbers(self, "optimiser.", numbers)

    def rate_for(self, batch: int) -> float:
        """The rate for a number of samples a step.

        Where none is given, SGD has the paper's 0.08 at 1,024 samples and as much less as there are
        fewer (Goyal et al. 2017, "Accurate, Large Minibatch SGD"); AdamW has 0.002 at 512, changed
        by the square root (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive
        Gradient Algorithms").
        """
        if self.rate is not None:
            return self.rate
        if self.name == "sgd":
            return _SGD_RATE * batch / _SGD_BATCH
        return _ADAMW_RATE * math.sqrt(batch / _ADAMW_BATCH)


def build_optimiser(module: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """SGD or AdamW, whose rate is set before every step; vectors (biases, norms) do not decay."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)
    # Fused: one kernel for all tensors, where a GPU would else be told of each.
    return torch.optim.AdamW(groups, lr=0.0, fused=any(p.is_cuda for p in trained))


def refuse_divergence(
    losses: Mapping[str, float], step: int, rate: float, config: OptimiserConfig
) -> None:
    """Raise TrainingError, naming step and terms, where a term of the loss is not finite."""
    broken = [f"{name} {value}" for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        clip = "" if config.clip else ", set optimiser.clip to 5 or so"
        raise TrainingError(
            f"loss is not finite at step {step} ({', '.join(broken)}): the training diverged; "
            f"lower optimiser.rate (now {rate:.3g}){clip}, and start it anew in another folder "
            "or without its checkpoint"
        )


def rate_factor(config: OptimiserConfig, done: float) -> float:
    """Factor of the rate when a part ``done`` (0..1) of the steps is done."""
    rise = min(1.0, done / config.warmup) if config.warmup else 1.0
    if config.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return rise * (0.01 if done >= 0.8 else 0.1 if done >= 0.6 else 1.0)
