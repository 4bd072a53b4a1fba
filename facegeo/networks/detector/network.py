"""A one-stage, anchor-free face detector for the CPU: half the work of FaceBoxes.

The first convolution reads raw uint8 values and strides by four, so that nothing runs at a high
resolution. Four stages of residual blocks give features at strides 8 to 64, which are summed from
coarse to fine; every cell says whether a face is centred near it and how far its four sides are
(as in FCOS, Tian et al. 2019). 0.59 M parameters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

#: Photo pixels between neighbouring cells of each scale. Cell (row, column) is centred on pixel
#: (column * stride, row * stride): the kernels are odd and padded by their half.
STRIDES = (8, 16, 32, 64)

#: Sides of the photos that the network reads are multiples of this, so that every scale has exactly
#: twice the cells of the next coarser one that it is summed with.
SIDE_MULTIPLE = 32

#: Distance from a cell to a side of the box, in strides, where the network's output is 0.
UNIT_STRIDES = 2.0

_STEM_CHANNELS = 16
_STAGES = ((32, 2), (64, 3), (96, 3), (128, 2))
_NECK_CHANNELS = 32

#: The first convolution's weights suit inputs of about unit size; batch norm takes the mean.
_PIXEL_SCALE = 1 / 64

#: Logit of a cell before training: focal losses want rare faces from the start.
_PRIOR_LOGIT = -4.0


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU()] if activate else []))


class Residual(nn.Module):
    """Bottleneck of half the channels: 1x1, 3x3, and the shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(16, channels // 2)
        self.reduce = ConvNorm(channels, middle, 1)
        self.expand = ConvNorm(middle, channels, 3, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.expand(self.reduce(x)))


class Separable(nn.Module):
    """Depthwise 5x5 and 1x1 with a shortcut: a wide view for little work."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 5, groups=channels, activate=False)
        self.pointwise = ConvNorm(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.pointwise(self.depthwise(x))


class OneStageDetector(nn.Module):
    """The network with its pre-processing, as it is exported."""

    #: Called by their weights; see :mod:`facegeo.networks.folding`.
    functional_norms = (("stem.0", "stem.1"),)

    def __init__(self) -> None:
        super().__init__()
        self.pixel_scale = _PIXEL_SCALE
        self.stem = ConvNorm(3, _STEM_CHANNELS, 5, stride=4)
        self.stages = nn.ModuleList()
        channels = _STEM_CHANNELS
        for width, depth in _STAGES:
            blocks = [Residual(width) for _ in range(depth)]
            self.stages.append(nn.Sequential(ConvNorm(channels, width, 3, stride=2), *blocks))
            channels = width
        self.laterals = nn.ModuleList(ConvNorm(c, _NECK_CHANNELS, 1) for c, _ in _STAGES)
        self.necks = nn.ModuleList(Separable(_NECK_CHANNELS) for _ in _STAGES)
        heads = [nn.Conv2d(_NECK_CHANNELS, 5, 1) for _ in _STAGES]
        self.heads = nn.ModuleList(heads)
        for head in heads:
            nn.init.normal_(head.weight, std=0.01)
            bias = head.get_parameter("bias")
            nn.init.zeros_(bias)
            nn.init.constant_(bias[:1], _PRIOR_LOGIT)

    def absorb_scale(self) -> None:
        """Scale the first layer's weights instead of scaling them in every call."""
        with torch.no_grad():
            self.stem.get_submodule("0").get_parameter("weight").mul_(self.pixel_scale)
        self.pixel_scale = 1.0

    def release_scale(self) -> None:
        """Undo :meth:`absorb_scale`: weights of a size that can be trained."""
        self.pixel_scale = _PIXEL_SCALE
        with torch.no_grad():
            self.stem.get_submodule("0").get_parameter("weight").div_(self.pixel_scale)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score and locate all cells.

        Parameters
        ----------
        images : (N, H, W, 3) uint8
            BGR; H and W are multiples of :data:`SIDE_MULTIPLE`.

        Returns
        -------
        scores : (N, A) float32
            Probability of a face; cells of the finest scale first, row after row.
        distances : (N, 4, A) float32
            Logarithms of the distances from the cell to the left, top, right and bottom side, in
            units of ``UNIT_STRIDES`` strides.
        """
        logits, distances = self.raw(images)
        return torch.sigmoid(logits), distances

    def raw(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Like a call, but logits ``(N, A)`` for scores: what the loss needs."""
        features = self._features(images)
        maps = [head(x).flatten(2) for head, x in zip(self.heads, features, strict=True)]
        joined = torch.cat(maps, dim=2)
        return joined[:, 0], joined[:, 1:]

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        # The axes change while the values are still bytes: a quarter of the memory to move. In
        # PyTorch nothing moves: what comes out has its channels last, as convolutions like it.
        pixels = images.permute(0, 3, 1, 2).float()
        first = self.stem[0]
        assert isinstance(first, nn.Conv2d)
        weight = first.weight if self.pixel_scale == 1 else first.weight * self.pixel_scale
        x = functional.conv2d(pixels, weight, first.bias, stride=4, padding=2)
        x = torch.relu(self.stem[1](x))
        maps = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        # The coarsest scale has rounded sizes where a side is an odd multiple; it stands alone.
        for fine in (1, 0):
            maps[fine] = maps[fine] + functional.interpolate(maps[fine + 1], scale_factor=2)
        return [neck(x) for neck, x in zip(self.necks, maps, strict=True)]


def cells(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and strides of all cells of a photo, in the order of the outputs.

    Returns
    -------
    centres : (A, 2) float32
        x, y in photo pixels.
    strides : (A,) float32
    """
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()], dim=1) * stride)
        strides.append(torch.full((rows * columns,), stride))
    return torch.cat(centres).float(), torch.cat(strides).float()


def decode(distances: torch.Tensor, centres: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """``xyxy`` boxes ``(..., A, 4)`` of outputs ``(..., 4, A)``."""
    reach = distances.clamp(-6, 6).exp().transpose(-1, -2) * (UNIT_STRIDES * strides)[:, None]
    return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], dim=-1)
