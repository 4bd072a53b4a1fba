"""FaceBoxes (Zhang et al. 2017, "FaceBoxes: A CPU Real-time Face Detector with High Accuracy").

Rapidly digested convolutional layers (section 3.1: CReLU, strides that shrink the photo 32 times in
four layers), multiple scale convolutional layers (3.2: three Inception blocks and two more scales)
and one detection head a scale. Layer names are those of the released PyTorch weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

#: Anchors a cell of each scale, after densification: 16 + 4 + 1, 1, 1.
ANCHORS_PER_CELL = (21, 1, 1)

#: Mean BGR colour that is taken off the photo.
PIXEL_MEAN = (104.0, 117.0, 123.0)


class ConvNorm(nn.Module):
    """Convolution and batch norm; the activation is the caller's."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


def crelu(x: torch.Tensor) -> torch.Tensor:
    """Concatenated ReLU: early filters come in pairs of opposite sign, so compute half of them."""
    return torch.relu(torch.cat([x, -x], dim=1))


class Inception(nn.Module):
    """Four branches of receptive fields 1, 3 (pooled), 3 and 5, 32 channels each."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(128, 32, 1)
        self.branch1x1_2 = ConvNorm(128, 32, 1)
        self.branch3x3_reduce = ConvNorm(128, 24, 1)
        self.branch3x3 = ConvNorm(24, 32, 3)
        self.branch3x3_reduce_2 = ConvNorm(128, 24, 1)
        self.branch3x3_2 = ConvNorm(24, 32, 3)
        self.branch3x3_3 = ConvNorm(32, 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = functional.avg_pool2d(x, 3, 1, 1)
        single = torch.relu(self.branch3x3_reduce(x))
        double = torch.relu(self.branch3x3_reduce_2(x))
        double = torch.relu(self.branch3x3_2(double))
        branches = (
            self.branch1x1(x),
            self.branch1x1_2(pooled),
            self.branch3x3(single),
            self.branch3x3_3(double),
        )
        return torch.relu(torch.cat(branches, dim=1))


class FaceBoxes(nn.Module):
    """The network with its pre-processing and softmax, as it is exported."""

    pixel_mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 24, 7, stride=4)
        self.conv2 = ConvNorm(48, 64, 5, stride=2)
        self.inception1 = Inception()
        self.inception2 = Inception()
        self.inception3 = Inception()
        self.conv3_1 = ConvNorm(128, 128, 1)
        self.conv3_2 = ConvNorm(128, 256, 3, stride=2)
        self.conv4_1 = ConvNorm(256, 128, 1)
        self.conv4_2 = ConvNorm(128, 256, 3, stride=2)
        scales = tuple(zip((128, 256, 256), ANCHORS_PER_CELL, strict=True))
        self.loc = nn.ModuleList(nn.Conv2d(c, 4 * anchors, 3, 1, 1) for c, anchors in scales)
        self.conf = nn.ModuleList(nn.Conv2d(c, 2 * anchors, 3, 1, 1) for c, anchors in scales)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN), persistent=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score and locate all anchors.

        Parameters
        ----------
        images : (N, H, W, 3) uint8
            BGR.

        Returns
        -------
        offsets : (N, A, 4) float32
            Encoded against the anchors of :func:`facegeo.detect.faceboxes.anchors`.
        scores : (N, A) float32
            Probability of a face.
        """
        x = (images.to(self.pixel_mean.dtype) - self.pixel_mean).permute(0, 3, 1, 2)
        features = self._features(x)
        offsets = _per_anchor(self.loc, features, 4)
        logits = _per_anchor(self.conf, features, 2)
        return offsets, torch.softmax(logits, dim=2)[:, :, 1]

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = functional.max_pool2d(crelu(self.conv1(x)), 3, 2, 1)
        x = functional.max_pool2d(crelu(self.conv2(x)), 3, 2, 1)
        first = self.inception3(self.inception2(self.inception1(x)))
        second = torch.relu(self.conv3_2(torch.relu(self.conv3_1(first))))
        third = torch.relu(self.conv4_2(torch.relu(self.conv4_1(second))))
        return [first, second, third]


def _per_anchor(heads: nn.ModuleList, features: list[torch.Tensor], size: int) -> torch.Tensor:
    maps = [head(x).permute(0, 2, 3, 1) for head, x in zip(heads, features, strict=True)]
    return torch.cat([m.reshape(m.shape[0], -1, size) for m in maps], dim=1)
