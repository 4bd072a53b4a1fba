"""Files with the weights of a SynergyNet, whole: configuration and face model's name with them.

``.npz`` is what a training run writes, ``.safetensors`` what is published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.geometry.crop import CropConvention
from facegeo.networks.regressor import (
    STATE_TEXTS,
    SYNERGY,
    State,
    build_regressor,
    network_state,
)
from facegeo.networks.synergy.network import SynergyNet

_SAFETENSORS: Final = ".safetensors"


def read_weights(path: str | Path, convention: CropConvention) -> SynergyNet:
    """The network of a weights file, in evaluation mode.

    Raises
    ------
    UnreadableFileError
        If there is no such file.
    CorruptFileError
        If it does not hold the weights of a SynergyNet.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file")
    try:
        state = _safetensors(path) if path.suffix == _SAFETENSORS else _npz(path)
        network = build_regressor(SYNERGY, convention, state)
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"{path}: not the weights of a SynergyNet ({error})") from error
    if not isinstance(network, SynergyNet):
        raise CorruptFileError(f"{path}: not a SynergyNet")
    return network


def to_safetensors(network: SynergyNet) -> bytes:
    """The weights as the content of a ``.safetensors`` file."""
    from safetensors.numpy import save

    state = network_state(network)
    texts = {name: str(state.pop(name)) for name in STATE_TEXTS}
    return save({name: np.array(value, order="C") for name, value in state.items()}, texts)


def _npz(path: Path) -> State:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _safetensors(path: Path) -> State:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            state: State = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            texts = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(error) from error
    return state | {name: np.array(text) for name, text in texts.items()}
