"""The detector's weights as a file, and its network as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.networks.one_stage import OneStageDetector

#: Largest difference of ONNX from PyTorch, as a part of each output's range.
TOLERANCE = 1e-4


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


def detector_to_onnx(network: OneStageDetector) -> bytes:
    """The network as an ONNX file for photos of any size and number, proven against PyTorch.

    Raises
    ------
    DependencyMissingError
        Without the extra ``[torch]``.
    CorruptFileError
        If the exported network differs by more than :data:`TOLERANCE`.
    """
    from facegeo.exporting import to_onnx

    generator = torch.Generator().manual_seed(0)

    def photos(count: int, height: int, width: int) -> torch.Tensor:
        shape = (count, height, width, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    return to_onnx(
        network,
        photos(2, 128, 192),
        input_name="photos",
        output_names=("scores", "distances"),
        dynamic={0: "batch", 1: "height", 2: "width"},
        checks=(photos(1, 480, 640), photos(3, 96, 32)),
        tolerance=TOLERANCE,
    )
