"""ResNeSt (Zhang et al. 2020, "ResNeSt: Split-Attention Networks"), radix 2, cardinality 1.

The "fast" tricks of its section 4 are in: a deep stem, average pooling in the shortcut, and average
pooling after (not before) the strided split-attention convolution.
"""

from __future__ import annotations

import torch
from torch import nn

from facegeo.networks.backbones.resnet import EXPANSION, ResNet

RADIX = 2


class SplitAttention(nn.Module):
    """3x3 convolution into ``RADIX`` splits, summed with weights that depend on all (figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels * RADIX // 4, 32)
        wide = channels * RADIX
        self.conv = nn.Conv2d(channels, wide, 3, 1, 1, groups=RADIX, bias=False)
        self.bn0 = nn.BatchNorm2d(wide)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, wide, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn0(self.conv(x)))
        splits = x.unflatten(1, (RADIX, -1))  # (N, RADIX, C, H, W)
        pooled = splits.sum(dim=1).mean(dim=(2, 3), keepdim=True)
        logits = self.fc2(torch.relu(self.bn1(self.fc1(pooled))))
        # Equation 3: a softmax over the splits, channel by channel.
        attention = torch.softmax(logits.unflatten(1, (RADIX, -1)), dim=1)
        return (attention * splits).sum(dim=1)


class SplitAttentionBottleneck(nn.Module):
    """A bottleneck whose 3x3 convolution is split attention."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = SplitAttention(width)
        self.pool: nn.Module = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.pool(self.conv2(y))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def resnest(depths: tuple[int, int, int, int], stem_width: int) -> ResNet:
    """ResNeSt50 is ``(3, 4, 6, 3), 32``; ResNeSt101 is ``(3, 4, 23, 3), 64``."""
    stem = nn.Sequential(
        nn.Conv2d(3, stem_width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(stem_width),
        nn.ReLU(inplace=True),
        nn.Conv2d(stem_width, stem_width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(stem_width),
        nn.ReLU(inplace=True),
        nn.Conv2d(stem_width, 2 * stem_width, 3, 1, 1, bias=False),
    )
    return ResNet(depths, SplitAttentionBottleneck, (stem, 2 * stem_width))
