"""One engine's work in flight: contexts, a stream, pinned and device buffers, recorded graphs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from facegeo.backends.recorded import RecordedSizes
from facegeo.errors import BackendUnavailableError, OutOfMemoryError
from facegeo.gpu import libcuda
from facegeo.gpu.device import Gpu

_log = logging.getLogger(__name__)

#: A batch is halved between two slots from here on; below, one copy costs less than two launches.
_WORTH_HALVING: Final = 32
_ROUND: Final = 8


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine; ``shape`` is that of one item."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool

    def nbytes(self, batch: int) -> int:
        """Bytes of a batch."""
        return batch * int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def plan_pieces(batch: int, largest: int, slots: int = 2) -> list[slice]:
    """Split a batch so that one piece is copied while another is computed.

    Pieces are equal but for the last, so few sizes occur, and each is recorded once.

    Parameters
    ----------
    batch : int
        Any number; beyond ``largest`` there are simply more pieces.
    largest : int
        The engine's profile.
    slots : int
        Pieces in flight at once.
    """
    size = min(batch, largest)
    if slots > 1 and batch >= _WORTH_HALVING:
        half = -(-batch // (slots * _ROUND)) * _ROUND
        size = min(size, half)
    return [slice(first, min(first + size, batch)) for first in range(0, batch, max(1, size))]


def require(result: bool, what: str) -> None:
    """TensorRT reports failure as False. Raises BackendUnavailableError."""
    if not result:
        raise BackendUnavailableError(
            f"TensorRT refuses {what}; its messages are in the log "
            "(logging.getLogger('facegeo.backends.trt.build'))"
        )


class Slot:
    """Room for one piece of a batch. It is used by one thread at a time, in a current context.

    Parameters
    ----------
    engine
        ``ICudaEngine``.
    tensors : sequence of Tensor
    largest : int
        Items in a piece.
    """

    def __init__(self, gpu: Gpu, engine: Any, tensors: list[Tensor], largest: int) -> None:
        self._gpu, self._engine, self._tensors = gpu, engine, tensors
        self.stream = gpu.stream()
        self._host = {t.name: gpu.pinned((largest, *t.shape), t.dtype) for t in tensors}
        self._device = {t.name: gpu.allocate(t.nbytes(largest)) for t in tensors}
        self._context = self._new_context()
        self._records = True
        # Each recorded size keeps a context of its own, whose shapes do not change any more.
        self._graphs = RecordedSizes(self._record, self._forget)

    def submit(self, inputs: dict[str, np.ndarray], batch: int) -> None:
        """Start a piece; ``inputs`` are copied before this returns, the rest goes on by itself."""
        for name, array in inputs.items():
            self._host[name][:batch] = array
        recorded = self._recorded(batch)
        if recorded is not None:
            recorded[0].replay(self.stream.handle)
        else:
            self._set_batch(self._context, batch)
            self._enqueue(self._context, batch)

    def _recorded(self, batch: int) -> tuple[libcuda.Graph, Any] | None:
        if not self._records:
            return None
        try:
            return self._graphs.get(batch)
        except OutOfMemoryError as error:
            self._records = False
            _log.warning("%s; going on without recorded graphs", error)
            return None

    def collect(self, outputs: dict[str, np.ndarray], part: slice) -> None:
        """Wait for the piece and copy its results to their place."""
        self.stream.synchronize()
        for name, array in outputs.items():
            array[part] = self._host[name][: part.stop - part.start]

    def outputs_on_device(self) -> dict[str, int]:
        """Addresses of the last piece's outputs."""
        return {t.name: int(self._device[t.name]) for t in self._tensors if not t.is_input}

    def close(self) -> None:
        """Free recordings, contexts and buffers, in the order in which they need each other."""
        self.stream.synchronize()
        self._graphs.clear()
        self._context = None
        self._device.clear()
        self._host.clear()

    def _record(self, batch: int) -> tuple[libcuda.Graph, Any]:
        context = self._new_context()
        self._set_batch(context, batch)
        # The first run after a change of shape does work that must not be recorded.
        self._enqueue(context, batch)
        self.stream.synchronize()
        return libcuda.Graph(self.stream.handle, lambda: self._enqueue(context, batch)), context

    def _forget(self, recorded: tuple[libcuda.Graph, Any]) -> None:
        self.stream.synchronize()
        recorded[0].close()

    def _new_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise OutOfMemoryError(
                f"cuda:{self._gpu.index}: TensorRT makes no execution context, most likely for "
                "lack of memory; build the engine for smaller batches"
            )
        for tensor in self._tensors:
            address = int(self._device[tensor.name])
            require(context.set_tensor_address(tensor.name, address), f"buffer {tensor.name!r}")
        return context

    def _set_batch(self, context: Any, batch: int) -> None:
        for tensor in self._tensors:
            if tensor.is_input:
                shape = (batch, *tensor.shape)
                require(context.set_input_shape(tensor.name, shape), f"{tensor.name!r} of {shape}")

    def _enqueue(self, context: Any, batch: int) -> None:
        gpu, stream = self._gpu, self.stream
        for tensor in self._tensors:
            if tensor.is_input:
                gpu.copy_in(self._device[tensor.name], self._host[tensor.name][:batch], stream)
        require(context.execute_async_v3(stream.handle), f"a batch of {batch}")
        for tensor in self._tensors:
            if not tensor.is_input:
                gpu.copy_out(self._host[tensor.name][:batch], self._device[tensor.name], stream)
