"""Engines that run a network. Nothing outside this package knows an engine's name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Final

from facegeo.backends.base import Backend
from facegeo.errors import BackendUnavailableError
from facegeo.zoo.store import InstalledModel

__all__ = ["AUTO", "BACKENDS", "Backend", "open_network"]

_log = logging.getLogger(__name__)

AUTO: Final = "auto"

#: Backend name -> module with a function ``open_network(model, device, precision)``.
BACKENDS: Final = {
    "onnxruntime": "facegeo.backends.onnxrt",
    "pytorch": "facegeo.backends.pytorch",
    "tensorrt": "facegeo.backends.trt",
}

#: What ``auto`` takes: ONNX Runtime is a base dependency, so it is always there.
_AUTO_CHOICE: Final = "onnxruntime"


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
        ``auto`` or ``fp32``.

    Raises
    ------
    BackendUnavailableError
        If the backend, device or precision that was named is not there.
    DependencyMissingError
        If the engine is not installed.
    """
    name = _AUTO_CHOICE if backend == AUTO else backend
    if name not in BACKENDS:
        known = ", ".join([AUTO, *BACKENDS])
        raise BackendUnavailableError(f"backend: expected one of {known}, got {backend!r}")
    opener: Callable[[InstalledModel, str, str], Backend]
    opener = import_module(BACKENDS[name]).open_network
    network = opener(model, device, "fp32" if precision == AUTO else precision)
    _log.info("%s runs on %s, %s", model.card.name, network.name, network.device)
    return network
