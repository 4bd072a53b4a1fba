"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks")."""

from __future__ import annotations

import torch
from torch import nn

#: Table 2: expansion t, output channels c, repetitions n, stride s of the first repetition.
_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv_norm_relu(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project linearly; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [_conv_norm_relu(inputs, hidden, 1)]
        self.conv = nn.Sequential(
            *layers,
            _conv_norm_relu(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """The network up to its global average pooling.

    Attributes
    ----------
    num_features : int
        Length of the pooled vector.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_features = 1280
        layers: list[nn.Module] = [_conv_norm_relu(3, 32, 3, stride=2)]
        channels = 32
        for expansion, outputs, repetitions, first_stride in _BLOCKS:
            for repetition in range(repetitions):
                stride = first_stride if repetition == 0 else 1
                layers.append(InvertedResidual(channels, outputs, stride, expansion))
                channels = outputs
        layers.append(_conv_norm_relu(channels, self.num_features, 1))
        self.features = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, S, S)`` normalised crops to ``(N, 1280)``."""
        return self.features(x).mean(dim=(2, 3))
