"""Networks on points: the form that trains and the form that is exported."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facegeo.networks.points import SharedLayers  # noqa: E402


def test_training_on_rows_of_points_computes_what_the_exported_layers_do():
    torch.manual_seed(0)
    layers = SharedLayers((3, 8, 16)).double().train()
    plain = nn.Sequential(*copy.deepcopy(layers))
    points = torch.randn(5, 3, 7, dtype=torch.float64)

    found, expected = layers(points), plain(points)
    found.square().sum().backward()
    expected.square().sum().backward()

    torch.testing.assert_close(found, expected)
    for one, other in zip(layers.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(layers.state_dict(), plain.state_dict())
    torch.testing.assert_close(layers.eval()(points), plain.eval()(points))
