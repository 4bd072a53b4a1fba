"""Frames to an H.264 file that can be played however it ends."""

from __future__ import annotations

import math
import numbers
import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo.base.arrays import positive_number, whole_number
from facegeo.base.closing import Closing
from facegeo.errors import InvalidInputError, OutputError
from facegeo.images.decode import check_image
from facegeo.video.containers import import_av
from facegeo.video.sources import MOST_FPS

#: Ticks a second of the written timestamps, as is usual for video.
_CLOCK = 90_000

#: The file is complete up to its last fragment, and fragments begin at key frames.
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}

#: Ending of the name -> FFmpeg's name of the format, and its options. Matroska can be played up to
#: where it ends as it is.
FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("mp4", _FRAGMENTED),
    ".m4v": ("mp4", _FRAGMENTED),
    ".mov": ("mov", _FRAGMENTED),
    ".mkv": ("matroska", {"flush_packets": "1"}),
}

#: x264's, from fast to slow.
PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)

#: The largest CRF of x264 for eight bits.
_WORST_QUALITY = 51

#: Frames that may wait for the encoder.
_WAITING = 4


def check_video_name(path: str | Path) -> None:
    """Raise InvalidInputError for a file that would not be what its ending says."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InvalidInputError(
            f"{path}: expected a name that ends in {', '.join(FORMATS)}; other videos are not "
            "written"
        )


class VideoWriter(Closing):
    """Encodes in a thread of its own.

    The file is a fragmented MP4 or MOV, or Matroska: what was written before a crash or a kill can
    be played. So it is written in place, unlike the other results, which are renamed when they are
    whole.

    Parameters
    ----------
    path : path
        Its ending, one of :data:`FORMATS`, tells the format. Its folder is made if missing.
        A file that was there is replaced.
    fps : float
        For the encoder's planning and the length of fragments; timestamps are those of the frames.
    quality : int
        x264's CRF, 0 to 51: 0 is lossless, 18 looks the same, 28 is small.
    preset : str
        x264's speed preset, one of :data:`PRESETS`.

    Raises
    ------
    InvalidInputError
        If the name has another ending, or a number or name is not as stated.
    OutputError
        If the file cannot be written; also from :meth:`write` and :meth:`close`.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float = 30.0,
        *,
        quality: int = 21,
        preset: str = "veryfast",
    ) -> None:
        check_video_name(path)
        self._path = Path(path)
        self._fps = positive_number("fps", fps, MOST_FPS)
        if whole_number("quality", quality, 0) > _WORST_QUALITY:
            raise InvalidInputError(f"quality: expected 0 to {_WORST_QUALITY}, got {quality}")
        if preset not in PRESETS:
            raise InvalidInputError(f"preset: expected one of {PRESETS}, got {preset!r}")
        # Frames in another order than shown would need a shift of all times, which a fragmented
        # file has no place for.
        self._options = {"crf": str(quality), "preset": preset, "bf": "0"}
        self._av = import_av()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            name, options = FORMATS[self._path.suffix.lower()]
            self._container = self._av.open(str(path), "w", format=name, options=dict(options))
        except (OSError, self._av.error.FFmpegError) as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
        self._stream: Any = None
        self._to_yuv = self._av.video.reformatter.VideoReformatter()
        self._last_tick = -1
        self._frames: queue.Queue[tuple[np.ndarray, float] | None] = queue.Queue(_WAITING)
        self._error: BaseException | None = None
        self._broken = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="facegeo-writer", daemon=True)
        self._thread.start()

    def write(self, image: np.ndarray, timestamp_s: float) -> None:
        """Append a frame; it must not be changed afterwards.

        Parameters
        ----------
        image : (H, W, 3) uint8
            BGR. The first one decides the size of the video; others are fitted into it.
        timestamp_s : float
            Later than the one before.

        Raises
        ------
        InvalidInputError, InvalidImageError
            If an argument is not as stated, or the writer is closed.
        OutputError
            If a frame before this one could not be written.
        """
        if self._closed:
            raise InvalidInputError(f"{self._path}: the file is closed")
        is_number = isinstance(timestamp_s, numbers.Real)
        if not is_number or not math.isfinite(timestamp_s):
            raise InvalidInputError(
                f"timestamp_s: expected a finite number of seconds, got {timestamp_s!r}"
            )
        check_image(image)
        self._raise_error()
        self._frames.put((image, timestamp_s))

    def close(self) -> None:
        """Finish the file. May be called more than once."""
        if not self._closed:
            self._closed = True
            self._frames.put(None)
            self._thread.join()
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self._path}: cannot be written ({reason})") from error

    def _work(self) -> None:
        while (item := self._frames.get()) is not None:
            if not self._broken:
                self._guarded(self._encode, *item)
        self._guarded(self._finish)

    def _guarded(self, step: Any, *arguments: Any) -> None:
        """An error must not end the thread: who waits for the queue would wait forever."""
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            self._error = self._error or error
            self._broken = True

    def _encode(self, image: np.ndarray, timestamp_s: float) -> None:
        if self._stream is None:
            self._stream = self._add_stream(image)
        image = _fitted(image, self._stream.width, self._stream.height)
        frame = self._av.VideoFrame.from_ndarray(image, format="bgr24")
        frame = self._to_yuv.reformat(frame, format="yuv420p", interpolation="FAST_BILINEAR")
        self._last_tick = max(round(timestamp_s * _CLOCK), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, Fraction(1, _CLOCK)
        self._container.mux(self._stream.encode(frame))

    def _add_stream(self, image: np.ndarray) -> Any:
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = self._container.add_stream("libx264", rate=rate, options=self._options)
        # Colour is stored at half the resolution: sides must be even.
        stream.height, stream.width = (max(side // 2 * 2, 2) for side in image.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.codec_context.gop_size = max(1, round(self._fps))
        return stream

    def _finish(self) -> None:
        try:
            if self._stream is not None and not self._broken:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


def _fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image of another size scaled into the video's, on black."""
    if image.shape[0] - height in (0, 1) and image.shape[1] - width in (0, 1):
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
    return canvas
