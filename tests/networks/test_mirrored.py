"""A network that also sees every crop in the mirror."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.morphable_data import generic_model  # noqa: E402
from helpers.synergy_networks import CONVENTION, exported, settle_norms, small_network  # noqa: E402

from facegeo.backends.onnxrt.backend import OnnxRuntimeBackend  # noqa: E402
from facegeo.errors import InvalidInputError  # noqa: E402
from facegeo.morphable.mirror import mirror_params  # noqa: E402
from facegeo.networks.regressor import (  # noqa: E402
    SYNERGY,
    build_regressor,
    input_example,
    network_state,
)
from facegeo.networks.synergy.network import mirrored_network  # noqa: E402

OFFSET_PX = (-0.5, 0.25)


def plain_network():
    return settle_norms(small_network(), input_example(8).numpy())


def in_both():
    """The plain network, mirrored, for labels that lie off by OFFSET_PX."""
    return mirrored_network(plain_network(), generic_model(), OFFSET_PX)


def moved(params: np.ndarray, sign: int) -> np.ndarray:
    """Parameters whose labels are shifted by the offset, or back."""
    params = params.copy()
    params[:, 3] += sign * OFFSET_PX[0]
    params[:, 7] -= sign * OFFSET_PX[1]  # the pose's y points up
    return params


def in_the_mirror(params: np.ndarray) -> np.ndarray:
    mirror = generic_model().mirror
    return moved(mirror_params(moved(params, -1), mirror, CONVENTION), 1)


@torch.inference_mode()
def test_the_mirror_image_gives_the_mirrored_parameters():
    crops, network = input_example(3), in_both()
    params, flipped = (network(views)[0].numpy() for views in (crops, crops.flip(2)))
    assert np.abs(in_the_mirror(params) - flipped).max() < 1e-4
    assert np.abs(params - flipped).max() > 0.1  # so the first line says something


@torch.inference_mode()
def test_the_parameters_are_the_mean_of_both_views():
    crops, network, plain = input_example(3), in_both(), plain_network()
    own, flipped = (plain(views) for views in (crops, crops.flip(2)))
    params, _, coarse, presence = network(crops)
    mean = (own[0].numpy() + in_the_mirror(flipped[0].numpy())) / 2
    assert np.abs(params.numpy() - mean).max() < 1e-4
    assert np.abs(plain.landmarks(params).numpy() - coarse.numpy()).max() < 1e-3
    logits = torch.logit(own[-1]) + torch.logit(flipped[-1])
    assert torch.allclose(presence, torch.sigmoid(logits / 2), atol=1e-6)


@torch.inference_mode()
def test_refinement_sees_the_crop_as_it_is():
    crops, network, plain = input_example(3), in_both(), plain_network()
    result = network.regress(network.backbone(network.views(crops)))
    features = plain.backbone(plain.normalised(crops))
    assert torch.allclose(result.features, features, atol=1e-6)
    refined = plain._refined(result.coarse, features, result.whitened)
    assert torch.allclose(result.landmarks, refined, atol=1e-3)
    assert not torch.allclose(result.landmarks, result.coarse, atol=0.1)


@torch.inference_mode()
def test_training_and_prediction_agree():
    crops, network = input_example(2), in_both()
    result = network.regress(network.backbone(network.views(crops)))
    params, landmarks, coarse, presence = network(crops)
    assert torch.equal(result.params, params)
    assert torch.equal(result.landmarks, landmarks)
    assert torch.equal(result.coarse, coarse)
    assert torch.equal(torch.sigmoid(result.presence_logit), presence)
    assert {len(value) for value in result.inverse.values()} == {2}


@torch.inference_mode()
def test_the_mirror_travels_with_the_weights_and_into_onnx():
    network = in_both()
    again = build_regressor(SYNERGY, CONVENTION, network_state(network))
    crops = input_example(3)
    expected = [value.numpy() for value in again(crops)]
    assert np.array_equal(expected[0], network(crops)[0].numpy())
    backend = OnnxRuntimeBackend(exported(network), "cpu")
    for count in (1, 3):
        found = backend.run({"crops": crops[:count].numpy()})
        for name, values in zip(network.output_names, expected, strict=True):
            limit = 1e-4 * max(1.0, float(np.abs(values).max()))
            assert np.abs(found[name] - values[:count]).max() < limit


def test_a_face_model_without_a_mirror_is_refused():
    network = small_network(mirrored=True)
    model = dataclasses.replace(generic_model(), mirror=None)
    with pytest.raises(InvalidInputError, match="no mirror"):
        network.set_face_model(model, np.zeros(62), np.ones(62))


def test_another_face_model_than_the_networks_is_refused():
    model = dataclasses.replace(generic_model(), name="another")
    with pytest.raises(InvalidInputError, match="expected 'facegeo-generic'"):
        mirrored_network(small_network(), model, (0.0, 0.0))
