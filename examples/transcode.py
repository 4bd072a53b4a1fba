"""Draw faces into a video and keep its sound: PyAV in, overlay, PyAV out.

python examples/transcode.py IN.mp4 OUT.mp4

The sound is copied packet by packet, not encoded anew. `facegeo video` does the same without sound,
with more drawings, and its file can be played even after a crash.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from facegeo import FaceGeometry
from facegeo.base.files import replacing
from facegeo.errors import FacegeoError, InvalidInputError
from facegeo.render.annotate import annotate

#: Ticks a second of the written timestamps.
CLOCK = 90_000

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


def transcode(predictor: FaceGeometry, source: Path, target: Path, styles: tuple[str, ...]) -> int:
    """Write ``target``, whole or not at all; the number of its frames.

    Raises
    ------
    FacegeoError
        If the source cannot be read, or the target's format cannot hold its sound.
    """
    if target.suffix.lower() not in FORMATS:
        raise InvalidInputError(f"{target}: expected a name that ends in {', '.join(FORMATS)}")
    count = 0
    with ExitStack() as stack:
        stream = stack.enter_context(predictor.stream(source))
        sound = Sound(stack.enter_context(av.open(str(source))))
        partial = stack.enter_context(replacing(target))
        out = stack.enter_context(av.open(str(partial), "w", format=FORMATS[target.suffix.lower()]))
        video = None
        for frame in stream:
            image = annotate(frame.image, frame.faces, styles)
            if video is None:
                video = add_video(out, image, stream.fps or 30.0)
                sound.add_to(out)
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture = picture.reformat(video.width, video.height, "yuv420p")
            picture.pts, picture.time_base = round(frame.timestamp_s * CLOCK), Fraction(1, CLOCK)
            out.mux(video.encode(picture))
            for packet in sound.until(frame.timestamp_s):
                out.mux(packet)
            count += 1
        out.mux(video.encode())
        for packet in sound.until(math.inf):
            out.mux(packet)
    return count


def add_video(out: Any, image: np.ndarray, fps: float) -> Any:
    """An H.264 stream for pictures like this one."""
    video = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    # Colour is stored at half the resolution: sides must be even.
    video.height, video.width = (side // 2 * 2 for side in image.shape[:2])
    video.pix_fmt = "yuv420p"
    video.options = {"crf": "20", "preset": "veryfast"}
    video.codec_context.time_base = Fraction(1, CLOCK)
    return video


class Sound:
    """The packets of a file's first sound stream, in step with the picture."""

    def __init__(self, container: Any) -> None:
        self._source = container.streams.audio[0] if container.streams.audio else None
        self._packets = container.demux(self._source) if self._source else iter(())
        self._next = self._advance()
        self._target: Any = None

    def add_to(self, out: Any) -> None:
        """Make room for it in the output."""
        if self._source:
            self._target = out.add_stream_from_template(self._source)

    def until(self, time_s: float) -> Iterator[Any]:
        """Packets up to a time."""
        while self._next is not None and self._next.dts * self._next.time_base <= time_s:
            self._next.stream = self._target
            yield self._next
            self._next = self._advance()

    def _advance(self) -> Any:
        # A packet without a timestamp is the demuxer's mark of the end.
        return next((packet for packet in self._packets if packet.dts is not None), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="default", help="an installed landmark model")
    parser.add_argument("--draw", default="landmarks,pose,id", help="comma-separated styles")
    options = parser.parse_args()
    try:
        predictor = FaceGeometry(options.model)
        styles = tuple(options.draw.split(","))
        count = transcode(predictor, options.source, options.target, styles)
    except FacegeoError as error:
        print(f"transcode.py: {error}", file=sys.stderr)
        return 1
    except av.FFmpegError as error:
        print(f"transcode.py: {options.target}: cannot be written ({error})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{options.target}: {count} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
