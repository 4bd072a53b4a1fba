"""MobileNetV1 (Howard et al. 2017, table 1) as 3DDFA_V2 arranges and names its layers."""

from __future__ import annotations

import torch
from torch import nn

from facegeo.networks.backbones.depthwise import DepthwiseConv2d

#: Blocks after the first convolution: name, output channels at width 1, stride.
_BLOCKS = (
    ("dw2_1", 64, 1),
    ("dw2_2", 128, 2),
    ("dw3_1", 128, 1),
    ("dw3_2", 256, 2),
    ("dw4_1", 256, 1),
    ("dw4_2", 512, 2),
    ("dw5_1", 512, 1),
    ("dw5_2", 512, 1),
    ("dw5_3", 512, 1),
    ("dw5_4", 512, 1),
    ("dw5_5", 512, 1),
    ("dw5_6", 1024, 2),
    ("dw6", 1024, 1),
)


class DepthwiseSeparable(nn.Module):
    """3x3 depthwise then 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = DepthwiseConv2d(inputs, 3, stride)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn_dw(self.conv_dw(x)))
        return torch.relu(self.bn_sep(self.conv_sep(x)))


class MobileNetV1(nn.Module):
    """Backbone, and one linear head where it is wanted.

    Parameters
    ----------
    width : float
        Multiplier of all channel counts: 1 or 0.5 in 3DDFA_V2's releases.
    outputs : int or None
        Length of the head's vector; None leaves the head out, for the pooled features.

    Attributes
    ----------
    num_features : int
        Length of the pooled vector.
    """

    def __init__(self, width: float = 1.0, outputs: int | None = 62) -> None:
        super().__init__()
        channels = int(32 * width)
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for name, full_width, stride in _BLOCKS:
            following = int(full_width * width)
            self.add_module(name, DepthwiseSeparable(channels, following, stride))
            channels = following
        self.num_features = channels
        self.fc = nn.Identity() if outputs is None else nn.Linear(channels, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, S, S)`` normalised crops to ``(N, outputs)``, or to the features."""
        x = torch.relu(self.bn1(self.conv1(x)))
        for name, _, _ in _BLOCKS:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean(dim=(2, 3)))
