"""The detector out of its ONNX file."""

from __future__ import annotations

from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.networks.detector.network import OneStageDetector
from facegeo.networks.folding import take_structure
from facegeo.networks.onnx_state import read_onnx_state
from facegeo.networks.regressor import load_state


def read_detector(
    onnx: bytes, name: str = "detector", *, trainable: bool = False
) -> OneStageDetector:
    """The network of an ONNX file, in evaluation mode.

    Parameters
    ----------
    name : str
        What messages call it.
    trainable : bool
        With affine layers where its batch norms were, to be trained on.

    Raises
    ------
    CorruptFileError
        If it does not hold a detector's weights.
    """
    network = OneStageDetector()
    try:
        state = read_onnx_state(onnx)
        take_structure(network, state, trainable=trainable)
        load_state(network, state, "a detector", whole=False)
    except (CorruptFileError, InvalidInputError) as error:
        raise CorruptFileError(f"{name}: not the weights of a detector ({error})") from error
    network.pixel_scale = 1.0  # the file's first layer has it
    if trainable:
        network.release_scale()
    return network.eval()
