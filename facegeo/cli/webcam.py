"""``facegeo webcam``: a window with what is seen of the faces in front of a camera."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from facegeo.cli.video import add_stream_options, open_stream, parse_source
from facegeo.errors import BackendUnavailableError
from facegeo.render.annotate import ANNOTATORS, draw_text

if TYPE_CHECKING:
    from facegeo.video import StreamFrame

#: Key -> what it switches.
KEYS = {
    "l": "landmarks",
    "p": "pose",
    "b": "box",
    "i": "id",
    "m": "mesh",
    "w": "wireframe",
}
_QUIT = ("q", "\x1b")
_HELP = "  ".join(f"{key}: {style}" for key, style in KEYS.items()) + "  h: help  q: quit"

#: Frames over which speed and latency are averaged.
_SPAN = 30


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "webcam",
        help="faces in front of a camera, in a window",
        description=f"Show a camera's picture with the faces drawn on it. Keys: {_HELP}.",
    )
    parser.add_argument(
        "source", nargs="?", default="0", metavar="CAMERA", help="index, URL or file (default: 0)"
    )
    add_stream_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show until a key or Ctrl-C ends it."""
    with open_stream(options, parse_source(options.source), "live") as stream:
        window = CvWindow("facegeo")
        try:
            show(stream, window, options.draw)
        finally:
            window.close()
    return 0


class Window(Protocol):
    """Window where frames are shown."""

    def show(self, image: np.ndarray) -> str | None:
        """Show a BGR image; the key that was pressed, ``q`` if the window was closed."""


def has_display() -> bool:
    """True if OpenCV can open a window.

    Asked in another process: without a display, OpenCV's Qt does not fail, it ends its process.
    """
    program = "import cv2; cv2.namedWindow('facegeo'); cv2.waitKey(1)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


class CvWindow:
    """OpenCV's window."""

    def __init__(self, title: str) -> None:
        self._title = title
        if not has_display():
            raise BackendUnavailableError(
                "a window cannot be opened: there is no display, or OpenCV was installed without "
                "windows (opencv-python-headless); `facegeo video CAMERA --out FILE.mp4` needs none"
            )
        cv2.namedWindow(title, cv2.WINDOW_NORMAL)

    def show(self, image: np.ndarray) -> str | None:
        cv2.imshow(self._title, image)
        code = cv2.waitKey(1)
        if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        return chr(code & 0xFF) if code >= 0 else None

    def close(self) -> None:
        """Remove the window."""
        cv2.destroyWindow(self._title)


def show(frames: Iterable[StreamFrame], window: Window, styles: Iterable[str]) -> None:
    """Draw and show frames until they end or ``q`` is pressed; keys switch the drawings."""
    from facegeo.video.annotated import draw_frame

    wanted = set(styles)
    meter = Meter()
    helping = False
    for frame in frames:
        drawn = [style for style in ANNOTATORS if style in wanted]
        image = draw_frame(frame, drawn)
        meter.add(time.perf_counter(), frame.latency_s)
        draw_text(image, meter.text(len(frame.faces), frame.dropped), (10, 30), 0.6)
        if helping:
            draw_text(image, _HELP, (10, 64), 0.6)
        key = window.show(image)
        if key in _QUIT:
            return
        helping ^= key == "h"
        if key in KEYS:
            wanted ^= {KEYS[key]}


class Meter:
    """Frame rate and latency over the last frames."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=_SPAN)
        self._latencies: deque[float] = deque(maxlen=_SPAN)

    def add(self, now_s: float, latency_s: float) -> None:
        """A frame was finished."""
        self._moments.append(now_s)
        self._latencies.append(latency_s)

    @property
    def fps(self) -> float:
        """Frames a second; 0 before there are two."""
        if len(self._moments) < 2:
            return 0.0
        return (len(self._moments) - 1) / max(self._moments[-1] - self._moments[0], 1e-9)

    @property
    def latency_ms(self) -> float:
        """Median, milliseconds."""
        return 1e3 * float(np.median(self._latencies)) if self._latencies else 0.0

    def text(self, faces: int, dropped: int) -> str:
        """A line for the image."""
        return (
            f"{self.fps:.0f} frames/s  latency {self.latency_ms:.0f} ms  faces {faces}  "
            f"dropped {dropped}"
        )
