"""One batch to one loss: what several processes run side by side, and what is compiled."""

from __future__ import annotations

import torch
from torch import nn

from facegeo.errors import InvalidInputError
from facegeo.networks.synergy.network import SynergyNet
from facegeo.training.data.batches import Batch
from facegeo.training.landmarks.losses import LossConfig, distillation_terms, total_loss

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingStep(nn.Module):
    """A network with its losses.

    Parameters
    ----------
    network : SynergyNet
    loss : LossConfig
    precision : str
        Of the backbone; everything after it runs in float32.
    teacher : SynergyNet, optional
        Frozen; its parameters and features are further targets.
    """

    def __init__(
        self,
        network: SynergyNet,
        loss: LossConfig,
        precision: str = "fp32",
        teacher: SynergyNet | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._loss = loss
        self._dtype = _DTYPES[precision]
        # In a tuple, so that the teacher is no part of this module's weights.
        self._teacher = (teacher,)
        self.to_teacher: nn.Module | None = None
        if loss.teacher_features and teacher is not None:
            own, theirs = (int(n.backbone.num_features) for n in (network, teacher))  # type: ignore[arg-type]
            self.to_teacher = nn.Linear(own, theirs)
        if teacher is None and (loss.teacher_params or loss.teacher_features):
            raise InvalidInputError("loss: weights for a teacher are given, but no teacher")

    def forward(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Total loss and its terms, for a batch of :class:`DeviceCrops`."""
        network = self.network
        result = network.regress(self._features(network, batch["crop"]))
        truth = batch["params"]
        whitened = (truth - network.param_mean) / network.param_std
        fitted = network.landmarks(truth)
        total, terms = total_loss(
            result,
            whitened,
            batch["landmarks"],
            fitted,
            batch["visibility"],
            batch["present"],
            self._loss,
        )
        (teacher,) = self._teacher
        if teacher is not None:
            more = self._distillation(teacher, batch, result.features, result.whitened)
            for name, value in more.items():
                total = total + getattr(self._loss, name) * value
            terms |= more
        return total, terms

    def _features(self, network: SynergyNet, crops: torch.Tensor) -> torch.Tensor:
        images = network.views(crops)
        enabled = self._dtype != torch.float32
        with torch.autocast(crops.device.type, self._dtype, enabled=enabled):
            features: torch.Tensor = network.backbone(images)
        return features.float()

    def _distillation(
        self, teacher: SynergyNet, batch: Batch, features: torch.Tensor, whitened: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            theirs = teacher.regress(self._features(teacher, batch["crop"]))
        target = (theirs.params - self.network.param_mean) / self.network.param_std
        own = None if self.to_teacher is None else self.to_teacher(features)
        return distillation_terms(whitened, target, own, theirs.features, batch["present"])
