"""Depthwise convolutions: what runs in which precision under autocast."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegeo.networks.backbones.depthwise import DepthwiseConv2d  # noqa: E402
from facegeo.networks.backbones.mobilenet_v2 import MobileNetV2  # noqa: E402


@pytest.mark.parametrize(
    ("size", "stride", "dtype"),
    [
        (12, 1, torch.bfloat16),
        (3, 1, torch.bfloat16),
        pytest.param(12, 2, torch.float32, id="strided"),
        pytest.param(2, 1, torch.float32, id="map-smaller-than-kernel"),
    ],
)
def test_runs_in_float32_under_autocast_where_bfloat16_is_slow(size, stride, dtype):
    torch.manual_seed(0)
    pictures = torch.randn(2, 8, size, size)
    conv = DepthwiseConv2d(8, 3, stride)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(pictures)
    assert found.dtype == dtype and found.shape[-1] == size // stride
    torch.testing.assert_close(found.float(), conv(pictures), atol=0.02, rtol=0.02)


def test_gradients_come_back_through_the_change_of_precision():
    torch.manual_seed(0)
    conv = DepthwiseConv2d(8, 3, 2)
    plain = torch.randn(2, 8, 12, 12).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        conv(plain).square().sum().backward()
    exact = plain.detach().float().requires_grad_()
    conv(exact).square().sum().backward()
    assert plain.grad.dtype == torch.bfloat16
    torch.testing.assert_close(plain.grad.float(), exact.grad, atol=0.05, rtol=0.02)


def test_every_depthwise_convolution_of_a_backbone_is_one():
    grouped = [m for m in MobileNetV2().modules() if getattr(m, "groups", 1) > 1]
    assert len(grouped) == 17 and all(isinstance(m, DepthwiseConv2d) for m in grouped)
