"""Networks on points: the form that trains and the form that is exported."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facegeo.networks.synergy.points import PointEncoder, SharedLayers  # noqa: E402


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


def test_training_and_export_pool_the_same_points():
    torch.manual_seed(0)
    encoder = PointEncoder().double()
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.momentum = None  # the running statistics are those of the one batch
    points = torch.randn(4, 3, 68, dtype=torch.float64)

    low, face = encoder.train()(points)
    other_low, other_face = encoder.eval()(points)

    assert face.shape == (4, 1024)
    # Running variances are divided by one less than there are points.
    torch.testing.assert_close(low, other_low, rtol=0.02, atol=0.02)
    torch.testing.assert_close(face, other_face, rtol=0.02, atol=0.02)
