"""Photo -> face boxes. One detector a file."""

from __future__ import annotations

from facegeo.backends import AUTO, FOR_ANY_SIZE, open_network
from facegeo.detect.base import Detections, Detector, DetectorOptions, PresenceFilter, Search
from facegeo.errors import InvalidInputError
from facegeo.zoo.store import InstalledModel, find

__all__ = ["Detections", "Detector", "DetectorOptions", "Search", "PresenceFilter", "open_detector"]


def open_detector(
    name: str = AUTO,
    options: DetectorOptions | None = None,
    device: str = AUTO,
    *,
    search: Search | None = None,
    precision: str = AUTO,
) -> Detector:
    """A detector by name, on :data:`facegeo.backends.FOR_ANY_SIZE`.

    Parameters
    ----------
    name : str
        ``auto`` or ``default``, the detector in the package; or the name of another detection
        model, shipped or installed.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    search : Search, optional
        How large photos are searched. Only facegeo's own detector can be told.
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
    return opened(model, options, device, search, precision)


def _faceboxes(
    model: InstalledModel,
    options: DetectorOptions | None,
    device: str,
    search: Search | None,
    precision: str,
) -> Detector:
    from facegeo.detect.faceboxes import MAX_HEIGHT, MAX_WIDTH, FaceBoxesDetector

    if search is not None:
        raise InvalidInputError(
            f"search: {model.card.name!r} always shrinks photos to {MAX_WIDTH}x{MAX_HEIGHT}; "
            "only facegeo's own detector can be told how to search"
        )
    return FaceBoxesDetector(model, options, device, precision)


def _one_stage(
    model: InstalledModel,
    options: DetectorOptions | None,
    device: str,
    search: Search | None,
    precision: str,
) -> Detector:
    from facegeo.detect.one_stage import OneStageFaces

    # In float32: 8 bits save a tenth of a photo's time and lose some of the smallest faces.
    precision = "fp32" if precision == AUTO else precision
    network = open_network(model, FOR_ANY_SIZE, device, precision)
    return OneStageFaces(network, options, search, name=model.card.name)
