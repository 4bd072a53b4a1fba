"""``facegeo video``: a video to an annotated video, JSON lines and a table of head poses."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facegeo.cli.common import (
    add_backend_options,
    add_detector_options,
    backend_options,
    detector_options,
    number,
    some_of,
)
from facegeo.errors import OutputError
from facegeo.render.annotate import ANNOTATORS, check_outputs

if TYPE_CHECKING:
    from facegeo.video import StreamFrame

_DEFAULT_OUT = Path("facegeo-out")

#: Decimals of photo pixels in JSON, and the fields that are such.
_DECIMALS = 3
_IN_PIXELS = ("box", "roi", "landmarks", "coarse_landmarks")

_CSV_HEADER = "frame,timestamp_s,track_id,yaw,pitch,roll,x,y,scale,presence"


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "video",
        help="follow every face through a video",
        description="Follow every face through a video. Without --out, --json and --csv it writes "
        f"{_DEFAULT_OUT}/NAME.faces.mp4. Interrupted with Ctrl-C, all files are finished and good.",
    )
    parser.add_argument("source", metavar="IN", help="file, folder of pictures, URL, camera index")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="OUT.mp4",
        help="annotated video (no sound): .mp4, .m4v, .mov or .mkv",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="one JSON line a frame; - is standard output"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="head pose, a line a face")
    parser.add_argument("--live", action="store_true", help="newest frame first, drop the rest")
    parser.add_argument("--max-frames", type=number(int, 1), help="stop after this many")
    add_stream_options(parser)
    parser.set_defaults(run=run)


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``video`` and ``webcam`` share."""
    parser.add_argument(
        "--draw",
        type=some_of(tuple(ANNOTATORS)),
        default=("landmarks", "pose"),
        metavar="STYLES",
        help=f"comma-separated: {', '.join(ANNOTATORS)} (default: landmarks,pose)",
    )
    parser.add_argument(
        "--no-smooth", action="store_true", help="what the network says, unfiltered"
    )
    parser.add_argument("--detect-every", type=number(int, 1), help="frames between detections")
    add_detector_options(parser)
    parser.add_argument("--max-faces", type=number(int, 1), help="most faces at once")
    add_backend_options(parser)


def open_stream(options: argparse.Namespace, source: Any, mode: str) -> Any:
    """The stream that the options ask for."""
    from facegeo.predictor import FaceGeometry
    from facegeo.track import TrackerOptions

    predictor = FaceGeometry(
        max_faces=options.max_faces,
        **detector_options(options),
        **backend_options(options),
    )
    check_outputs(options.draw, predictor.network.output_metadata)
    return predictor.stream(
        source,
        mode="live" if mode == "live" else "offline",
        smooth=not options.no_smooth,
        tracking=TrackerOptions(detect_every=options.detect_every, max_faces=options.max_faces),
    )


def run(options: argparse.Namespace) -> int:
    """Process the video; errors come after all that was good has been written."""
    source = parse_source(options.source)
    if not (options.out or options.json or options.csv):
        name = Path(options.source).stem if not isinstance(source, int) else f"camera{source}"
        options.out = _DEFAULT_OUT / f"{name}.faces.mp4"
    if options.out:
        from facegeo.video.writer import check_video_name

        check_video_name(options.out)
    frames = 0
    with ExitStack() as stack:
        stream = stack.enter_context(
            open_stream(options, source, "live" if options.live else "offline")
        )
        sinks = _open_sinks(options, stream, stack)
        bar = stack.enter_context(_progress(stream.length, options.max_frames))
        try:
            for frame in stream:
                for sink in sinks:
                    sink(frame)
                frames += 1
                bar.update()
                if frames == options.max_frames:
                    break
        except KeyboardInterrupt:
            bar.write(f"facegeo: stopping after {frames} frames", file=sys.stderr)
            raise
    _summary(frames, options)
    return 0


def parse_source(text: str) -> Any:
    """A camera's index as a number, anything else as it is."""
    return int(text) if text.isdigit() and not Path(text).exists() else text


Sink = Callable[["StreamFrame"], None]


def _open_sinks(options: argparse.Namespace, stream: Any, stack: ExitStack) -> list[Sink]:
    """Sinks for all that is to be done with each frame; the stack closes the files."""
    sinks: list[Sink] = []
    if options.json:
        file = sys.stdout if options.json == "-" else stack.enter_context(_created(options.json))
        sinks.append(lambda frame: _write_line(file, json.dumps(frame_record(frame))))
    if options.csv:
        table = stack.enter_context(_created(options.csv))
        _write_line(table, _CSV_HEADER)
        sinks.append(lambda frame: _write_rows(table, frame))
    if options.out:
        from facegeo.video.annotated import AnnotatedVideo

        video = AnnotatedVideo(options.out, stream.fps or 30.0, options.draw)
        sinks.append(stack.enter_context(closing(video)))
    return sinks


def frame_record(frame: StreamFrame) -> dict[str, Any]:
    """A frame as a JSON line says it: photo pixels rounded, all else exact."""
    record = frame.to_dict()
    for face, pixels in zip(record["faces"], frame.faces, strict=True):
        for name in _IN_PIXELS:
            face[name] = _rounded(getattr(pixels, name))
    return record


def _rounded(pixels: np.ndarray) -> Any:
    # As float64: a rounded float32 is printed with all the digits that it has not.
    return np.round(pixels.astype(np.float64), _DECIMALS).tolist()


def _write_rows(file: IO[str], frame: StreamFrame) -> None:
    for face in frame.faces:
        pose = face.pose
        x, y = face.landmarks[:, :2].mean(axis=0)
        presence = "" if face.presence != face.presence else f"{face.presence:.3f}"
        _write_line(
            file,
            f"{frame.index},{frame.timestamp_s:.6f},{face.track_id},{pose.yaw:.3f},"
            f"{pose.pitch:.3f},{pose.roll:.3f},{x:.2f},{y:.2f},{pose.scale:.5f},{presence}",
        )


def _write_line(file: IO[str], line: str) -> None:
    file.write(line + "\n")
    file.flush()  # whoever follows the file sees each frame at once


def _created(path: str | Path) -> IO[str]:
    """A text file that grows in place, so that it can be followed while it is written."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(path).open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _progress(length: int | None, limit: int | None) -> Any:
    from tqdm import tqdm

    known = [count for count in (length, limit) if count is not None]
    # disable=None: no bar where standard error is not a terminal
    return tqdm(total=min(known, default=None), unit="frame", disable=None)


def _summary(frames: int, options: argparse.Namespace) -> None:
    places = [str(place) for place in (options.out, options.json, options.csv) if place]
    print(f"facegeo: {frames} frames -> {', '.join(places)}", file=sys.stderr)
