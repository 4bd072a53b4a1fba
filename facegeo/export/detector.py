"""The detector's network as an ONNX file."""

from __future__ import annotations

import torch

from facegeo.export.to_onnx import to_onnx, with_weights_named
from facegeo.networks.detector.network import OneStageDetector
from facegeo.networks.folding import folded

#: Largest difference of ONNX from PyTorch, as a part of each output's range.
TOLERANCE = 1e-4


def detector_to_onnx(network: OneStageDetector) -> bytes:
    """The network as an ONNX file for photos of any size and number, proven against PyTorch.

    Raises
    ------
    DependencyMissingError
        Without the extra ``[torch]``.
    CorruptFileError
        If the exported network differs by more than :data:`TOLERANCE`.
    """
    generator = torch.Generator().manual_seed(0)

    def images(count: int, height: int, width: int) -> torch.Tensor:
        shape = (count, height, width, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    plain = folded(network, images(1, 64, 64))
    onnx = to_onnx(
        plain,
        images(2, 128, 192),
        input_name="photos",
        output_names=("scores", "distances"),
        dynamic={0: "batch", 1: "height", 2: "width"},
        checks=(images(1, 480, 640), images(3, 96, 32)),
        tolerance=TOLERANCE,
    )
    return with_weights_named(onnx, plain)
