"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import nn

from facegeo.networks.backbones.depthwise import DepthwiseConv2d

#: Repetitions n of each row of table 2; and fewer, for a network of 10 blocks instead of 17.
FULL: Final = (1, 2, 3, 4, 3, 3, 1)
SHALLOW: Final = (1, 1, 1, 2, 2, 2, 1)

#: Table 2: expansion t, output channels c, stride s of the first repetition.
_BLOCKS = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 2),
    (6, 64, 2),
    (6, 96, 1),
    (6, 160, 2),
    (6, 320, 1),
)

State = dict[str, torch.Tensor]


def _norm_relu(conv: nn.Conv2d) -> nn.Sequential:
    # Not in place: PyTorch would copy what the gradient of ReLU6 needs.
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6())


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project linearly; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [_norm_relu(_pointwise(inputs, hidden))]
        self.conv = nn.Sequential(
            *layers,
            _norm_relu(DepthwiseConv2d(hidden, 3, stride)),
            _pointwise(hidden, outputs),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """The network up to its global average pooling.

    Parameters
    ----------
    repetitions : sequence of int
        Blocks of each row of table 2: :data:`FULL` as published, or :data:`SHALLOW`.

    Attributes
    ----------
    num_features : int
        Length of the pooled vector.
    repetitions : tuple of int
    """

    def __init__(self, repetitions: Sequence[int] = FULL) -> None:
        super().__init__()
        self.num_features = 1280
        self.repetitions = tuple(repetitions)
        layers: list[nn.Module] = [_norm_relu(nn.Conv2d(3, 32, 3, 2, 1, bias=False))]
        channels = 32
        for (expansion, outputs, first_stride), count in zip(_BLOCKS, repetitions, strict=True):
            for repetition in range(count):
                stride = first_stride if repetition == 0 else 1
                layers.append(InvertedResidual(channels, outputs, stride, expansion))
                channels = outputs
        layers.append(_norm_relu(_pointwise(channels, self.num_features)))
        self.features = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, S, S)`` normalised crops to ``(N, 1280)``."""
        return self.features(x).mean(dim=(2, 3))


def shortened(state: Mapping[str, torch.Tensor], deep: MobileNetV2, shallow: MobileNetV2) -> State:
    """The weights of a deep network, under the names that a shallow one has for its layers.

    Of each row of table 2 the first blocks are kept. Those that go only added something to their
    input, so the shallow network starts near what the deep one computes.

    Parameters
    ----------
    state : mapping of str to tensor
        Of ``deep``: its ``state_dict()``.
    """
    places = {0: 0, len(deep.features) - 1: len(shallow.features) - 1}
    first_deep = first_shallow = 1
    for many, few in zip(deep.repetitions, shallow.repetitions, strict=True):
        places |= {first_deep + i: first_shallow + i for i in range(min(many, few))}
        first_deep, first_shallow = first_deep + many, first_shallow + few
    found = {}
    for name, value in state.items():
        _, place, rest = name.split(".", 2)
        if int(place) in places:
            found[f"features.{places[int(place)]}.{rest}"] = value
    return found
