"""ResNet (He et al. 2016, "Deep Residual Learning for Image Recognition"), bottleneck form.

The stride of a block sits in its 3x3 convolution, as all common implementations have it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

#: Block of a stage: input channels, width, stride.
Block = Callable[[int, int, int], nn.Module]

#: Output channels of a bottleneck block over its width.
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def plain_stem() -> tuple[nn.Module, int]:
    """7x7 convolution, and the channels that it gives."""
    return nn.Conv2d(3, 64, 7, 2, 3, bias=False), 64


class ResNet(nn.Module):
    """Four stages of blocks up to the global average pooling.

    Parameters
    ----------
    depths : (int, int, int, int)
        Blocks of each stage: (3, 4, 6, 3) is ResNet50, (3, 4, 23, 3) is ResNet101.
    block : callable
        Builds one block from input channels, width and stride.
    stem : (nn.Module, int)
        First layer, stride 2, and its output channels.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int],
        block: Block = Bottleneck,
        stem: tuple[nn.Module, int] | None = None,
    ) -> None:
        super().__init__()
        self.conv1, channels = stem or plain_stem()
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, depth in enumerate(depths):
            width = 64 << stage
            blocks = []
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(block(channels, width, stride))
                channels = EXPANSION * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_features = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, S, S)`` normalised crops to ``(N, 2048)``."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean(dim=(2, 3))
