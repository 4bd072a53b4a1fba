"""The detector's weights as a file."""

from __future__ import annotations

from pathlib import Path

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.networks.one_stage import OneStageDetector


def read_detector(path: str | Path) -> OneStageDetector:
    """The network of a ``.safetensors`` file, in evaluation mode.

    Raises
    ------
    UnreadableFileError
        If there is no such file.
    CorruptFileError
        If it does not hold a detector's weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file")
    network = OneStageDetector()
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CorruptFileError(f"{path}: not the weights of a detector ({error})") from error
    return network.eval()


def to_safetensors(network: OneStageDetector) -> bytes:
    """The weights as the content of a ``.safetensors`` file."""
    from safetensors.torch import save

    return save({name: value.contiguous() for name, value in network.state_dict().items()})
