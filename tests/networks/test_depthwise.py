"""Depthwise convolutions: what runs in which precision under autocast."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegeo.networks.depthwise import DepthwiseConv2d  # noqa: E402
from facegeo.networks.mobilenet_v2 import MobileNetV2  # noqa: E402


def test_a_strided_one_runs_in_float32_under_autocast_and_the_others_do_not():
    torch.manual_seed(0)
    pictures = torch.randn(2, 8, 12, 12)
    for stride, dtype in ((1, torch.bfloat16), (2, torch.float32)):
        conv = DepthwiseConv2d(8, 3, stride)
        with torch.autocast("cpu", torch.bfloat16):
            found = conv(pictures)
        assert found.dtype == dtype and found.shape[-1] == 12 // stride
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
