"""OpenVINO, on the CPU. Needs the extra ``[openvino]``.

Reads the same ONNX file. What is asked for is looked up in the compiled network afterwards:
OpenVINO takes wishes for a precision, and says nothing where it does not follow them.

A batch is cut into pieces of eight: eight crops' activations stay in the processor's cache (in
float32 a fifth less time than 64 at once), their shape is fixed, and pieces run beside each other,
one a core, so that no core waits for another after every layer. One crop, and what is left over,
runs on all cores together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from facegeo.backends.base import (
    AS_WRITTEN,
    Backend,
    TensorSpec,
    check_precision,
    naming,
    network_file,
)
from facegeo.errors import BackendUnavailableError, CorruptFileError, DependencyMissingError
from facegeo.zoo.store import InstalledModel

#: Crops in a piece.
_PIECE: Final = 8

#: Precision -> what OpenVINO calls the precision of what is not quantised.
_HINTS: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32", AS_WRITTEN: "f32"}
_PRECISIONS: Final = ("fp32", "bf16", "int8")

#: Precision -> precisions of which at least one convolution must run.
_PROOFS: Final = {"fp32": {"f32"}, "bf16": {"bf16"}, "int8": {"i8", "u8"}}

_CONVOLUTIONS: Final = {"Convolution", "GroupConvolution"}


class OpenVinoBackend(Backend):
    """A network that OpenVINO compiled for this processor.

    In a process that was forked off it is compiled again when it is first used there.

    Parameters
    ----------
    onnx : bytes
    device : str
        ``cpu``.
    precision : str
        ``fp32``; ``bf16``, where the processor has it, from the same float32 graph; ``int8`` from a
        graph with Q/DQ pairs; ``graph``: as the graph says, unchecked.
    threads : int, optional
        Default: all cores.
    """

    name = "openvino"

    def __init__(
        self, onnx: bytes, device: str = "cpu", precision: str = "fp32", threads: int | None = None
    ) -> None:
        if device != "cpu":
            raise BackendUnavailableError(f"device: openvino here runs on cpu, got {device!r}")
        hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if threads:
            hints["INFERENCE_NUM_THREADS"] = threads
        self._onnx, self._hints = onnx, hints
        self._compiled: _Compiled | None = _Compiled(onnx, hints, precision)
        self._of_parents: list[_Compiled] = []
        super().__init__(device, precision, self._compiled.inputs, self._compiled.outputs)
        self._prove()

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        compiled = self._compiled
        assert compiled is not None
        if compiled.process != os.getpid():
            # The threads did not come along, and to destroy it would wait for them: it is kept.
            self._of_parents.append(compiled)
            compiled = self._compiled = _Compiled(self._onnx, self._hints, self.precision)
        return compiled.run(inputs)

    def _release(self) -> None:
        if self._compiled is not None and self._compiled.process != os.getpid():
            self._of_parents.append(self._compiled)  # as in _run
        self._compiled = None

    def _prove(self) -> None:
        """Raise BackendUnavailableError where no convolution runs in the precision."""
        if self.precision not in _PROOFS:
            return
        found = self.convolution_precisions()
        if found and not found & _PROOFS[self.precision]:
            raise BackendUnavailableError(
                f"precision {self.precision!r}: OpenVINO runs this network's convolutions in "
                f"{', '.join(sorted(found))} on this processor"
            )

    def convolution_precisions(self) -> set[str]:
        """In what the convolutions of the compiled network really run: ``f32``, ``bf16``, ``i8``"""
        self.check_open()
        assert self._compiled is not None
        found = set()
        for op in self._compiled.runtime_ops():
            info = op.get_rt_info()
            if str(info["layerType"].value) in _CONVOLUTIONS:
                found.add(str(info["runtimePrecision"].value))
        return found


class _Compiled:
    """A network compiled for any batch, for one crop and for a piece, in this process."""

    def __init__(self, onnx: bytes, hints: Mapping[str, Any], precision: str) -> None:
        self.process = os.getpid()
        self._hints = hints
        # The thread ends before the core is used; why is said there.
        with ThreadPoolExecutor(1) as thread:
            self._core, can = thread.submit(_open_core).result()
        _require_bf16(can, precision)
        self._model = self._core.read_model(onnx)
        if len(self._model.inputs) != 1:
            raise CorruptFileError(f"network: {len(self._model.inputs)} inputs, expected 1")
        self.inputs = _tensor_specs(self._model.inputs)
        self.outputs = _tensor_specs(self._model.outputs)
        ((self._input, spec),) = self.inputs.items()
        self._crop = () if None in spec.shape[1:] else spec.shape[1:]
        self._lock = threading.Lock()  # requests are reused, one call at a time
        self._any = _Requests(self._compile(None, "LATENCY"))
        self._one: _Requests | None = None
        self._pieces: _Requests | None = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        crops = inputs[self._input]
        parts: list[dict[str, np.ndarray]] = []
        with self._lock:
            if not self._crop:
                return self._any.run([crops])[0]
            whole = len(crops) - len(crops) % _PIECE
            if whole:
                self._pieces = self._pieces or _Requests(self._compile(_PIECE, "THROUGHPUT"))
                cut = [crops[start : start + _PIECE] for start in range(0, whole, _PIECE)]
                parts += self._pieces.run(cut)
            rest = crops[whole:]
            if len(rest) == 1:
                self._one = self._one or _Requests(self._compile(1, "LATENCY"))
                parts += self._one.run([rest])
            elif len(rest):
                parts += self._any.run([rest])
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}

    def runtime_ops(self) -> Any:
        """The operations that run."""
        return self._any.compiled.get_runtime_model().get_ops()

    def _compile(self, batch: int | None, hint: str) -> Any:
        model = self._model
        if batch is not None:
            model = self._model.clone()
            model.reshape({self._input: [batch, *self._crop]})
        compiled = self._core.compile_model(model, "CPU", {"PERFORMANCE_HINT": hint, **self._hints})
        devices = compiled.get_property("EXECUTION_DEVICES")
        if devices != ["CPU"]:
            raise BackendUnavailableError(f"device 'cpu': OpenVINO runs on {devices}")
        return compiled


class _Requests:
    """The infer requests of a compiled network, as many as it runs beside each other."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        count = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self._input = compiled.inputs[0].any_name
        self._outputs = [output.any_name for output in compiled.outputs]

    def run(self, batches: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Outputs of every batch, in order; arrays of their own."""
        results: list[dict[str, np.ndarray]] = []
        count = len(self._requests)
        for number, batch in enumerate(batches):
            request = self._requests[number % count]
            if number >= count:
                results.append(self._collect(request))
            request.start_async({self._input: batch}, share_inputs=True)
        for number in range(len(results), len(batches)):
            results.append(self._collect(self._requests[number % count]))
        return results

    def _collect(self, request: Any) -> dict[str, np.ndarray]:
        request.wait()
        # Copies: the request's own memory is written again by the next batch.
        return {name: request.get_tensor(name).data.copy() for name in self._outputs}


def open_network(model: InstalledModel, device: str, precision: str) -> OpenVinoBackend:
    """The model's graph of that precision, compiled; bfloat16 needs no graph of its own."""
    check_precision(precision, OpenVinoBackend.name, _PRECISIONS)
    _openvino()
    role, onnx = network_file(model, "fp32" if precision == "bf16" else precision)
    with naming(model.path(role)):
        return open_graph(onnx, device, precision)


def open_graph(onnx: bytes, device: str, precision: str) -> OpenVinoBackend:
    """An ONNX file, compiled."""
    check_precision(precision, OpenVinoBackend.name, (*_PRECISIONS, AS_WRITTEN))
    try:
        return OpenVinoBackend(onnx, "cpu" if device == "auto" else device, precision)
    except (RuntimeError, UnicodeDecodeError) as error:  # it quotes the file's names
        raise CorruptFileError(f"not a usable network ({error})") from error


def _open_core() -> tuple[Any, list[str]]:
    """A core whose CPU plugin is loaded, and what the processor can do. Call it in its own thread.

    The plugin gives the thread that loads it an alternative stack for signal handlers, and frees
    that stack when the last network is dropped, though a thread may still have it: where another
    thread drops the network, or where two cores end in another order than they began. The next
    signal, Ctrl-C for one, then ends the process (seen with OpenVINO 2026.4).
    """
    core = _openvino().Core()
    return core, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _tensor_specs(ports: Sequence[Any]) -> dict[str, TensorSpec]:
    specs = {}
    for port in ports:
        lengths = [port.partial_shape[axis] for axis in range(len(port.partial_shape))]
        shape = tuple(n.get_length() if n.is_static else None for n in lengths)
        specs[port.any_name] = TensorSpec(np.dtype(port.element_type.to_dtype()), shape)
    return specs


def _require_bf16(can: Sequence[str], precision: str) -> None:
    if precision == "bf16" and "BF16" not in can:
        raise BackendUnavailableError(
            f"precision 'bf16': this processor has no bfloat16 (OpenVINO names {', '.join(can)})"
        )


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise DependencyMissingError(
            'backend "openvino": OpenVINO is not installed; pip install "facegeo[openvino]"'
        ) from error
    return openvino
