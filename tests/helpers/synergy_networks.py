"""Small SynergyNets with random weights."""

from __future__ import annotations

import numpy as np
import torch

from facegeo.export.to_onnx import regressor_onnx
from facegeo.geometry.crop import CROP_SIZE, find_convention
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.networks.synergy.network import SynergyNet
from helpers.morphable_data import generic_model

CONVENTION = find_convention("exact")


def small_network(refinement_std: float = 0.05, **changes) -> SynergyNet:
    """A small SynergyNet of facegeo-generic, with weights that move every output."""
    torch.manual_seed(0)
    config = SynergyConfig(**({"backbone": "mobilenet_v1_x0.5"} | changes))
    network = SynergyNet(config, CONVENTION, "facegeo-generic")
    std = np.full(62, 0.3)
    mean = np.zeros(62)
    mean[:12] = [0.5, 0, 0, 60, 0, 0.5, 0, 60, 0, 0, 0.5, 0]
    std[[3, 7, 11]] = 5
    std[[0, 1, 2, 4, 5, 6, 8, 9, 10]] = 0.02
    network.set_face_model(generic_model(), mean, std)
    if network.refinement is not None:
        torch.nn.init.normal_(network.refinement.last.weight, std=refinement_std)
    return network.eval()


def exported(network: SynergyNet, size: int = CROP_SIZE) -> bytes:
    """Its ONNX file."""
    return regressor_onnx(network, size=size, checks=())


def settle_norms(network: SynergyNet, crops: np.ndarray) -> SynergyNet:
    """Batch statistics as after training, so that activations keep a sane size."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(crops))
    return network.eval()
