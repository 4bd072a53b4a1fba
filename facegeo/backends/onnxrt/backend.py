"""ONNX Runtime, on the CPU or a CUDA GPU; providers are named, and checked afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime

from facegeo.backends.base import AS_WRITTEN, Backend, check_precision, naming, network_file
from facegeo.backends.onnxrt.cuda import BoundSession
from facegeo.backends.onnxrt.specs import tensor_specs
from facegeo.base.devices import cuda_index
from facegeo.errors import BackendUnavailableError, CorruptFileError
from facegeo.zoo.store import InstalledModel

_log = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

_PRECISIONS: Final = ("fp32", "fp16", "int8")

#: ONNX Runtime prints its own warnings to standard error; errors come as exceptions anyway.
_LOG_ERRORS_ONLY = 3

#: How long a session's threads wait awake; releases that do not know the option ignore it.
_SPIN_US = "100"


class OnnxRuntimeBackend(Backend):
    """One ONNX Runtime session."""

    name = "onnxruntime"

    def __init__(self, onnx: bytes, device: str, precision: str = "fp32") -> None:
        index = cuda_index(device)
        session = _session(onnx, index)
        super().__init__(
            device,
            precision,
            tensor_specs(session.get_inputs()),
            tensor_specs(session.get_outputs()),
        )
        self._session: Any = session
        self._outputs = [*self.output_metadata]
        self._bound = None if index is None else BoundSession(session, "cuda", index)

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._bound is not None:
            return self._bound.run(inputs)
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except _REFUSALS as error:  # the inputs are what the file asks for
            raise CorruptFileError(f"network: loaded, but cannot run ({error})") from error
        return dict(zip(self._outputs, values, strict=True))

    def _release(self) -> None:
        self._session = self._bound = None


def open_network(model: InstalledModel, device: str, precision: str) -> OnnxRuntimeBackend:
    """The model's ONNX file in a session; ``auto`` takes CUDA where it works, else the CPU."""
    check_precision(precision, OnnxRuntimeBackend.name, _PRECISIONS)
    role, onnx = network_file(model, precision)
    with naming(model.path(role)):
        return open_graph(onnx, device, precision)


def open_graph(onnx: bytes, device: str, precision: str) -> OnnxRuntimeBackend:
    """An ONNX file in a session, which computes in the types that the file has."""
    check_precision(precision, OnnxRuntimeBackend.name, (*_PRECISIONS, AS_WRITTEN))
    try:
        if device == "auto":
            return _open_auto(onnx, precision)
        return OnnxRuntimeBackend(onnx, device, precision)
    except _REFUSALS as error:
        raise CorruptFileError(f"not a usable network ({error})") from error


def _open_auto(onnx: bytes, precision: str) -> OnnxRuntimeBackend:
    if _CUDA in onnxruntime.get_available_providers():
        try:
            return OnnxRuntimeBackend(onnx, "cuda:0", precision)
        except BackendUnavailableError as error:
            _log.warning("%s; device='auto' falls back to the CPU", error)
    return OnnxRuntimeBackend(onnx, "cpu", precision)


def _session(onnx: bytes, cuda: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    # After a run a session's threads keep spinning in wait for the next one. Detector and network
    # take turns on the same cores: with the default of a millisecond and more a photo took 1.5
    # times as long on two cores. Not spinning at all costs 0.2 ms a call to wake them.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    providers: list[Any] = [_CPU] if cuda is None else [(_CUDA, {"device_id": cuda})]
    if cuda is not None:
        _require_cuda_build(cuda)
    session = onnxruntime.InferenceSession(onnx, options, providers=providers)
    # A provider that fails to load is dropped without an error; the list afterwards tells.
    if cuda is not None and session.get_providers()[0] != _CUDA:
        raise BackendUnavailableError(
            f"device 'cuda:{cuda}': ONNX Runtime has a CUDA provider but it did not load (driver "
            "or CUDA libraries missing or too old); see `facegeo doctor`"
        )
    return session


def _require_cuda_build(index: int) -> None:
    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        raise BackendUnavailableError(
            f"device 'cuda:{index}': this ONNX Runtime has no CUDA provider "
            f"(it has {', '.join(available)}); replace it: "
            "pip uninstall onnxruntime && pip install onnxruntime-gpu[cuda,cudnn]"
        )


#: Of a file: no protobuf, an empty one, unknown operators, types that do not fit, constants that it
#: says are in another file, names that are no texts.
_REFUSALS: tuple[type[Exception], ...] = (
    UnicodeDecodeError,
    *(
        kind
        for kind in vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
