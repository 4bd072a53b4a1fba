"""A PyTorch network on a CUDA GPU: channels last, half precision, work recorded as CUDA graphs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facegeo.backends.recorded import RecordedSizes
from facegeo.base.devices import check_process
from facegeo.errors import BackendUnavailableError, OutOfMemoryError
from facegeo.gpu.split import BatchSplitter

if TYPE_CHECKING:
    import torch

    from facegeo.networks.face_rows import FaceRows

#: Runs before a recording, in which libraries choose their algorithms and take their memory.
_WARM_UP: Final = 3

_TYPES: Final = {"fp16": "float16", "bf16": "bfloat16"}


def in_precision(network: FaceRows, precision: str, device_type: str) -> Callable[..., Any]:
    """The network's call with its layers in a precision; outputs, and geometry, are float32.

    Parameters
    ----------
    precision : {"fp32", "fp16", "bf16"}
    device_type : {"cuda", "cpu"}
    """
    import torch

    if precision == "fp32":
        return network
    dtype = getattr(torch, _TYPES[precision])

    def call(crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.autocast(device_type, dtype=dtype, cache_enabled=False):
            return tuple(value.float() for value in network(crops))

    return call


@dataclass(frozen=True)
class _Recording:
    graph: Any
    crops: torch.Tensor  # on the device; the graph reads it
    outputs: tuple[torch.Tensor, ...]  # on the device; the graph writes them


class CudaCall:
    """Runs a network on a GPU; a batch size that comes again is replayed as a CUDA graph.

    Calls from several threads wait for each other.

    Parameters
    ----------
    network : FaceRows
        In evaluation mode.
    device : str
        ``cuda:N``.
    precision : {"fp32", "fp16", "bf16"}

    Raises
    ------
    BackendUnavailableError
        If the weights do not end up on the device.
    """

    def __init__(self, network: FaceRows, device: str, precision: str) -> None:
        import torch

        network = network.to(device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = torch.device(device)
        self._check_place(network.param_mean, "the weights")
        self._call = in_precision(network, precision, "cuda")
        # Of the first crops; others are not recorded.
        self._crop: tuple[int, ...] | None = None
        self._recordings = RecordedSizes(self._record)
        self._splitter = BatchSplitter(device)
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __call__(self, crops: np.ndarray) -> list[np.ndarray]:
        """``(N, S, S, 3)`` uint8 crops to the network's outputs, float32 on the host.

        Raises
        ------
        OutOfMemoryError
            If not even one crop fits; larger batches are split, with one warning.
        BackendUnavailableError
            In a process that was forked after CUDA was used.
        """
        import torch

        check_process(self._process)
        parts: list[list[np.ndarray]] = []
        with self._lock, torch.inference_mode(), torch.cuda.device(self._device):
            self._splitter.run(len(crops), lambda part: parts.append(self._part(crops[part])))
            if not parts:
                parts.append(self._part(crops))
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _part(self, crops: np.ndarray) -> list[np.ndarray]:
        import torch

        try:
            outputs = self._outputs(torch.from_numpy(np.ascontiguousarray(crops)))
            return [value.cpu().numpy() for value in outputs]
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemoryError(f"{self._device}: {error}") from error

    def _outputs(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._crop is None:
            self._crop = tuple(crops.shape[1:])
        known = len(crops) > 0 and tuple(crops.shape[1:]) == self._crop
        recording = self._recordings.get(len(crops)) if known else None
        if recording is None:
            outputs = self._call(crops.pin_memory().to(self._device, non_blocking=True))
        else:
            recording.crops.copy_(crops.pin_memory(), non_blocking=True)
            recording.graph.replay()
            outputs = recording.outputs
        self._check_place(outputs[0], "the results")
        return tuple(outputs)

    def _record(self, batch: int) -> _Recording:
        import torch

        crops = torch.zeros((batch, *(self._crop or ())), dtype=torch.uint8, device=self._device)
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._call(crops)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Thread-local: another predictor may take memory in its thread meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._call(crops)
        return _Recording(graph, crops, tuple(outputs))

    def _check_place(self, tensor: torch.Tensor, what: str) -> None:
        if tensor.device != self._device:
            raise BackendUnavailableError(
                f"device {str(self._device)!r}: {what} are on {tensor.device}"
            )
