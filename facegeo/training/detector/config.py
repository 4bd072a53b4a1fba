"""What a training run of the detector is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from facegeo.errors import InvalidInputError, UnreadableFileError
from facegeo.training.yaml_files import require_yaml


@dataclass(frozen=True)
class DetectorTraining:
    """Settings of a run; every one can stand in the YAML file.

    Attributes
    ----------
    crops, backgrounds : str
        Folder with ``crops.tar`` and ``annotations.npz``; tar file of photographs.
    run : str
        Folder for checkpoints and the log.
    teacher : str
        Installed detector that gives the boxes of the crops and the ignored regions.
    steps, batch : int
        Optimiser steps in all; scenes a step.
    rate, warmup, weight_decay : float, int, float
        AdamW: highest rate, steps to reach it; cosine decay to a hundredth.
    sides : tuple of int
        Scene sides to draw from, multiples of 64.
    ema : float
        Decay of the averaged weights.
    held_back : int
        Every n-th background is left for evaluation.
    mine_every : int
        Steps between rounds of mining false boxes; 0 mines none.
    checkpoint_every : float
        Seconds.
    threads, workers : int
        Of PyTorch; processes that compose scenes.
    bfloat16 : bool
    seed : int
    """

    crops: str
    backgrounds: str
    run: str
    teacher: str = "faceboxes"
    steps: int = 20000
    batch: int = 16
    rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 1e-2
    sides: tuple[int, ...] = (256, 320, 384, 448)
    ema: float = 0.998
    held_back: int = 5
    mine_every: int = 800
    checkpoint_every: float = 120.0
    threads: int = 2
    workers: int = 1
    bfloat16: bool = True
    seed: int = 0

    @classmethod
    def load(cls, path: str | Path) -> DetectorTraining:
        """Read a YAML file; paths in it are relative to the file.

        Raises
        ------
        UnreadableFileError
            If it cannot be read.
        InvalidInputError
            If a key is unknown or missing.
        """
        yaml = require_yaml()

        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UnreadableFileError(f"{path}: {error}") from error
        if not isinstance(content, dict):
            raise InvalidInputError(f"{path}: expected a mapping of settings")
        settings: dict[str, Any] = {k: v for k, v in content.items() if k != "task"}
        unknown = sorted(set(settings) - {f.name for f in fields(cls)})
        if unknown:
            raise InvalidInputError(f"{path}: unknown settings {', '.join(unknown)}")
        for key in ("crops", "backgrounds", "run"):
            if key not in settings:
                raise InvalidInputError(f"{path}: setting {key} is missing")
            settings[key] = str((path.parent / settings[key]).resolve())
        if "sides" in settings:
            settings["sides"] = tuple(settings["sides"])
        return cls(**settings)
