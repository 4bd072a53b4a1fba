"""A small SynergyNet with random weights, installed like any model."""

from __future__ import annotations

import io

import numpy as np

NAME = "tiny"


def install_tiny():
    """MobileNetV1 x0.5 with refinement, speaking facegeo-generic. Its outputs are no faces."""
    import torch

    from facegeo.crop import convention
    from facegeo.exporting import to_onnx
    from facegeo.morphable import MorphableModel
    from facegeo.networks.regressor import SYNERGY, input_example, network_state
    from facegeo.networks.synergy import SynergyNet
    from facegeo.networks.synergy_config import SynergyConfig
    from facegeo.publishing import sample_crops
    from facegeo.zoo.cards import Card
    from facegeo.zoo.face_models import model_bytes
    from facegeo.zoo.store import install

    torch.manual_seed(0)
    config = SynergyConfig(backbone="mobilenet_v1_x0.5", inverse=())
    network = SynergyNet(config, convention("exact"), "facegeo-generic")
    mean, std = np.zeros(62), np.full(62, 0.3)
    mean[:12] = [0.5, 0, 0, 60, 0, 0.5, 0, 60, 0, 0, 0.5, 0]
    std[[3, 7, 11]] = 5
    std[[0, 1, 2, 4, 5, 6, 8, 9, 10]] = 0.02
    network.speak(MorphableModel.generic(), mean, std)
    torch.nn.init.normal_(network.refinement.last.weight, std=0.002)
    _settle_norms(network, torch.from_numpy(sample_crops(16)))
    onnx = to_onnx(
        network.eval(),
        input_example(),
        input_name="crops",
        output_names=network.output_names,
        dynamic={0: "N"},
        checks=[],
    )
    weights = io.BytesIO()
    np.savez(weights, **network_state(network))
    card = Card(NAME, "landmarks", SYNERGY, "random", "MIT", {}, crop_convention="exact")
    morphable = model_bytes(MorphableModel.generic())
    return install(card, {"network": onnx, "weights": weights.getvalue(), "morphable": morphable})


def _settle_norms(network, crops) -> None:
    """Batch statistics as after training, so that activations keep a sane size."""
    import torch

    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(crops)
