"""Weights make the round trip through both kinds of file, with all that belongs to them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.synergy_networks import CONVENTION, exported, settle_norms, small_network  # noqa: E402

from facegeo.errors import CorruptFileError, UnreadableFileError  # noqa: E402
from facegeo.export.publishing import sample_crops  # noqa: E402
from facegeo.networks.regressor import network_state  # noqa: E402
from facegeo.networks.synergy.weights import read_weights  # noqa: E402


def test_the_round_trip_loses_nothing(tmp_path):
    network = small_network(adaptation=(64, 16, 8))
    path = tmp_path / "weights.npz"
    np.savez(path, **network_state(network))
    again = read_weights(path, CONVENTION)
    assert again.config == network.config and again.morphable_model == "facegeo-generic"
    theirs = again.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


@torch.inference_mode()
def test_what_was_exported_comes_back_and_can_be_trained_on(tmp_path):
    crops = torch.from_numpy(sample_crops(4))
    network = settle_norms(small_network(adaptation=(64, 16, 8)), crops.numpy())
    path = tmp_path / "network.onnx"
    path.write_bytes(exported(network))
    again = read_weights(path, CONVENTION)
    assert again.morphable_model == "facegeo-generic" and again.config.inverse == ()
    for ours, theirs in zip(network(crops), again(crops), strict=True):
        assert torch.abs(ours - theirs).max() < 1e-4 * max(1, float(theirs.abs().max()))
    # Not a norm is left whose statistics a batch could change.
    again.train()
    for ours, theirs in zip(network(crops), again(crops), strict=True):
        assert torch.abs(ours - theirs).max() < 1e-3 * max(1, float(theirs.abs().max()))


@pytest.mark.parametrize("name", ["weights.npz", "weights.onnx"])
def test_files_that_are_no_weights_are_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UnreadableFileError, match=name):
        read_weights(path, CONVENTION)
    path.write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match=name):
        read_weights(path, CONVENTION)


def test_damaged_weights_are_named(tmp_path):
    """Constants in another file are not looked for: a file may name any."""
    onnx = pytest.importorskip("onnx")
    weight = onnx.numpy_helper.from_array(np.ones(4, np.float32), "backbone.weight")
    graph = onnx.helper.make_graph([], "none", [], [], [weight])
    whole = onnx.helper.make_model(graph)
    outside = onnx.helper.make_model(graph)
    (tensor,) = outside.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    texts = onnx.helper.make_model(graph)
    texts.metadata_props.add(key="equal_weights", value="[" * 9999)
    large = onnx.helper.make_model(graph)
    large.graph.initializer[0].dims[0] = 2**62
    for model, message in (
        (whole, "must hold"),
        (outside, "in another file"),
        (texts, "not a readable JSON"),
        (large, "not an ONNX file"),
    ):
        path = tmp_path / "weights.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(CorruptFileError, match=rf"weights\.onnx: not the weights.*{message}"):
            read_weights(path, CONVENTION)
