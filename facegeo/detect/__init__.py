"""Photo -> face boxes. One detector a file."""

from __future__ import annotations

import logging
from typing import Final

from facegeo.backends import AUTO
from facegeo.detect.base import Detections, Detector, DetectorOptions
from facegeo.errors import InvalidInputError, ModelNotFoundError
from facegeo.zoo.releases import DEFAULT_DETECTOR
from facegeo.zoo.store import find

__all__ = ["Detections", "Detector", "DetectorOptions", "open_detector"]

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
        ``auto``, ``cascade``, or the name of an installed detection model. ``auto`` takes
        FaceBoxes where it is installed, else the cascade with one warning.

    Raises
    ------
    ModelNotFoundError
        If a detector that was named is not installed.
    """
    options = options or DetectorOptions()
    if name == CASCADE:
        return _cascade(options)
    try:
        model = find(DEFAULT_DETECTOR if name == AUTO else name, task="detection")
    except ModelNotFoundError as error:
        if name != AUTO:
            raise
        _log.warning(
            "no face detector is installed: using a frontal-face cascade that misses turned heads "
            "and finds false faces; %s",
            str(error).rsplit("; ", 1)[-1],
        )
        return _cascade(options)
    if model.card.architecture != "faceboxes":
        raise InvalidInputError(f"detector: unknown architecture {model.card.architecture!r}")
    from facegeo.detect.faceboxes import FaceBoxesDetector

    return FaceBoxesDetector(model, options, device)


def _cascade(options: DetectorOptions) -> Detector:
    from facegeo.detect.cascade import CascadeDetector

    return CascadeDetector(options)
