"""Photo -> face boxes. One detector a file."""

from __future__ import annotations

from facegeo.backends import AUTO, FOR_ANY_SIZE, open_network
from facegeo.detect.base import (
    Detections,
    Detector,
    DetectorOptions,
    NetworkDetector,
    PresenceFilter,
    Search,
)
from facegeo.detect.formats import boxes_from
from facegeo.errors import InvalidInputError
from facegeo.zoo.store import InstalledModel, find

__all__ = [
    "Detections",
    "Detector",
    "DetectorOptions",
    "NetworkDetector",
    "PresenceFilter",
    "Search",
    "boxes_from",
    "open_detector",
]


def open_detector(
    name: str = AUTO,
    options: DetectorOptions | None = None,
    device: str = AUTO,
    *,
    precision: str = AUTO,
) -> NetworkDetector:
    """A detector by name, on :data:`facegeo.backends.FOR_ANY_SIZE`.

    Parameters
    ----------
    name : str
        ``auto`` or ``default``, the detector in the package; or the name of another detection
        model, shipped or installed.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision : str
        ``fp32`` or ``int8``; ``auto`` is ``fp32``.

    Raises
    ------
    ModelNotFoundError
        If it is not installed; the message says how to get it.
    InvalidInputError
        If the model detects no faces, or cannot be told how to search.
    """
    model = find("default" if name == AUTO else name, task="detection")
    opened = {"faceboxes": _faceboxes, "one-stage": _one_stage}.get(model.card.architecture)
    if opened is None:
        raise InvalidInputError(
            f"detector: expected architecture faceboxes or one-stage, "
            f"got {model.card.architecture!r}"
        )
    return opened(model, options, device, precision)


def _faceboxes(
    model: InstalledModel, options: DetectorOptions | None, device: str, precision: str
) -> NetworkDetector:
    from facegeo.detect.faceboxes import FaceBoxesDetector

    return FaceBoxesDetector(model, options, device, precision)


def _one_stage(
    model: InstalledModel, options: DetectorOptions | None, device: str, precision: str
) -> NetworkDetector:
    from facegeo.detect.one_stage import OneStageFaces

    # In float32: 8 bits save a tenth of a photo's time and lose some of the smallest faces.
    precision = "fp32" if precision == AUTO else precision
    network = open_network(model, FOR_ANY_SIZE, device, precision)
    return OneStageFaces(network, options, name=model.card.name)
