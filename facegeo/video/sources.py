"""Sources of frames: a file, a camera, a URL, a folder of images, the caller's iterator."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from facegeo.base.arrays import describe, positive_number
from facegeo.base.urls import without_password
from facegeo.errors import (
    CorruptFileError,
    DependencyMissingError,
    InvalidInputError,
    StreamError,
    UnreadableFileError,
)
from facegeo.images import Color, find_photos, load_photo
from facegeo.video.containers import (
    Container,
    cut_message,
    import_av,
    photo_message,
    reason_of,
)
from facegeo.video.statements import missing_bytes

_log = logging.getLogger(__name__)

#: Frames a second of a source that does not say.
DEFAULT_FPS = 30.0

#: More are a mistake, such as a frame's length in microseconds.
MOST_FPS = 10_000

#: A month; whoever wants to wait for ever says None.
_LONGEST_TIMEOUT_S = 30 * 24 * 3600.0

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

#: First brands of HEIF files that hold one picture; sequences have others.
_STILL_BRANDS = (b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1")

#: Seconds before a lost stream is opened again: the first time, and at most.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0

#: A stream is opened anew after this part of the time after which it is given up.
_TRIES = 3


class Source(Protocol):
    """Frames in order. Opened when made; ``frames`` and ``close`` belong to one thread."""

    name: str
    #: Frames a second; None where unknown.
    rate: float | None
    #: Frames; None where unknown.
    length: int | None
    #: Whether frames arrive by the clock, whether or not anybody is ready for them.
    is_live: bool

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Timestamps in seconds and ``(H, W, 3)`` uint8 BGR images."""

    def stop(self) -> None:
        """End :meth:`frames` soon; may be called from any thread."""

    def close(self) -> None:
        """Release what was opened."""


def open_source(
    source: Any,
    *,
    fps: float | None = None,
    timeout_s: float | None = 30.0,
    color: Color = "bgr",
) -> Source:
    """The source that a caller means.

    Parameters
    ----------
    source : int, str, path or iterable
        A camera's index, a URL, a file, a folder, or images: arrays or ``(seconds, array)``.
    fps : float, optional
        Frames a second of folders and of images without timestamps.
    timeout_s : float, optional
        Seconds without a frame after which a URL is given up; until then it is opened anew.
    color : {"bgr", "rgb"}
        Channel order of the caller's arrays.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If a file or folder is missing, empty, or no video.
    InvalidInputError
        If an option is not as stated, or the file is a photo.
    StreamError
        If a camera or URL cannot be opened.
    DependencyMissingError
        If PyAV is needed and missing.
    """
    check_source_options(fps, timeout_s, color)
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        return CameraSource(int(source))
    if isinstance(source, str) and _URL.match(source):
        return UrlSource(source, timeout_s)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return FolderSource(path, fps) if path.is_dir() else FileSource(path)
    if isinstance(source, Iterable) and not isinstance(source, np.ndarray | bytes):
        return IteratorSource(source, fps, color)
    raise InvalidInputError(
        "source: expected a camera index, a URL, a file, a folder or an iterable of pictures, "
        f"got {describe(source)}"
    )


def check_source_options(fps: Any, timeout_s: Any, color: Any) -> None:
    """Raise InvalidInputError where an option of :func:`open_source` is not as stated."""
    if fps is not None:
        positive_number("fps", fps, MOST_FPS)
    if timeout_s is not None:
        positive_number("timeout_s", timeout_s, _LONGEST_TIMEOUT_S)
    if not isinstance(color, str) or color not in ("bgr", "rgb"):
        raise InvalidInputError(f"color: expected 'bgr' or 'rgb', got {color!r}")


class _Stoppable:
    is_live = False
    length: int | None = None
    rate: float | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        """Nothing was opened."""


