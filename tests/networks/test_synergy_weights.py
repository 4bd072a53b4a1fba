"""Weights make the round trip through both kinds of file, with all that belongs to them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.synergy_networks import CONVENTION, small_network  # noqa: E402

from facegeo.errors import CorruptFileError, UnreadableFileError  # noqa: E402
from facegeo.networks.regressor import network_state  # noqa: E402
from facegeo.networks.synergy.weights import read_weights, to_safetensors  # noqa: E402


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_the_round_trip_loses_nothing(tmp_path, suffix):
    network = small_network(adaptation=(64, 16, 8))
    path = tmp_path / f"weights.{suffix}"
    if suffix == "npz":
        np.savez(path, **network_state(network))
    else:
        path.write_bytes(to_safetensors(network))
    again = read_weights(path, CONVENTION)
    assert again.config == network.config and again.morphable_model == "facegeo-generic"
    theirs = again.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
def test_files_that_are_no_weights_are_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UnreadableFileError, match=name):
        read_weights(path, CONVENTION)
    path.write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match=name):
        read_weights(path, CONVENTION)
