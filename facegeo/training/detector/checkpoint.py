"""All that a run needs to go on: weights, their average, optimiser, hard negatives, step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facegeo.errors import CorruptFileError
from facegeo.files import replacing
from facegeo.networks.one_stage import OneStageDetector
from facegeo.training.detector.scenes import HardNegatives

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(eq=False)
class Checkpoint:
    """A run between two steps.

    Attributes
    ----------
    network, average : OneStageDetector
        Trained weights and their exponential moving average, which is what is shipped.
    optimiser : AdamW or None
        None where nothing is trained.
    negatives : HardNegatives
    step : int
        Steps taken.
    """

    network: OneStageDetector
    average: OneStageDetector
    optimiser: torch.optim.AdamW | None
    negatives: HardNegatives
    step: int = 0

    @classmethod
    def start(cls, network: OneStageDetector, optimiser: torch.optim.AdamW | None) -> Checkpoint:
        """A run before its first step."""
        return cls(network, copy.deepcopy(network).eval(), optimiser, HardNegatives())

    def advance(self, decay: float) -> None:
        """Count a step and move the average; early averages forget faster."""
        self.step += 1
        keep = min(decay, (1 + self.step) / (10 + self.step))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        for key, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[key], 1 - keep)
            else:
                value.copy_(theirs[key])

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all."""
        from safetensors.torch import save_file

        tensors = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        tensors |= self._moments()
        tensors["negatives/photos"] = torch.from_numpy(self.negatives.photos)
        tensors["negatives/boxes"] = torch.from_numpy(self.negatives.boxes)
        tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"step": str(self.step)})

    def load(self, path: Path) -> None:
        """Take everything from a file of :meth:`save`. Raises CorruptFileError."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                step = int((file.metadata() or {})["step"])
            self.network.load_state_dict(_part(tensors, "network/"))
            self.average.load_state_dict(_part(tensors, "average/"))
            self._set_moments(_part(tensors, "optimiser/"))
            photos = tensors["negatives/photos"].numpy().astype(np.int64)
            self.negatives = HardNegatives(photos, tensors["negatives/boxes"].numpy())
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
            raise CorruptFileError(f"{path}: not a checkpoint of the detector ({error})") from error
        self.step = step

    def _moments(self) -> dict[str, torch.Tensor]:
        if self.optimiser is None:
            return {}
        names: dict[torch.Tensor, str] = {p: n for n, p in self.network.named_parameters()}
        return {
            f"optimiser/{names[parameter]}/{key}": torch.as_tensor(values[key])
            for parameter, values in self.optimiser.state.items()
            for key in _MOMENTS
        }

    def _set_moments(self, tensors: dict[str, torch.Tensor]) -> None:
        if self.optimiser is None:
            return
        for name, parameter in self.network.named_parameters():
            if f"{name}/step" in tensors:
                self.optimiser.state[parameter] = {
                    key: tensors[f"{name}/{key}"].clone() for key in _MOMENTS
                }


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
