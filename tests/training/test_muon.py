"""Muon: what its steps are, and that AdamW's are left alone."""

import pytest

torch = pytest.importorskip("torch")

from facegeo.training.config import OptimiserConfig  # noqa: E402
from facegeo.training.muon import MuonAdamW, orthogonalised  # noqa: E402
from facegeo.training.step import build_optimiser  # noqa: E402


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (16, 16)])
def test_singular_values_are_drawn_to_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(orthogonalised(1e3 * matrix), full_matrices=False)
    assert (s > 0.6).all() and (s < 1.3).all()
    expected = torch.linalg.svd(matrix, full_matrices=False)
    assert ((u @ vt) - expected.U @ expected.Vh).abs().max() < 0.02


def test_one_step_by_hand():
    """The first momentum is a twentieth of the gradient: the direction is the gradient's."""
    weight = torch.nn.Parameter(torch.ones(4, 9, 1, 1))
    weight.grad = torch.randn(4, 9, 1, 1, generator=torch.Generator().manual_seed(1))
    direction = orthogonalised(weight.grad.flatten(1)).view(4, 9, 1, 1)
    group = {"params": [weight], "matrices": True, "weight_decay": 0.5}
    MuonAdamW([group], lr=0.1).step()
    expected = (1 - 0.05) - 0.1 * 0.2 * 3 * direction
    torch.testing.assert_close(weight.detach(), expected)


def test_other_parameters_step_as_with_adamw():
    vectors = [torch.nn.Parameter(torch.linspace(0, 1, 5)) for _ in range(2)]
    for vector in vectors:
        vector.grad = torch.linspace(-1, 2, 5)
    group = {"params": [vectors[0]], "matrices": False, "weight_decay": 0.1}
    MuonAdamW([group], lr=0.01).step()
    torch.optim.AdamW([vectors[1]], lr=0.01, weight_decay=0.1).step()
    assert torch.equal(*vectors)


def test_only_the_backbones_pointwise_convolutions_are_matrices():
    network = torch.nn.ModuleDict(
        {
            "backbone": torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 16, 1), torch.nn.BatchNorm2d(16)
            ),
            "head": torch.nn.Conv2d(16, 4, 1),
        }
    )
    step = torch.nn.ModuleDict({"network": network})
    groups = build_optimiser(step, OptimiserConfig(name="muon")).param_groups
    (matrices,) = (group["params"] for group in groups if group["matrices"])
    assert [id(p) for p in matrices] == [id(network["backbone"][1].weight)]
    assert sum(len(group["params"]) for group in groups) == len(list(step.parameters()))
