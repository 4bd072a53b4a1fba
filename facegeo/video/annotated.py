"""Frames with their faces drawn on them, and video files of such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegeo.render.annotate import annotate
from facegeo.surface.dense import dense_faces
from facegeo.video.stream import StreamFrame
from facegeo.video.writer import VideoWriter


def draw_frame(frame: StreamFrame, styles: Sequence[str]) -> np.ndarray:
    """The frame's image, annotated; styles are those of :mod:`facegeo.render.annotate`."""
    return annotate(frame.image, frame.faces, styles, lambda: dense_faces(frame.faces))


class AnnotatedVideo:
    """A sink for frames; it has to be closed.

    Parameters
    ----------
    path : Path
    fps : float
        Frames a second that the file states.
    styles : sequence of str
        Names of :data:`facegeo.render.annotate.ANNOTATORS`.
    """

    def __init__(self, path: Path, fps: float, styles: Sequence[str]) -> None:
        self._styles = styles
        self._writer = VideoWriter(path, fps)

    def __call__(self, frame: StreamFrame) -> None:
        """Draw and write."""
        self._writer.write(draw_frame(frame, self._styles), frame.timestamp_s)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
