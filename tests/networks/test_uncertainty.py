"""Covariances of landmarks, and the outputs that networks have of them and of visibility."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.morphable_data import generic_model  # noqa: E402

from facegeo.geometry.crop import find_convention  # noqa: E402
from facegeo.networks.regressor import SYNERGY, build_regressor  # noqa: E402
from facegeo.networks.synergy.config import SynergyConfig  # noqa: E402
from facegeo.networks.synergy.network import SynergyNet, mirrored_network  # noqa: E402
from facegeo.networks.synergy.uncertainty import (  # noqa: E402
    CovarianceHead,
    covariance_of,
    negative_log_likelihood,
    squared_distance,
)

CONVENTION = find_convention("exact")


def some_factors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    factors[:, 0::2] = factors[:, 0::2].exp()
    return factors


def as_matrices(covariance: torch.Tensor) -> torch.Tensor:
    xx, xy, yy = covariance.unbind(-1)
    return torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)


def test_the_likelihood_is_that_of_students_t():
    stats = pytest.importorskip("scipy.stats")
    factors = some_factors()
    matrices = as_matrices(covariance_of(factors))
    errors = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    distance = torch.einsum("ni,nij,nj->n", errors, torch.linalg.inv(matrices), errors)
    assert torch.allclose(squared_distance(errors, factors), distance)
    by_scipy = [
        -stats.multivariate_t.logpdf(error, shape=matrix, df=4)
        for error, matrix in zip(errors.numpy(), matrices.numpy(), strict=True)
    ]
    apart = negative_log_likelihood(errors, factors).numpy() - by_scipy
    assert apart == pytest.approx(apart[0])  # the constant


def test_ellipses_of_any_start_come_to_the_errors():
    """Errors of 40 pixels at first, which a training from random weights has, then of 2."""
    head = CovarianceHead(4)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    generator, features = torch.Generator().manual_seed(0), torch.ones(16, 4)
    for step in range(900):
        size = 40.0 if step < 50 else 2.0
        errors = size * torch.randn(16, 68, 2, generator=generator)
        optimiser.zero_grad()
        negative_log_likelihood(errors, head(features)).mean().backward()
        optimiser.step()
    deviation = covariance_of(head(features))[0, :, 0].sqrt()
    assert 1.2 < deviation.min() < deviation.max() < 3.0


def test_a_wrong_label_hardly_pulls():
    factors = torch.tensor([[1.0, 0.0, 1.0]] * 2, requires_grad=True)
    errors = torch.tensor([[3.0, 0.0], [300.0, 0.0]])
    negative_log_likelihood(errors, factors).sum().backward()
    assert factors.grad[1, 0] == pytest.approx(-5, abs=0.01)  # 1 - (4 + 2), however far
    assert factors.grad[0, 0] < -2


def test_a_new_head_expects_two_pixels_and_is_scaled_by_its_calibration():
    head = CovarianceHead(8)
    factors = head(torch.zeros(3, 8))
    assert factors.shape == (3, 68, 3)
    assert covariance_of(factors)[0, 0].tolist() == pytest.approx([4.2, 0, 4.2], abs=0.01)
    torch.nn.init.normal_(head.linear.weight, std=0.1)
    torch.nn.init.normal_(head.linear.bias, std=0.1)
    features, scale = torch.randn(4, 8), torch.linspace(0.5, 2.0, 68)
    before = covariance_of(head(features))
    head.calibrate(scale)
    expected = before * scale[:, None] ** 2  # but for the least deviation
    assert torch.allclose(covariance_of(head(features)), expected, rtol=0.1, atol=0.05)


def network_of(**changes) -> SynergyNet:
    config = SynergyConfig(
        backbone="mobilenet_v1_x0.5", inverse=(), visibility=True, covariance=True, **changes
    )
    model = generic_model()
    network = SynergyNet(config, CONVENTION, model.name)
    network.set_face_model(model, np.zeros(62), np.ones(62))
    return network.eval()


def test_networks_tell_visibility_and_covariance_after_the_others():
    crops = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    network = network_of()
    assert network.output_names[-2:] == ("visibility", "covariance")
    outputs = dict(zip(network.output_names, network(crops), strict=True))
    assert outputs["visibility"].shape == (2, 68) and outputs["covariance"].shape == (2, 68, 3)
    assert 0 <= outputs["visibility"].min() <= outputs["visibility"].max() <= 1
    assert (torch.linalg.eigvalsh(as_matrices(outputs["covariance"])) > 0).all()
    twin = mirrored_network(network, generic_model(), (0.0, 0.0))
    assert [value.shape for value in twin(crops)] == [value.shape for value in outputs.values()]


def test_they_come_back_out_of_a_file():
    network = network_of()
    network.covariance.calibrate(torch.full((68,), 1.7))
    crops = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    state["config"] = np.array(network.config.to_json())
    state["morphable_model"] = np.array(network.morphable_model)
    again = build_regressor(SYNERGY, CONVENTION, state)
    for one, other in zip(network(crops), again(crops), strict=True):
        assert torch.equal(one, other)
