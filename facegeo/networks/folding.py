"""Batch norms folded into the layers before them, as exported graphs have them, and trained anew.

In evaluation a batch norm is a scale and a shift of each channel, which the layer before it can do:
w' = s w, b' = s b + t. A folded network has an identity in the norm's place. To train one on, a
:class:`ChannelAffine` takes that place: statistics of batches would change what was learnt.
"""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import TypeVar

import torch
from torch import nn

#: Layers that can take in a norm, and norms.
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


_Network = TypeVar("_Network", bound=nn.Module)


class ChannelAffine(nn.Module):
    """A scale and a shift of each channel: what is left of a batch norm that was folded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, C, ...)`` to the same shape."""
        shape = (1, -1, *[1] * (x.ndim - 2))
        return x * self.weight.view(shape) + self.bias.view(shape)


def folded(network: _Network, example: torch.Tensor) -> _Network:
    """A copy in evaluation mode that computes the same without batch norms.

    Parameters
    ----------
    network : nn.Module
        A module that calls a layer by its weights, not as a module, names it with its norm in
        ``functional_norms``; one whose weights are scaled on the fly has ``absorb_scale()``.
    example : torch.Tensor
        Any input: which norm follows which layer is seen while it runs.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        absorb = getattr(module, "absorb_scale", None)
        if absorb is not None:
            absorb()
    for layer_name, norm_name in _pairs(network, example):
        layer, norm = network.get_submodule(layer_name), network.get_submodule(norm_name)
        scale, shift = _scale_and_shift(norm)
        weight = layer.get_parameter("weight").double()
        bias = shift if layer.bias is None else layer.get_parameter("bias").double() * scale + shift
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        layer.weight, layer.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
        network.set_submodule(norm_name, nn.Identity())
    return network


def take_structure(network: nn.Module, state: Container[str], *, trainable: bool = False) -> None:
    """Fold a network's norms, in place, where a state has no statistics for them.

    Parameters
    ----------
    state : container of str
        Names of its weights.
    trainable : bool
        A :class:`ChannelAffine` that changes nothing takes a folded norm's place.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, _NORMS) and f"{name}.running_mean" not in state:
            affine = trainable or f"{name}.weight" in state
            replacement = ChannelAffine(module.num_features) if affine else nn.Identity()
            network.set_submodule(name, replacement)
    for name, module in network.named_modules():
        if isinstance(module, _LAYERS) and module.bias is None and f"{name}.bias" in state:
            module.bias = nn.Parameter(torch.zeros(len(module.weight)))


def halved(network: _Network) -> _Network:
    """A copy whose layers' weights have values that half precision holds."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, _LAYERS):
            module.weight.data = module.weight.data.half().float()
    return network


def _pairs(network: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """Names of layers and of the norms that follow them."""
    made: dict[int, tuple[str, torch.Tensor]] = {}  # the tensors live, so that no id comes twice
    pairs: list[tuple[str, str]] = []
    hooks = []
    for name, module in network.named_modules():
        for layer, norm in getattr(module, "functional_norms", ()):
            if not isinstance(module.get_submodule(norm), nn.Identity):
                pairs.append((_joined(name, layer), _joined(name, norm)))
        if isinstance(module, _LAYERS):
            hooks.append(module.register_forward_hook(_noting(made, name)))
        elif isinstance(module, (*_NORMS, ChannelAffine)):
            hooks.append(module.register_forward_pre_hook(_pairing(made, pairs, name)))
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(pairs))


def _noting(made, name):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        made[id(output)] = (name, output)

    return hook


def _pairing(made, pairs, name):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], name))

    return hook


def _joined(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _scale_and_shift(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = norm.get_parameter("weight").double(), norm.get_parameter("bias").double()
    if isinstance(norm, ChannelAffine):
        return weight, bias
    assert isinstance(norm, _NORMS) and norm.running_mean is not None
    assert norm.running_var is not None
    scale = weight / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, bias - norm.running_mean.double() * scale
