"""Engines that run a network. The names of engines are this package's business."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from facegeo.backends.base import AS_WRITTEN, Backend, TensorSpec
from facegeo.base.arrays import describe
from facegeo.base.cpu import runs_int8_exactly
from facegeo.base.versions import installed_version
from facegeo.errors import BackendUnavailableError, InvalidInputError
from facegeo.zoo.store import InstalledModel, role_of

__all__ = [
    "AS_WRITTEN",
    "AUTO",
    "BACKENDS",
    "Backend",
    "FOR_ANY_SIZE",
    "REFERENCE",
    "TensorSpec",
    "engine_versions",
    "open_graph",
    "open_network",
    "reference_for",
]

_log = logging.getLogger(__name__)

AUTO: Final = "auto"

#: The backend that others are compared with: always installed, and it computes what a file says.
REFERENCE: Final = "onnxruntime"

#: The backend for inputs of many sizes, as photos are to a detector. OpenVINO, the fastest for
#: crops, compiles for every new size, a quarter of a second each; nor is it faster afterwards.
FOR_ANY_SIZE: Final = "onnxruntime"

#: Backend name -> module with functions ``open_network(model, device, precision)`` and
#: ``open_graph(onnx, device, precision)``.
BACKENDS: Final = {
    "onnxruntime": "facegeo.backends.onnxrt.backend",
    "openvino": "facegeo.backends.openvino",
    "pytorch": "facegeo.backends.pytorch.backend",
    "tensorrt": "facegeo.backends.trt.backend",
}


def open_network(
    model: InstalledModel, backend: str = AUTO, device: str = AUTO, precision: str = AUTO
) -> Backend:
    """Load a model's network into an engine.

    Parameters
    ----------
    backend : str
        ``auto`` or a name of :data:`BACKENDS`.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Only ``auto`` may choose.
    precision : str
        ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``. ``auto`` takes the model's int8 graph
        on a CPU that multiplies 8-bit numbers exactly, where the model has one, else float32.

    Returns
    -------
    network : Backend
        Its ``selection_reason`` says what ``auto`` took, and why.

    Raises
    ------
    BackendUnavailableError
        If the backend, device or precision that was named is not there.
    DependencyMissingError
        If the engine is not installed.
    """
    _check_known(backend)
    name, why = (backend, []) if backend != AUTO else _pick_backend(device, precision)
    if precision == AUTO:
        precision, reason = _pick_precision(model, name, device)
        why.append(reason)
    opener: Callable[[InstalledModel, str, str], Backend]
    opener = import_module(BACKENDS[name]).open_network
    network = opener(model, device, precision)
    network.selection_reason = "; ".join(why) or network.selection_reason
    _log.info(
        "%s runs on %s, %s, %s (%s)",
        model.card.name,
        network.name,
        network.device,
        network.precision,
        network.selection_reason,
    )
    return network


def open_graph(
    onnx: bytes, *, backend: str = REFERENCE, device: str = "cpu", precision: str = AS_WRITTEN
) -> Backend:
    """Load an ONNX file, one that belongs to no installed model, into an engine.

    >>> with open_graph(Path("network.onnx").read_bytes()) as network:
    ...     outputs = network.run({"crops": crops})

    Parameters
    ----------
    onnx : bytes
        Content of a self-contained file.
    backend : str
        As :func:`open_network` takes it. ``pytorch`` runs no ONNX files.
    device : str
        As :func:`open_network` takes it.
    precision : str
        In what the network is to run, or :data:`AS_WRITTEN`, without a check; TensorRT has to be
        told.

    Raises
    ------
    InvalidInputError
        If ``onnx`` is not bytes.
    CorruptFileError
        If the engine cannot use the file.
    BackendUnavailableError
        If the backend, device or precision that was named is not there.
    DependencyMissingError
        If the engine is not installed.
    """
    if not isinstance(onnx, bytes):
        raise InvalidInputError(f"onnx: expected a file's content, bytes, got {describe(onnx)}")
    _check_known(backend)
    name = backend if backend != AUTO else _pick_backend(device, precision)[0]
    opener: Callable[[bytes, str, str], Backend] = import_module(BACKENDS[name]).open_graph
    return opener(onnx, device, precision)


def reference_for(precision: str) -> str:
    """The backend that a graph of a precision is proved with on the CPU."""
    # ONNX Runtime has no bfloat16 convolutions there.
    return "openvino" if precision == "bf16" else REFERENCE


def engine_versions() -> dict[str, str | None]:
    """Versions of the packages that compute ONNX files on the CPU; None for one that is missing."""
    return {package: installed_version(package) for package in ("onnxruntime", "openvino")}


def _check_known(backend: str) -> None:
    if backend not in (AUTO, *BACKENDS):
        known = ", ".join([AUTO, *BACKENDS])
        raise BackendUnavailableError(f"backend: expected one of {known}, got {backend!r}")


def _pick_backend(device: str, precision: str) -> tuple[str, list[str]]:
    """The fastest engine that is installed for a device, and why."""
    if device not in (AUTO, "cpu"):
        return "onnxruntime", [f"backend: ONNX Runtime runs on {device}"]
    if device == AUTO and _has_cuda():
        return "onnxruntime", ["backend: ONNX Runtime has a CUDA provider"]
    if precision == "fp16":
        return "onnxruntime", ["backend: ONNX Runtime runs fp16 graphs"]
    if find_spec("openvino") is None:
        return "onnxruntime", ["backend: OpenVINO, faster on CPUs, is not installed"]
    return "openvino", ["backend: OpenVINO is installed and the fastest on CPUs"]


def _pick_precision(model: InstalledModel, backend: str, device: str) -> tuple[str, str]:
    on_cpu = device == "cpu" or (device == AUTO and not _has_cuda())
    if backend in ("pytorch", "tensorrt") or not on_cpu:
        return "fp32", "precision: fp32 unless asked for"
    if role_of("int8") not in model.card.files:
        return "fp32", "precision: the model has no int8 graph"
    if not runs_int8_exactly():
        return "fp32", "precision: this processor is not known to add 8-bit products exactly"
    return "int8", "precision: the model has an int8 graph, compared with float32"


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
