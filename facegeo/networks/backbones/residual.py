"""Small networks of plain layers that a processor runs fast: residual blocks, ReLU, few layers.

Inverted residuals spend most of their time on moving wide feature maps in and out of memory; what
counts on a processor is how often it reads and writes them (Vasu et al. 2023, "MobileOne", section
3). These have no expansion, no squeeze-and-excitation and no activation but ReLU, all of which
engines fold into the convolutions, sums of residual blocks too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from facegeo.networks.backbones.depthwise import DepthwiseConv2d

#: A block from input channels, output channels and stride.
Block = Callable[[int, int, int], nn.Module]


def _norm_relu(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()]


def _dense(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


class SeparableBlock(nn.Module):
    """MobileNetV1's depthwise and pointwise convolution, added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *_norm_relu(DepthwiseConv2d(inputs, 3, stride)),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return torch.relu(x + y if self.adds else y)


class DenseBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet's basic block); one where it is strided."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        layers = _norm_relu(_dense(inputs, outputs, stride))[:-1]
        if self.adds:
            layers = [*layers, nn.ReLU(), *_norm_relu(_dense(outputs, outputs))[:-1]]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return torch.relu(x + y if self.adds else y)


class ResidualNet(nn.Module):
    """Stem, four stages of blocks, a last pointwise layer, global average pooling.

    Parameters
    ----------
    block : callable
    stem : int
        Channels of the strided 3x3 convolution that comes first.
    widths, depths : sequence of int
        Channels and blocks of each stage; the first block of each is strided.
    num_features : int
        Length of the pooled vector.
    """

    def __init__(
        self,
        block: Block,
        stem: int,
        widths: Sequence[int],
        depths: Sequence[int],
        num_features: int,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        layers: list[nn.Module] = [nn.Sequential(*_norm_relu(_dense(3, stem, 2)))]
        channels = stem
        for width, depth in zip(widths, depths, strict=True):
            for index in range(depth):
                layers.append(block(channels, width, 2 if index == 0 else 1))
                channels = width
        layers.append(nn.Sequential(*_norm_relu(nn.Conv2d(channels, num_features, 1, bias=False))))
        self.features = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, S, S)`` normalised crops to ``(N, num_features)``."""
        return self.features(x).mean(dim=(2, 3))
