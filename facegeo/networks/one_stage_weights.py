"""The detector out of its ONNX file."""

from __future__ import annotations

from facegeo.networks.folding import take_structure
from facegeo.networks.one_stage import OneStageDetector
from facegeo.networks.onnx_state import read_onnx_state
from facegeo.networks.regressor import load_state


def read_detector(onnx: bytes, *, trainable: bool = False) -> OneStageDetector:
    """The network of an ONNX file, in evaluation mode.

    Parameters
    ----------
    trainable : bool
        With affine layers where its batch norms were, to be trained on.

    Raises
    ------
    CorruptFileError
        If it is no ONNX file.
    InvalidInputError
        If it does not hold a detector's weights.
    """
    network, state = OneStageDetector(), read_onnx_state(onnx)
    take_structure(network, state, trainable=trainable)
    load_state(network, state, "a detector", whole=False)
    network.pixel_scale = 1.0  # the file's first layer has it
    if trainable:
        network.release_scale()
    return network.eval()
