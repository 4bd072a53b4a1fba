"""Frames in, faces with numbers out."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facegeo.base.closing import Closing
from facegeo.errors import InvalidInputError
from facegeo.geometry import crop
from facegeo.images import Color
from facegeo.results import Face
from facegeo.track import FaceSmoother, Smoothing, Tracker, TrackerOptions
from facegeo.track.tracker import Look, Tracked
from facegeo.video.reader import FrameReader
from facegeo.video.sources import check_source_options, open_source

if TYPE_CHECKING:
    from facegeo.detect import Detections, Detector
    from facegeo.geometry.crop import CropConvention
    from facegeo.results import FaceBatch, MeshSource

#: Filters of a person who has left are kept for this many others, in case of a return.
_MOST_SMOOTHERS = 64


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame and its faces.

    Attributes
    ----------
    index : int
        The frame's number in the source, from 0; dropped frames are counted.
    timestamp_s : float
        Presentation time, as the source states it.
    image : (H, W, 3) uint8
        BGR, upright.
    faces : list of Face
        By ascending ``track_id``. ``box`` is the box around the landmarks, ``score`` the detector's
        when it last saw the face.
    dropped : int
        Frames dropped since the start (live mode).
    latency_s : float
        From the decoded frame to the finished faces.
    """

    index: int
    timestamp_s: float
    image: np.ndarray
    faces: list[Face]
    dropped: int
    latency_s: float

    def to_dict(self) -> dict[str, Any]:
        """``frame``, ``timestamp_s`` and ``faces`` as plain numbers and lists."""
        return {
            "frame": self.index,
            "timestamp_s": self.timestamp_s,
            "faces": [face.to_dict() for face in self.faces],
        }


class FramePredictor(Protocol):
    """Of :class:`facegeo.FaceGeometry`, what a stream needs."""

    crop_size: int
    crop_convention: CropConvention

    @property
    def mesh_source(self) -> MeshSource: ...

    @property
    def max_faces(self) -> int | None: ...

    @property
    def detector(self) -> Detector: ...

    def locate(self, image: np.ndarray) -> Detections: ...

    def predict_crops(
        self, crops: np.ndarray, rois: np.ndarray, rotations: np.ndarray
    ) -> FaceBatch: ...


class FaceStream(Closing, Iterator[StreamFrame]):
    """Frames of one source with their faces; made by :meth:`FaceGeometry.stream`.

    An iterator and a context manager. It holds a few frames at most. When it ends, fails or is
    closed, its thread and its source are closed too; so they are when it is no longer referred to.
    """

    def __init__(
        self,
        predictor: FramePredictor,
        reader: FrameReader,
        tracker: Tracker,
        how: Smoothing | None,
    ) -> None:
        self._predictor = predictor
        self._reader = reader
        self._tracker = tracker
        self._how = how
        self._smoothers: dict[int, FaceSmoother] = {}
        # The thread knows the reader, not this object, so this object can go first.
        self._finalizer = weakref.finalize(self, reader.close)

    @property
    def name(self) -> str:
        """The source, for messages."""
        return self._reader.source.name

    @property
    def fps(self) -> float | None:
        """The source's frames a second; None where it does not say."""
        return self._reader.source.rate

    @property
    def length(self) -> int | None:
        """The source's frames, about; None where unknown."""
        return self._reader.source.length

    @property
    def dropped(self) -> int:
        """Frames dropped so far (live mode)."""
        return self._reader.dropped

    def __iter__(self) -> FaceStream:
        return self

    def __next__(self) -> StreamFrame:
        try:
            frame = self._reader.get()
            if frame is None:
                raise StopIteration
            faces = self._faces(frame.image, frame.timestamp_s)
        except BaseException:
            self.close()
            raise
        latency = time.perf_counter() - frame.arrived_s
        return StreamFrame(
            frame.index, frame.timestamp_s, frame.image, faces, self._reader.dropped, latency
        )

    def reset(self) -> None:
        """Forget all faces, as at a cut; the source goes on. Numbers are not used again."""
        self._tracker.reset()
        self._smoothers.clear()

    def close(self) -> None:
        """End the stream: thread, file handles, connection. May be called more than once."""
        self._finalizer()

    def _faces(self, image: np.ndarray, now_s: float) -> list[Face]:
        tracked = self._tracker.update(image, now_s)
        boxes = crop.landmark_boxes(tracked.batch.landmarks)
        faces = tracked.batch.faces(boxes, tracked.scores, self._predictor.mesh_source)
        faces = [
            replace(face, track_id=number) for number, face in zip(tracked.ids, faces, strict=True)
        ]
        return faces if self._how is None else self._smoothed(faces, tracked, now_s)

    def _smoothed(self, faces: list[Face], tracked: Tracked, now_s: float) -> list[Face]:
        result = []
        for face in faces:
            assert face.track_id is not None
            # Taken out and put back: the dictionary's first is the one not seen for longest.
            smoother = self._smoothers.pop(face.track_id, None) or FaceSmoother(self._how)
            self._smoothers[face.track_id] = smoother
            result.append(smoother(face, now_s, tracked.batch.convention))
        while len(self._smoothers) > max(_MOST_SMOOTHERS, len(faces)):
            del self._smoothers[next(iter(self._smoothers))]
        return result


def open_stream(
    predictor: FramePredictor,
    source: Any,
    *,
    mode: str,
    smooth: bool | Smoothing,
    tracking: TrackerOptions | None,
    fps: float | None,
    timeout_s: float | None,
    color: Color,
    look: Look | None = None,
) -> FaceStream:
    """Open the stream of :meth:`FaceGeometry.stream`; arguments and errors are described there.

    ``look`` is that of :class:`facegeo.track.Tracker`.
    """
    if not isinstance(mode, str) or mode not in ("offline", "live"):
        raise InvalidInputError(f"mode: expected 'offline' or 'live', got {mode!r}")
    if not isinstance(smooth, bool | np.bool_ | Smoothing):
        raise InvalidInputError(f"smooth: expected True, False or Smoothing, got {smooth!r}")
    if not isinstance(tracking, TrackerOptions | None):
        raise InvalidInputError(f"tracking: expected TrackerOptions or None, got {tracking!r}")
    options = tracking or TrackerOptions(max_faces=predictor.max_faces)
    how = smooth if isinstance(smooth, Smoothing) else (Smoothing() if smooth else None)
    check_source_options(fps, timeout_s, color)  # before a detector is opened
    _ = predictor.detector  # opened before the source: a missing model is no reason to wait
    opened = open_source(source, fps=fps, timeout_s=timeout_s, color=color)
    reader = FrameReader(opened, live=mode == "live", timeout_s=timeout_s)
    tracker = Tracker(
        predictor.locate,
        predictor.predict_crops,
        options,
        predictor.crop_size,
        predictor.crop_convention,
        look,
    )
    return FaceStream(predictor, reader, tracker, how)
