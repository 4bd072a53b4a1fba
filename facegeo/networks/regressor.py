"""The network as it is exported: uint8 crops in, parameters and landmarks out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from facegeo.conventions import NUM_EXPRESSION, NUM_LANDMARKS, NUM_PARAMS, NUM_POSE, NUM_SHAPE
from facegeo.crop import CROP_SIZE, CropConvention, crop_from_pose_frame
from facegeo.errors import InvalidInputError
from facegeo.networks.mobilenet_v1 import MobileNetV1

#: Architecture names that a model's card may carry.
BACKBONES = {
    "mobilenet_v1_x1": lambda: MobileNetV1(1.0, NUM_PARAMS),
    "mobilenet_v1_x0.5": lambda: MobileNetV1(0.5, NUM_PARAMS),
}


class ParameterRegressor(nn.Module):
    """Backbone, de-normalising of its 62 outputs, and the 68 landmark rows of the 3DMM.

    The statistics and the landmark rows are buffers: they travel with the weights, so a caller can
    neither forget them nor use another model's.

    Parameters
    ----------
    backbone : nn.Module
        ``(N, 3, S, S)`` crops normalised to about -1..1 -> ``(N, 62)`` whitened parameters.
    rule : CropConvention
        Where the pose's frame lies in the crop.
    """

    param_mean: torch.Tensor
    param_std: torch.Tensor
    landmark_mean: torch.Tensor
    landmark_basis: torch.Tensor
    to_crop: torch.Tensor

    def __init__(self, backbone: nn.Module, rule: CropConvention) -> None:
        super().__init__()
        coefficients = NUM_SHAPE + NUM_EXPRESSION
        self.backbone = backbone
        self.register_buffer("param_mean", torch.zeros(NUM_PARAMS))
        self.register_buffer("param_std", torch.ones(NUM_PARAMS))
        self.register_buffer("landmark_mean", torch.zeros(3 * NUM_LANDMARKS))
        self.register_buffer("landmark_basis", torch.zeros(coefficients, 3 * NUM_LANDMARKS))
        to_crop = torch.from_numpy(crop_from_pose_frame(rule)).float()
        self.register_buffer("to_crop", to_crop, persistent=False)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict.

        Parameters
        ----------
        crops : (N, S, S, 3) uint8
            BGR.

        Returns
        -------
        params : (N, 62) float32
            De-normalised.
        landmarks : (N, 68, 3) float32
            Crop pixels: x right, y down, z to the viewer.
        """
        x = (crops.permute(0, 3, 1, 2).to(self.param_mean.dtype) - 127.5) / 128
        params = self.backbone(x) * self.param_std + self.param_mean
        return params, self.landmarks(params)

    def landmarks(self, params: torch.Tensor) -> torch.Tensor:
        """The coarse landmarks, ``(N, 62)`` to ``(N, 68, 3)`` crop pixels."""
        pose = params[:, :NUM_POSE].reshape(-1, 3, 4)
        flat = torch.addmm(self.landmark_mean, params[:, NUM_POSE:], self.landmark_basis)
        points = flat.reshape(-1, NUM_LANDMARKS, 3)
        # crop = D (A v + t) + d, folded into one affine map so that points are touched once.
        linear = self.to_crop[:, :3] @ pose[:, :, :3]
        offset = pose[:, :, 3] @ self.to_crop[:, :3].T + self.to_crop[:, 3]
        return points @ linear.transpose(1, 2) + offset[:, None]


def build_regressor(
    architecture: str, rule: CropConvention, state: Mapping[str, np.ndarray]
) -> ParameterRegressor:
    """A regressor in evaluation mode with weights; every weight must be there and nothing else.

    Raises
    ------
    InvalidInputError
        If the architecture is unknown, or names or shapes of the weights do not fit it.
    """
    if architecture not in BACKBONES:
        known = ", ".join(sorted(BACKBONES))
        raise InvalidInputError(f"architecture: expected one of {known}, got {architecture!r}")
    network = ParameterRegressor(BACKBONES[architecture](), rule)
    load_state(network, state, architecture)
    return network.eval()


def load_state(network: nn.Module, state: Mapping[str, np.ndarray], name: str) -> None:
    """Load NumPy weights strictly. Raises InvalidInputError that names what does not fit."""
    try:
        # Copies: torch will not share memory that NumPy holds read-only.
        network.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    except RuntimeError as error:
        raise InvalidInputError(f"weights do not fit {name}: {error}") from error


def input_example(batch: int = 2) -> torch.Tensor:
    """Crops for tracing: ``(batch, S, S, 3)`` uint8 of a fixed pattern."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, CROP_SIZE, CROP_SIZE, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