class FileSource(_Stoppable):
    """A video file."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._av = _av_for(path)
        if not path.exists():
            raise UnreadableFileError(f"{path}: no such file")
        if path.is_file() and path.stat().st_size == 0:
            raise CorruptFileError(f"{path}: the file is empty")
        missing = 0
        if path.is_file():  # and no pipe, from which nothing can be read twice
            try:
                _refuse_photo(path)
                missing = missing_bytes(path)
            except OSError as error:
                raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            self._container = Container(str(path), self.name, missing_bytes=missing)
        except self._av.error.FFmpegError as error:
            reason = reason_of(error)
            if missing:
                raise CorruptFileError(cut_message(self.name, missing)) from error
            if path.is_file():  # it has been read: what is wrong is in it
                raise CorruptFileError(
                    f"{path}: no video that can be decoded, or cut short ({reason})"
                ) from error
            raise UnreadableFileError(f"{path}: cannot be read ({reason})") from error
        self.rate = self._container.rate
        length_s = self._container.duration_s
        if self.rate and length_s:
            self.length = max(1, round(self.rate * length_s))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        try:
            yield from self._container.frames()
        except self._av.error.FFmpegError as error:
            reason = reason_of(error)
            raise CorruptFileError(f"{self.name}: cannot be read to its end ({reason})") from error

    def close(self) -> None:
        self._container.close()


def _av_for(path: Path) -> Any:
    """PyAV; where it is missing, a photo is told all the same: it would not help."""
    try:
        return import_av()
    except DependencyMissingError as error:
        with contextlib.suppress(OSError):
            if path.is_file():
                _refuse_photo(path)
                if _is_photo(path):
                    raise InvalidInputError(photo_message(str(path))) from error
        raise


def _is_photo(path: Path) -> bool:
    """True if OpenCV would read a file, and PyAV would not read it as an animation."""
    with path.open("rb") as file:
        head = file.read(4096)
    is_animation = head.startswith(b"GIF8") or (head.startswith(b"\x89PNG") and b"acTL" in head)
    return not is_animation and cv2.haveImageReader(str(path))


def _refuse_photo(path: Path) -> None:
    """Photos that FFmpeg takes for videos, or for damaged ones."""
    with path.open("rb") as file:
        head = file.read(32)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and head[20] & 2:
        raise InvalidInputError(
            f"{path}: animated WebP is not supported; with Pillow its pictures can be read: "
            "predictor.stream(PIL.ImageSequence.Iterator(PIL.Image.open(path)))"
        )
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        raise InvalidInputError(photo_message(str(path)))


class CameraSource(_Stoppable):
    """A camera of this computer."""

    is_live = True

    def __init__(self, index: int) -> None:
        super().__init__(f"camera {index}")
        av = import_av()
        if index < 0:
            raise InvalidInputError(f"source: expected a camera index from 0, got {index}")
        address, driver = _camera_address(index)
        try:
            self._container = Container(address, self.name, driver)
        except (av.error.FFmpegError, ValueError) as error:
            reason = reason_of(error)
            raise StreamError(
                f"camera {index}: cannot be opened as {address} ({reason}); is it connected, free, "
                "and may this user read it?"
            ) from error
        self.rate = self._container.rate

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        start: float | None = None
        try:
            for moment, image in self._container.frames():
                start = moment if start is None else start
                yield moment - start, image
        except (OSError, CorruptFileError) as error:
            raise StreamError(f"{self.name}: lost ({reason_of(error)})") from error
        raise StreamError(f"{self.name}: lost")

    def close(self) -> None:
        self._container.close()


def _camera_address(index: int) -> tuple[str, str]:
    if sys.platform.startswith("linux"):
        return f"/dev/video{index}", "v4l2"
    if sys.platform == "darwin":
        return f"{index}:none", "avfoundation"
    raise StreamError(
        f"camera {index}: cameras by index are read on Linux and macOS; on this system pass an "
        "iterator of pictures, for instance over cv2.VideoCapture"
    )


class UrlSource(_Stoppable):
    """A network stream; a live one that is lost is opened again, each time after a longer wait."""

    def __init__(self, url: str, timeout_s: float | None = 30.0) -> None:
        super().__init__(without_password(url))
        self._av = import_av()
        self._url = url
        self._patience_s = timeout_s if timeout_s is not None else float("inf")
        self._container: Container | None = None
        try:
            self._container = self._open()
        except self._av.error.FFmpegError as error:
            reason = reason_of(error)
            raise StreamError(f"{self.name}: cannot be opened ({reason})") from error
        self.rate = self._container.rate
        length_s = self._container.duration_s
        self.is_live = length_s is None
        if self.rate and length_s:
            self.length = max(1, round(self.rate * length_s))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        if not self.is_live:
            assert self._container is not None
            try:
                yield from self._container.frames()
            except self._av.error.FFmpegError as error:
                reason = reason_of(error)
                raise StreamError(f"{self.name}: lost ({reason})") from error
            return
        began = alive = time.monotonic()
        wait, reason, offset, earliest = _FIRST_WAIT_S, "it ended", None, 0.0
        while not self._stopped.is_set():
            try:
                self._container = self._container or self._open()
                for moment, image in self._container.frames():
                    alive, wait = time.monotonic(), _FIRST_WAIT_S
                    # The clock of a stream that was opened anew may start anywhere. What came
                    # faster than it was filmed may be ahead of our clock.
                    if offset is None:
                        offset = max(alive - began, earliest) - moment
                    earliest = moment + offset + 1 / (self.rate or DEFAULT_FPS)
                    yield moment + offset, image
                    if self._stopped.is_set():
                        return
            except (self._av.error.FFmpegError, CorruptFileError) as error:
                reason = reason_of(error)
            self.close()
            offset = None
            if time.monotonic() - alive > self._patience_s:
                raise StreamError(
                    f"{self.name}: lost ({reason}), no frame for {self._patience_s:.0f} s"
                )
            _log.warning("%s: lost (%s); trying again in %.2g s", self.name, reason, wait)
            self._stopped.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> Container:
        # Over UDP, RTSP loses packets without a word.
        options = {"rtsp_transport": "tcp"} if self._url.lower().startswith("rtsp") else {}
        timeout = None if self._patience_s == float("inf") else self._patience_s / _TRIES
        return Container(self._url, self.name, options=options, timeout_s=timeout)


class FolderSource(_Stoppable):
    """The images of a folder, in the order of their names, numbers by value."""

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        super().__init__(str(folder))
        self._files = sorted(find_photos(folder), key=_natural)
        if not self._files:
            raise UnreadableFileError(f"{folder}: the folder holds no photos")
        self.length = len(self._files)
        self.rate = fps or DEFAULT_FPS

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        assert self.rate is not None
        for index, path in enumerate(self._files):
            yield index / self.rate, load_photo(path)


def _seconds(moment: Any, index: int) -> float:
    """A caller's timestamp as a number."""
    try:
        if isinstance(moment, bool | str | bytes | np.datetime64 | np.timedelta64):
            raise TypeError
        seconds = float(moment)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InvalidInputError(
            f"source: expected (seconds, image) with seconds a finite number, got {moment!r} for "
            f"frame {index}; of dates make (date - first).total_seconds(), or pass images alone "
            "with fps="
        )
    return seconds


def _natural(path: Path) -> list[Any]:
    """A sort key that puts frame 2 before frame 10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if part.isdigit() else part for part in parts]


class IteratorSource(_Stoppable):
    """The caller's own images; each is copied, so the caller may use one buffer again."""

    def __init__(self, images: Iterable[Any], fps: float | None, color: Color) -> None:
        super().__init__("the caller's pictures")
        self._images = images
        self._color = color
        self.rate = fps or DEFAULT_FPS
        try:
            self.length = len(images)  # type: ignore[arg-type]
        except TypeError:
            self.length = None

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        assert self.rate is not None
        for index, item in enumerate(self._images):
            moment, image = index / self.rate, item
            if isinstance(item, tuple) and len(item) == 2 and not isinstance(item[0], np.ndarray):
                moment, image = _seconds(item[0], index), item[1]
            loaded = load_photo(image, self._color)
            yield moment, loaded.copy() if loaded is image else loaded
