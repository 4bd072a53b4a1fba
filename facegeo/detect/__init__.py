"""Photo -> face boxes. One detector a file."""

from __future__ import annotations

import logging
from typing import Final

from facegeo.backends import AUTO, open_network
from facegeo.detect.base import Detections, Detector, DetectorOptions, SecondOpinion
from facegeo.errors import InvalidInputError, ModelNotFoundError
from facegeo.zoo.store import InstalledModel, find

__all__ = ["Detections", "Detector", "DetectorOptions", "SecondOpinion", "open_detector"]

_log = logging.getLogger(__name__)

#: Name of the detector that needs no weights.
CASCADE: Final = "cascade"


def open_detector(
    name: str = AUTO, options: DetectorOptions | None = None, device: str = AUTO
) -> Detector:
    """A detector by name.

    Parameters
    ----------
    name : str
        ``auto``, ``default``, ``cascade``, or the name of a shipped or installed detection model.
        ``auto`` takes the default where it is there, else the cascade with one warning.

    Raises
    ------
    ModelNotFoundError
        If a detector that was named is not installed.
    """
    options = options or DetectorOptions()
    if name == CASCADE:
        return _cascade(options)
    try:
        model = find("default" if name == AUTO else name, task="detection")
    except ModelNotFoundError as error:
        if name != AUTO:
            raise
        _log.warning(
            "no face detector is installed: using a frontal-face cascade that misses turned heads "
            "and finds false faces; %s",
            str(error).rsplit("; ", 1)[-1],
        )
        return _cascade(options)
    return _opened(model, options, device)


def _opened(model: InstalledModel, options: DetectorOptions, device: str) -> Detector:
    architecture = model.card.architecture
    if architecture == "faceboxes":
        from facegeo.detect.faceboxes import FaceBoxesDetector

        return FaceBoxesDetector(model, options, device)
    if architecture == "one-stage":
        from facegeo.detect.one_stage import OneStageFaces

        network = open_network(model, "onnxruntime", device)
        return OneStageFaces(network, options, name=model.card.name)
    raise InvalidInputError(
        f"detector: expected architecture faceboxes or one-stage, got {architecture!r}"
    )


def _cascade(options: DetectorOptions) -> Detector:
    from facegeo.detect.cascade import CascadeDetector

    return CascadeDetector(options)
