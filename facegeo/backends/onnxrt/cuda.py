"""ONNX Runtime on a CUDA GPU with I/O binding: buffers on the device that are made once a size."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegeo.backends.onnxrt.specs import tensor_specs
from facegeo.backends.recorded import RecordedSizes
from facegeo.base.devices import check_process
from facegeo.errors import OutOfMemoryError
from facegeo.gpu.split import BatchSplitter


@dataclass(frozen=True)
class _Bound:
    binding: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


class BoundSession:
    """A session whose inputs and outputs lie on the device.

    Without binding, ONNX Runtime takes memory and copies from pageable memory in every call; so it
    does for networks, such as detectors, whose inputs have other free lengths than the batch. Calls
    from several threads wait for each other.

    Parameters
    ----------
    session : InferenceSession
        Axis 0 of each input and output is the batch.
    device_type : str
        ``cuda``; ``cpu`` in tests.
    index : int
        Number of the device.
    """

    def __init__(self, session: Any, device_type: str, index: int) -> None:
        self._session, self._place = session, (device_type, index)
        values = [*session.get_inputs(), *session.get_outputs()]
        self._can_bind = all(isinstance(n, int) for value in values for n in value.shape[1:])
        self._sizes = RecordedSizes(self._bind)
        self._splitter = BatchSplitter(f"{device_type}:{index}")
        self._lock = threading.Lock()
        self._process = os.getpid()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One batch; the caller owns the results.

        Raises
        ------
        OutOfMemoryError
            If not even one item fits; larger batches are split, with one warning.
        BackendUnavailableError
            In a process that was forked off.
        """
        check_process(self._process)
        batch = len(next(iter(inputs.values())))
        parts: list[dict[str, np.ndarray]] = []

        def work(part: slice) -> None:
            some = {name: np.ascontiguousarray(array[part]) for name, array in inputs.items()}
            parts.append(self._part(some, part.stop - part.start))

        with self._lock:
            self._splitter.run(batch, work)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _part(self, inputs: Mapping[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
        try:
            bound = self._sizes.get(batch) if self._can_bind else None
            if bound is None:
                names = [output.name for output in self._session.get_outputs()]
                return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
            for name, value in bound.inputs.items():
                value.update_inplace(inputs[name])
            self._session.run_with_iobinding(bound.binding)
            return {name: np.array(value.numpy()) for name, value in bound.outputs.items()}
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"{self._place[0]}:{self._place[1]}: {error}") from error
            raise

    def _bind(self, batch: int) -> _Bound:
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        for values, into in (
            (self._session.get_inputs(), inputs),
            (self._session.get_outputs(), outputs),
        ):
            for name, spec in tensor_specs(values).items():
                shape, dtype = [batch, *spec.shape[1:]], spec.dtype.type
                into[name] = OrtValue.ortvalue_from_shape_and_type(shape, dtype, *self._place)
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        return _Bound(binding, inputs, outputs)


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error of ONNX Runtime, which has no class for it, is a lack of memory."""
    text = str(error).lower()
    return "failed to allocate memory" in text or "out of memory" in text
