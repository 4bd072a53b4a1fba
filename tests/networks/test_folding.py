"""Folded norms compute what they did, and so does what is trained on from them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from helpers.synergy_networks import CONVENTION, settle_norms, small_network  # noqa: E402
from torch import nn  # noqa: E402

from facegeo.export.publishing import sample_crops  # noqa: E402
from facegeo.networks.backbones.table import BACKBONES, build_backbone  # noqa: E402
from facegeo.networks.detector.network import OneStageDetector  # noqa: E402
from facegeo.networks.faceboxes import FaceBoxes  # noqa: E402
from facegeo.networks.folding import ChannelAffine, folded, halved, take_structure  # noqa: E402
from facegeo.networks.regressor import load_state  # noqa: E402
from facegeo.networks.synergy.released import ReleasedSynergyNet  # noqa: E402

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def settled(network: nn.Module) -> nn.Module:
    """With statistics and weights of norms that are not those of a new one."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, NORMS):
            size = module.num_features
            module.running_mean = torch.randn(size, generator=generator) * 0.1
            module.running_var = torch.rand(size, generator=generator) + 0.5
            module.weight.data = torch.rand(size, generator=generator) + 0.5
            module.bias.data = torch.randn(size, generator=generator) * 0.1
    return network.eval()


def norms(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, NORMS)]


def outputs(network: nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        found = network(inputs)
    return [found] if isinstance(found, torch.Tensor) else list(found)


def agree(ours: list[torch.Tensor], theirs: list[torch.Tensor], tolerance: float = 1e-4) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert torch.abs(a - b).max() < tolerance * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_folded_whole(name):
    torch.manual_seed(0)
    network = settled(build_backbone(name))
    crops = torch.randn(2, 3, 64, 64)
    plain = folded(network, crops)
    assert norms(network) and not norms(plain)
    agree(outputs(plain, crops), outputs(network, crops))


@pytest.mark.parametrize("kind", [OneStageDetector, FaceBoxes])
def test_every_detector_is_folded_whole(kind):
    torch.manual_seed(0)
    network = settled(kind())
    photos = torch.randint(0, 256, (2, 96, 128, 3), dtype=torch.uint8)
    plain = folded(network, photos)
    assert not norms(plain)
    agree(outputs(plain, photos), outputs(network, photos))


def test_the_released_network_is_folded_whole():
    network = settled(ReleasedSynergyNet(CONVENTION))
    crops = torch.from_numpy(sample_crops(2))
    plain = folded(network, crops)
    assert not norms(plain)
    agree(outputs(plain, crops), outputs(network, crops))


def test_affine_layers_take_the_place_of_folded_norms_and_are_folded_again():
    crops = torch.from_numpy(sample_crops(8))
    network = settle_norms(small_network(), crops.numpy())
    plain = folded(network, crops)
    state = {name: value.numpy() for name, value in plain.state_dict().items()}
    fresh = small_network()
    take_structure(fresh, state, trainable=True)
    load_state(fresh, state, "test")
    affine = [name for name, module in fresh.named_modules() if isinstance(module, ChannelAffine)]
    left = [name for name in norms(fresh) if not name.startswith("inverse")]
    assert "refinement.first_norm" in affine and not left
    agree(outputs(fresh, crops), outputs(network, crops))
    with torch.no_grad():
        for name in affine:
            fresh.get_submodule(name).weight.mul_(1.25)
            fresh.get_submodule(name).bias.add_(0.125)
    again = folded(fresh, crops)
    assert not [m for m in again.modules() if isinstance(m, ChannelAffine)]
    agree(outputs(again, crops), outputs(fresh, crops))


def test_half_precision_holds_what_is_halved():
    network = halved(small_network())
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            assert torch.equal(module.weight, module.weight.half().float())
