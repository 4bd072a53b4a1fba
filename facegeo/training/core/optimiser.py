"""The optimiser of a run, and how its rate falls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class OptimiserConfig:
    """The paper's recipe by default; its weight decay is 3DDFA's, the paper states none.

    Attributes
    ----------
    name : str
        ``sgd`` or ``adamw``.
    rate, momentum, weight_decay : float
    schedule : str
        ``steps``: a tenth after 60 % of the epochs, a hundredth after 80 %; or ``cosine``.
    warmup : float
        Part of all steps over which the rate rises from zero.
    clip : float
        Largest norm of the gradient; 0 leaves it as it is.
    """

    name: str = "sgd"
    rate: float = 0.08
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "steps"
    warmup: float = 0.0
    clip: float = 0.0


def build_optimiser(module: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; vectors (biases, batch norms) are not decayed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.rate)


def rate_factor(config: OptimiserConfig, done: float) -> float:
    """Factor of the rate when a part ``done`` (0..1) of the steps is done."""
    rise = min(1.0, done / config.warmup) if config.warmup else 1.0
    if config.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return rise * (0.01 if done >= 0.8 else 0.1 if done >= 0.6 else 1.0)
