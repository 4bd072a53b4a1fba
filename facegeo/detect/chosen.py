"""The detector of a predictor: one that is opened by its name, the caller's own, or none."""

from __future__ import annotations

import numpy as np

from facegeo.backends import AUTO
from facegeo.base.arrays import describe
from facegeo.detect import open_detector
from facegeo.detect.base import Detections, Detector, DetectorOptions, NetworkDetector
from facegeo.errors import InvalidInputError


class ChosenDetector:
    """A predictor's choice of a detector.

    Parameters
    ----------
    choice : str, Detector or None
        A name: ``auto`` is opened when it is first asked for, others at once. An object: the
        caller's own. None: there is none, and asking for it is an error.
    options : DetectorOptions
        For a name; the caller's own detector has its own.
    device : str
        For a name.

    Raises
    ------
    InvalidInputError
        If ``choice`` is nothing of that, or there are options and no name.
    ModelNotFoundError
        If a detector that was named is not installed.
    """

    def __init__(
        self, choice: str | Detector | None, options: DetectorOptions, device: str
    ) -> None:
        self._choice, self._options, self._device = choice, options, device
        self._opened: NetworkDetector | None = None
        if isinstance(choice, str):
            if choice != AUTO:
                self.get()
            return
        if options != DetectorOptions():
            raise InvalidInputError(
                "score_threshold, max_faces, min_face_size, search: expected the defaults without "
                f"a detector's name, got {options}"
            )
        # A class has the attributes of its objects.
        if choice is not None and (isinstance(choice, type) or not isinstance(choice, Detector)):
            raise InvalidInputError(
                "detector: expected a name, None, or an object with a name that is called with a "
                f"photo (facegeo.detect.Detector), got {describe(choice)}"
            )

    @property
    def name(self) -> str:
        """The detector's name, or ``none``; ``auto`` is opened for it."""
        return "none" if self._choice is None else self.get().name

    def check(self) -> None:
        """Raise InvalidInputError where there is no detector."""
        if self._choice is None:
            raise InvalidInputError(
                "detector: this predictor was made with detector=None; pass boxes= or landmarks=, "
                "or make it with a detector, which streams always need"
            )

    def get(self) -> Detector:
        """The detector, opened where it is not. Raises InvalidInputError where there is none."""
        self.check()
        if not isinstance(self._choice, str):
            assert self._choice is not None
            return self._choice
        if self._opened is None:
            self._opened = open_detector(self._choice, self._options, self._device)
        return self._opened

    def find(self, image: np.ndarray) -> Detections:
        """Faces of a ``(H, W, 3)`` uint8 BGR photo.

        Raises
        ------
        InvalidInputError
            If there is no detector, or the caller's own returns something else.
        """
        found = self.get()(image)
        if not isinstance(found, Detections):
            raise InvalidInputError(
                f"detector {self.name!r}: expected it to return facegeo.detect.Detections, "
                f"got {describe(found)}"
            )
        return found

    def close(self) -> None:
        """Close what was opened here; the caller's own detector is the caller's."""
        if self._opened is not None:
            self._opened.close()
