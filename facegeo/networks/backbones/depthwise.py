"""Depthwise convolutions that are fast to train in bfloat16 on a CPU as well."""

from __future__ import annotations

import torch
from torch import nn


class DepthwiseConv2d(nn.Conv2d):
    """A filter for each channel, without bias; padded so that only the stride makes maps smaller.

    Under autocast on a CPU it runs in float32 where oneDNN's gradient takes up to ten times as long
    in bfloat16: if it is strided (the four of MobileNetV2 were half of a training step on a
    processor with AMX) or the map is smaller than the kernel (a third of what was left, on crops of
    64 pixels).

    Parameters
    ----------
    channels, kernel, stride : int
        ``kernel`` is odd.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda or not torch.is_autocast_enabled("cpu") or not self._slow_in_bfloat16(x):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())

    def _slow_in_bfloat16(self, x: torch.Tensor) -> bool:
        return self.stride != (1, 1) or min(x.shape[2:]) < self.kernel_size[0]
