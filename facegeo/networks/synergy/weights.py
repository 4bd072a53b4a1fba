"""A SynergyNet out of its file: ``.npz`` of a training run, or ``.onnx``, as it ships."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from facegeo.base.npz import read_npz
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.geometry.crop import CropConvention
from facegeo.networks.onnx_state import read_onnx_state
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
        state = read_npz(io.BytesIO(data), name) if is_npz else read_onnx_state(data)
        network = build_regressor(SYNERGY, convention, state, whole=is_npz, trainable=True)
    except (OSError, ValueError, CorruptFileError) as error:
        raise CorruptFileError(f"{name}: not the weights of a SynergyNet ({error})") from error
    assert isinstance(network, SynergyNet)
    return network
