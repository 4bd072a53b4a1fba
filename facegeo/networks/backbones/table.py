"""The one table of backbones: name -> network that turns crops into a feature vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from facegeo.errors import InvalidInputError
from facegeo.networks.backbones.mobilenet_v1 import MobileNetV1
from facegeo.networks.backbones.mobilenet_v2 import SHALLOW, MobileNetV2
from facegeo.networks.backbones.residual import DenseBlock, ResidualNet, SeparableBlock
from facegeo.networks.backbones.resnest import resnest
from facegeo.networks.backbones.resnet import ResNet

#: Each takes ``(N, 3, S, S)`` crops normalised to about -1..1 and gives ``(N, num_features)``.
BACKBONES: Final[dict[str, Callable[[], nn.Module]]] = {
    "mobilenet_v1_x0.5": lambda: MobileNetV1(0.5, None),
    "mobilenet_v1_x1": lambda: MobileNetV1(1.0, None),
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v2_shallow": lambda: MobileNetV2(SHALLOW),
    "residual_separable": lambda: ResidualNet(
        SeparableBlock, 32, (64, 128, 256, 512), (2, 4, 6, 2), 1024
    ),
    "residual_dense": lambda: ResidualNet(DenseBlock, 16, (32, 64, 128, 256), (1, 2, 3, 1), 1024),
    "resnet50": lambda: ResNet((3, 4, 6, 3)),
    "resnet101": lambda: ResNet((3, 4, 23, 3)),
    "resnest50": lambda: resnest((3, 4, 6, 3), 32),
    "resnest101": lambda: resnest((3, 4, 23, 3), 64),
}


def build_backbone(name: str) -> nn.Module:
    """A backbone with He's initialisation. Raises InvalidInputError for an unknown name."""
    if name not in BACKBONES:
        known = ", ".join(sorted(BACKBONES))
        raise InvalidInputError(f"backbone: expected one of {known}, got {name!r}")
    backbone = BACKBONES[name]()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return backbone
