"""Parts that detectors share: their options, their result, selection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from facegeo.backends.base import Backend
from facegeo.base.arrays import describe, number_in, whole_number
from facegeo.base.closing import Closing
from facegeo.errors import InvalidInputError

#: facegeo's own detector reads photos whose sides are multiples of this, as in
#: facegeo.networks.detector.network; smaller sides are padded.
SIDE_MULTIPLE = 32


@dataclass(frozen=True)
class DetectorOptions:
    """Options of a detector: how images are searched, which faces are reported.

    The defaults stand here only.

    Attributes
    ----------
    score_threshold : float
        Lowest confidence, 0..1.
    max_faces : int or None
        Keep this many of highest score; None keeps all.
    min_size : float
        Photo pixels: drop boxes whose shorter side is less.
    search : Search, optional
        How large photos are searched. Only facegeo's own detector can be told.
    """

    score_threshold: float = 0.5
    max_faces: int | None = None
    min_size: float = 0.0
    search: Search | None = None

    def __post_init__(self) -> None:
        number_in("score_threshold", self.score_threshold, 0, 1)
        if self.max_faces is not None:
            whole_number("max_faces", self.max_faces)
        number_in("min_size", self.min_size, 0)
        if not isinstance(self.search, Search | None):
            raise InvalidInputError(
                "search: expected facegeo.detect.Search, such as Search(max_side=640), or None, "
                f"got {describe(self.search)}"
            )


@dataclass(frozen=True)
class Search:
    """Settings by which facegeo's own detector searches large photos.

    Attributes
    ----------
    max_side : int or None
        A photo whose longer side is more is scaled down to it; None never scales.
    tile : int or None
        Side of tiles that a photo larger than ``max_side`` is searched in as well, at its full
        resolution: finds tiny faces, and takes time in proportion to the photo's area.
    """

    max_side: int | None = 1280
    tile: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_side", "tile"):
            value = getattr(self, name)
            if value is not None:
                whole_number(name, value, SIDE_MULTIPLE)


#: Degrees beyond which faces are so rare that more is asked of one.
TURNED = 60.0

#: A face of less presence may be turned against what was seen. Of the 1,182 validation faces one in
#: fifty has less.
UNQUESTIONED = 0.99


@dataclass(frozen=True)
class PresenceFilter:
    """Rule for which boxes of the detector the landmark network may reject, by its presence output.

    Presence is how likely a crop holds a well-placed face. A network without that output (presence
    is NaN) rejects nothing.

    Attributes
    ----------
    sure_score : float
        Boxes that the detector gives at least this score are not asked about.
    least_presence : float
        Of the others, those of less presence are dropped; 0 drops none.
    least_turned : float
        Faces of any score that lie on their side or stand on their head, so that their region is
        turned by more than :data:`TURNED`, are dropped where their presence is less. So are faces
        that only a further look has found, and not the one at the detector's box.
    """

    sure_score: float = 0.8
    least_presence: float = 0.3
    least_turned: float = 0.95

    def __post_init__(self) -> None:
        for name in ("sure_score", "least_presence", "least_turned"):
            number_in(name, getattr(self, name), 0, 1)

    def keeps(
        self,
        scores: np.ndarray,
        presence: np.ndarray,
        rotations: np.ndarray | None = None,
        first: np.ndarray | None = None,
    ) -> np.ndarray:
        """Mask of boxes that stay, ``(N,)`` bool.

        Parameters
        ----------
        scores, presence : (N,) float
            Of the detector, and of the landmark network.
        rotations : (N,) float, optional
            Degrees by which the regions that presence was told of are turned.
        first : (N,) float, optional
            Presence in the crops of the detector's boxes, where the network looked again.
        """
        # A comparison with NaN is false: neither a box of the caller's nor a network without
        # presence rejects anything.
        least = presence
        if first is not None:
            # Who looks for long enough sees a face in anything: it must be a clear one.
            least = np.where(presence < self.least_turned, np.fmin(presence, first), presence)
        doubtful = (scores < self.sure_score) & (least < self.least_presence)
        if rotations is not None:
            turned = (np.abs(rotations) > TURNED) & ~np.isnan(scores)
            doubtful |= turned & (presence < self.least_turned)
        return np.asarray(~doubtful)


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of one photo, highest score first.

    Attributes
    ----------
    boxes : (N, 4) float32
        ``xyxy``, photo pixels.
    scores : (N,) float32
        Confidence in 0..1.
    rotations : (N,) float32
        Degrees by which each face is turned in the photo, clockwise as the viewer sees it; zeros by
        default, which is right for all faces that lean by less than 45 degrees.
    """

    boxes: np.ndarray
    scores: np.ndarray
    rotations: np.ndarray = None  # type: ignore[assignment]  # zeros, as many as boxes

    def __post_init__(self) -> None:
        if self.rotations is None:
            object.__setattr__(self, "rotations", np.zeros(len(self.boxes), np.float32))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: np.ndarray | slice) -> Detections:
        return Detections(self.boxes[rows], self.scores[rows], self.rotations[rows])

    @classmethod
    def none(cls) -> Detections:
        """No boxes."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """The boxes of all parts, at least one, in order."""
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.rotations for part in parts]),
        )


@runtime_checkable
class Detector(Protocol):
    """Finds faces in photos. Anything with a name that can be called so is a detector.

    >>> class WholePhoto:
    ...     name = "whole-photo"
    ...
    ...     def __call__(self, photo):
    ...         height, width = photo.shape[:2]
    ...         return Detections(np.float32([[0, 0, width, height]]), np.ones(1, np.float32))
    >>> predictor = FaceGeometry(detector=WholePhoto())
    """

    name: str

    def __call__(self, image: np.ndarray) -> Detections:
        """Faces of a ``(H, W, 3)`` uint8 BGR photo."""


class NetworkDetector(Closing):
    """A detector around a network, which it closes when it is closed.

    Attributes
    ----------
    name : str

    Parameters
    ----------
    network : Backend
    options : DetectorOptions, optional
    """

    def __init__(self, network: Backend, options: DetectorOptions | None, name: str) -> None:
        self.name = name
        self._network = network
        self._options = options or DetectorOptions()

    @abstractmethod
    def __call__(self, image: np.ndarray) -> Detections:
        """Faces of a ``(H, W, 3)`` uint8 BGR photo."""

    def close(self) -> None:
        """Give back what the network holds; nothing is found afterwards."""
        self._network.close()


def select(boxes: np.ndarray, scores: np.ndarray, options: DetectorOptions) -> Detections:
    """Apply the options and sort by score."""
    size = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
    keep = np.flatnonzero((scores >= options.score_threshold) & (size >= options.min_size))
    keep = keep[np.argsort(-scores[keep], kind="stable")][: options.max_faces]
    return Detections(boxes[keep].astype(np.float32), scores[keep].astype(np.float32))


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, max_overlap: float) -> np.ndarray:
    """Non-maximum suppression: indices to keep, highest score first.

    Parameters
    ----------
    boxes : (N, 4) float32
        ``xyxy``.
    max_overlap : float
        Largest intersection over union of two boxes that are both kept.
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    corner_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_size.astype(float).tolist(), scores.tolist(), 0.0, max_overlap)
    return np.asarray(kept, np.int64).reshape(-1)
