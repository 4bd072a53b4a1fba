"""SynergyNet as its authors released it, which is not quite what their paper says.

Facts of the release (Wu et al. 2021, ``choyingw/SynergyNet``): the attributes pass no adaptation
layers; the refinement sees landmarks in pixels, not normalised; its last layer is followed by batch
norm and a ReLU, so that it only ever moves points to larger x, y and z; its output counts 0.05.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from facegeo.conventions import NUM_EXPRESSION, NUM_POSE, NUM_SHAPE
from facegeo.geometry.crop import CropConvention
from facegeo.networks.backbones.mobilenet_v2 import MobileNetV2
from facegeo.networks.face_rows import FaceRows
from facegeo.networks.synergy.config import GROUPS, SynergyConfig
from facegeo.networks.synergy.points import Refinement

#: Crop pixels that an output of 1 of the refinement moves a landmark.
_REFINEMENT_PX: Final = 0.05

#: The refinement was trained on pixels counted from 1.
_FIRST_PIXEL: Final = 1.0


class ReleasedRefinement(Refinement):
    """The paper's refinement with a batch norm and a ReLU at its end."""

    def __init__(self, features: int) -> None:
        super().__init__((features, NUM_SHAPE, NUM_EXPRESSION))
        self.last_norm = nn.BatchNorm1d(3)

    def _decode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.last_norm(super()._decode(x)))


class ReleasedSynergyNet(FaceRows):
    """Backbone, heads and refinement; landmark-to-3DMM serves training only and is left out."""

    output_names = ("params", "landmarks", "coarse_landmarks")

    def __init__(self, convention: CropConvention) -> None:
        super().__init__(convention)
        self.backbone = MobileNetV2()
        width = self.backbone.num_features
        groups = SynergyConfig().groups
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in groups.items()})
        self.refinement = ReleasedRefinement(width)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Predict.

        Parameters
        ----------
        crops : (N, 120, 120, 3) uint8
            BGR.

        Returns
        -------
        params : (N, 62) float32
            De-normalised.
        landmarks, coarse_landmarks : (N, 68, 3) float32
            Refined, and of the parameters; crop pixels, y down, counted from 0. The released code
            itself shows the coarse ones.
        """
        features = self.backbone(self.normalised(crops))
        whitened = torch.cat([self.heads[name](features) for name in GROUPS], dim=1)
        params = whitened * self.param_std + self.param_mean
        coarse = self.landmarks(params)
        _, shape, expression = whitened.split([NUM_POSE, NUM_SHAPE, NUM_EXPRESSION], dim=1)
        points = (coarse + _FIRST_PIXEL).transpose(1, 2)
        shift = self.refinement(points, [features, shape, expression])
        return params, coarse + _REFINEMENT_PX * shift.transpose(1, 2), coarse
