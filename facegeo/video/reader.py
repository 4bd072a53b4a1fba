"""A source read in a thread of its own, into a queue that cannot grow."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from facegeo.errors import StreamError
from facegeo.video.sources import DEFAULT_FPS, Source

_log = logging.getLogger(__name__)

#: Frames decoded ahead in offline mode.
_AHEAD = 4

#: Between two frames at least: damaged containers and callers repeat times or turn them back.
_LEAST_STEP_S = 1e-6

#: A clock that is turned back by more has been started again.
_RESTART_S = 1.0

#: Seconds that :meth:`FrameReader.close` waits for a thread that is inside a blocking read.
_GOODBYE_S = 2.0


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A decoded frame.

    Attributes
    ----------
    index : int
        Its number in the source, from 0; frames that were dropped are counted.
    timestamp_s : float
        Presentation time as the source states it.
    image : (H, W, 3) uint8
        BGR, upright.
    arrived_s : float
        ``time.perf_counter()`` when it was decoded.
    """

    index: int
    timestamp_s: float
    image: np.ndarray
    arrived_s: float


class _Clock:
    """Times that always grow, whatever the source says: everything after relies on that."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._previous = -np.inf
        self._offset = 0.0

    def __call__(self, moment: float) -> float:
        moment += self._offset
        if moment < self._previous - _RESTART_S:
            interval = 1 / (self._source.rate or DEFAULT_FPS)
            _log.warning(
                "%s: its clock starts again at %.2f s; times go on from %.2f s",
                self._source.name,
                moment - self._offset,
                self._previous,
            )
            self._offset += self._previous + interval - moment
            moment = self._previous + interval
        if self._previous > -np.inf:
            moment = max(moment, self._previous + _LEAST_STEP_S)
        self._previous = moment
        return moment


class FrameReader:
    """Reads a source ahead.

    Parameters
    ----------
    source : Source
        Owned from now on.
    live : bool
        Keep only the newest frame and count those that were replaced; a source that is not live
        itself is read at the speed of its timestamps. Otherwise every frame, in order.
    timeout_s : float, optional
        Seconds after which :meth:`get` gives up waiting.
    """

    def __init__(
        self, source: Source, *, live: bool = False, timeout_s: float | None = 30.0
    ) -> None:
        self.source = source
        self.dropped = 0
        self._live = live
        self._timeout_s = timeout_s
        self._frames: deque[VideoFrame] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._ended = False
        self._error: BaseException | None = None

    def get(self) -> VideoFrame | None:
        """The next frame, None at the end.

        Raises
        ------
        StreamError
            If none came in time.
        FacegeoError
            What the source raised, after the frames before it.
        """
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(
                    target=self._read, name="facegeo-reader", daemon=True
                )
                self._thread.start()
            ready = self._changed.wait_for(
                lambda: self._frames or self._ended or self._closing, self._timeout_s
            )
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify_all()
                return frame
            error, self._error = self._error, None
        if error is not None:
            raise error
        if not ready:
            raise StreamError(f"{self.source.name}: no frame for {self._timeout_s:g} s")
        return None

    def close(self) -> None:
        """End the thread and release the source. May be called more than once."""
        with self._changed:
            self._closing = True
            self._frames.clear()
            self._changed.notify_all()
            thread = self._thread
        self.source.stop()
        if thread is None:
            self.source.close()
        elif thread is not threading.current_thread():
            thread.join(_GOODBYE_S)
            if thread.is_alive():
                # Nothing can interrupt it; it ends, and closes the source, at its own time limit.
                _log.warning("%s: still waiting for a frame", self.source.name)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            start = time.perf_counter()
            clock = _Clock(self.source)
            for index, (moment, image) in enumerate(self.source.frames()):
                moment = clock(moment)
                if self._live and not self.source.is_live:
                    start = start - moment if index == 0 else start
                    self._sleep_until(start + moment)
                frame = VideoFrame(index, moment, image, time.perf_counter())
                if not self._hand_over(frame):
                    break
        except BaseException as caught:  # noqa: BLE001 - raised in the consumer's thread
            error = caught
        finally:
            self.source.close()
            with self._changed:
                self._error, self._ended = error, True
                self._changed.notify_all()

    def _hand_over(self, frame: VideoFrame) -> bool:
        """Queue a frame; False where nobody wants any more."""
        with self._changed:
            if self._live:
                self.dropped += len(self._frames)
                self._frames.clear()
            else:
                self._changed.wait_for(lambda: len(self._frames) < _AHEAD or self._closing)
            if self._closing:
                return False
            self._frames.append(frame)
            self._changed.notify_all()
        return True

    def _sleep_until(self, moment: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, max(moment - time.perf_counter(), 0))
