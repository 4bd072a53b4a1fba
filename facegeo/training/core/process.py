"""Training process: its number among others, its device, its helpers."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from facegeo.errors import BackendUnavailableError


@dataclass(frozen=True)
class Process:
    """This process among those that ``torchrun`` started; alone it is number 0 of 1."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def from_environment(cls) -> Process:
        """As ``torchrun`` says it."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        return cls(*(int(os.environ.get(n, d)) for n, d in zip(names, "010", strict=True)))


def device_of(name: str, process: Process) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device. Raises BackendUnavailableError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise BackendUnavailableError("device 'cuda': PyTorch sees no CUDA device")
        torch.cuda.set_device(process.local)
        return torch.device("cuda", process.local)
    return torch.device(name)


def one_thread(_: int) -> None:
    """For workers, which share the processor with the training itself."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
