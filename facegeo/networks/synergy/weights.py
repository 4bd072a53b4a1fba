"""A SynergyNet out of its file: ``.npz`` of a training run, or ``.onnx``, as it ships."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.geometry.crop import CropConvention
from facegeo.networks.onnx_state import State, read_onnx_state
from facegeo.networks.regressor import SYNERGY, build_regressor
from facegeo.networks.synergy.network import SynergyNet


def read_weights(path: str | Path, convention: CropConvention) -> SynergyNet:
    """The network of a weights file, in evaluation mode, to be run or trained on.

    Where a norm was folded there is an affine layer: :mod:`facegeo.networks.folding`. An ONNX file
    has no landmark-to-3DMM, which serves training only.

    Raises
    ------
    UnreadableFileError
        If there is no such file.
    CorruptFileError
        If it does not hold the weights of a SynergyNet.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path}: no such file") from error
    return parse_weights(data, convention, str(path))


def parse_weights(data: bytes, convention: CropConvention, name: str) -> SynergyNet:
    """As :func:`read_weights` from a file's content; ``name`` is for messages."""
    is_npz = zipfile.is_zipfile(io.BytesIO(data))
    try:
        state = _npz(data) if is_npz else read_onnx_state(data)
        network = build_regressor(SYNERGY, convention, state, whole=is_npz, trainable=True)
    except (OSError, ValueError, CorruptFileError) as error:
        raise CorruptFileError(f"{name}: not the weights of a SynergyNet ({error})") from error
    assert isinstance(network, SynergyNet)
    return network


def _npz(data: bytes) -> State:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise InvalidInputError(f"damaged ({error})") from error
