"""Settings of a training run of the detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facegeo.errors import InvalidInputError
from facegeo.networks.detector.network import STRIDES
from facegeo.training.core.optimiser import OptimiserConfig
from facegeo.training.core.settings import (
    DECAY,
    build_settings,
    check_counts,
    check_numbers,
    plain_settings,
)


@dataclass(frozen=True)
class DetectorData:
    """Material that scenes are composed of.

    Attributes
    ----------
    faces : str
        Folder with ``crops.tar`` and ``annotations.npz``: AFLW's crops.
    backgrounds : str
        Folder or tar of photos. The first of every five, by file name, is held back for
        evaluation.
    teacher : str
        Installed detector that gives the boxes of the crops and the regions to ignore.
    workers : int
        Processes that compose scenes, for each training process; 0 composes between the steps.
    """

    faces: str
    backgrounds: str
    teacher: str = "faceboxes"
    workers: int = 1

    def __post_init__(self) -> None:
        check_counts(self, "data.", 0, "workers")


@dataclass(frozen=True)
class DetectorConfig:
    """One training run; every setting can stand in the YAML file.

    Attributes
    ----------
    run : str
        Folder of the run: config, metrics, checkpoint, what the teacher said.
    optimiser : OptimiserConfig
        All of it or none: what a file leaves out of it has the value of the landmarks' recipe.
    steps, batch : int
        Optimiser steps in all; scenes a step where they are of ``reference_side``. Smaller scenes
        come in larger batches, so that all steps cost about the same.
    sides : tuple of int
        Sides of the square scenes to draw from, multiples of 64.
    reference_side : int
    ema : float
        Decay of the averaged weights, which are what is measured and shipped.
    precision : str
        ``fp32`` or ``bf16``.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threads : int
        Of PyTorch on the CPU; 0 leaves its choice.
    seed : int
    mine_steps : int
        Steps between two searches for false boxes; 0 never searches.
    checkpoint_steps, log_steps : int
    initial : str
        Weights to start from: the checkpoint of an earlier run (its averaged weights), an
        ``.onnx`` file that :mod:`facegeo` exported, or the name of a model; empty: random ones.
    """

    run: str
    data: DetectorData
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            "adamw", rate=2e-3, weight_decay=1e-2, schedule="cosine", warmup=0.01, clip=10.0
        )
    )
    steps: int = 20000
    batch: int = 16
    sides: tuple[int, ...] = (256, 320, 384, 448, 640)
    reference_side: int = 352
    ema: float = 0.998
    precision: str = "bf16"
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    mine_steps: int = 800
    checkpoint_steps: int = 500
    log_steps: int = 20
    initial: str = ""

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise InvalidInputError(f"precision: expected fp32 or bf16, got {self.precision!r}")
        step = STRIDES[-1]
        fits = [type(side) is int and side >= 64 and not side % step for side in self.sides]
        if not fits or not all(fits):
            raise InvalidInputError(f"sides: expected multiples of 64, got {self.sides}")
        check_counts(self, "", 1, "steps batch checkpoint_steps log_steps reference_side")
        check_counts(self, "", 0, "mine_steps threads seed")
        check_numbers(self, "", {DECAY: "ema"})

    def scenes_of(self, side: int) -> int:
        """Scenes a step of a side."""
        return max(2, round(self.batch * (self.reference_side / side) ** 2))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for YAML and JSON."""
        return plain_settings(self)


def config_from(content: Mapping[str, Any]) -> DetectorConfig:
    """A configuration from plain values. Raises InvalidInputError."""
    return build_settings(DetectorConfig, content)
