"""Video end to end, over a clip played forwards and backwards: frames a second, latency, memory."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from facegeo.base.progress import ProgressLine
from facegeo.bench.timing import announce, summary
from facegeo.errors import InvalidInputError
from facegeo.predictor import FaceGeometry
from facegeo.video import StreamFrame
from facegeo.video.containers import import_av
from facegeo.video.sources import open_source
from facegeo.video.writer import VideoWriter

#: Frames that are taken of a long clip.
_MOST_FRAMES = 250

#: x264's CRF of the looped clip: what the decoder has to do should be what a good clip costs.
_QUALITY = 18

#: Frames before anything is measured, and at most this part of all.
_WARM_UP, _WARM_UP_PART = 50, 0.2

#: Frames before memory is measured, and between two looks at it.
_MEMORY_WARM_UP, _MEMORY_EVERY = 500, 25

#: Part of the looks that are averaged at the beginning and at the end.
_MEMORY_ENDS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench video``."""
    parser.add_argument("clip", metavar="CLIP", help="a video; its first 250 frames are used")
    parser.add_argument("--model", default="default", help="shipped or installed landmark model")
    parser.add_argument("--detector", default="auto", help="auto or a detection model")
    parser.add_argument("--draw", default="mesh", help="what is drawn on the encoded frames")
    parser.add_argument("--loops", type=int, default=10, help="each forwards and backwards")
    parser.add_argument("--live-fps", type=float, default=30.0, help="frames a second, live mode")
    parser.add_argument("--live-frames", type=int, default=600, help="0 leaves live mode out")
    parser.add_argument("--memory-frames", type=int, default=10_000, help="0 leaves memory out")


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run with parsed options.

    Returns
    -------
    dict
        ``runs`` (what was measured), ``clip``; ``plain`` and ``overlay`` with ``fps``; ``live``
        with ``p50_ms``, ``p95_ms`` and ``dropped``; ``memory`` with ``growth_mb``. Speeds contain
        decoding, that of ``overlay`` also what ``facegeo video --draw --out`` does.
    """
    if args.loops < 1:
        raise InvalidInputError(f"loops: expected at least 1, got {args.loops}")
    predictor = FaceGeometry(args.model, detector=args.detector)
    with TemporaryDirectory(prefix="facegeo-bench-") as folder:
        announce("looping the clip")
        once, report = _to_and_fro(args.clip, Path(folder) / "once.mp4", args.live_fps)
        length = report["frames_of_a_loop"]
        looped = _repeated(once, Path(folder) / "looped.mp4", args.loops)
        results: dict[str, Any] = {"runs": predictor.info(), "clip": report, "loops": args.loops}
        results["plain"] = _speed("faces", predictor, looped)
        out = Path(folder) / "drawn.mp4"
        results["overlay"] = {
            "draw": args.draw,
            **_speed("drawn and encoded", predictor, looped, out, args.draw),
        }
        if args.live_frames:
            loops = -(-args.live_frames // length)
            looped = _repeated(once, Path(folder) / "looped.mp4", loops)
            results["live"] = {"input_fps": args.live_fps, **_live(predictor, looped)}
        if args.memory_frames:
            frames = args.memory_frames + _MEMORY_WARM_UP
            looped = _repeated(once, Path(folder) / "looped.mp4", -(-frames // length))
            results["memory"] = _memory(predictor, looped, frames)
    return results


def _to_and_fro(clip: Any, path: Path, fps: float) -> tuple[Path, dict[str, Any]]:
    """A video of the clip's frames forwards and backwards, and what it holds."""
    source = open_source(clip)
    try:
        images = [image for _, image in islice(source.frames(), _MOST_FRAMES)]
    finally:
        source.close()
    height, width = images[0].shape[:2]
    with VideoWriter(path, fps, quality=_QUALITY) as writer:
        for index, image in enumerate([*images, *images[::-1]]):
            writer.write(image, index / fps)
    report = {"name": Path(clip).name, "width": width, "height": height}
    return path, {**report, "frames_of_a_loop": 2 * len(images)}


def _repeated(path: Path, target: Path, times: int) -> Path:
    """The same packets again and again, with timestamps that go on."""
    av = import_av()
    with av.open(str(path)) as source, av.open(str(target), "w") as copy:
        video = source.streams.video[0]
        stream = copy.add_stream_from_template(video)
        # Our own writer's: presented in the order of decoding.
        packets = [
            (bytes(packet), packet.pts, packet.is_keyframe)
            for packet in source.demux(video)
            if packet.pts is not None
        ]
        step = round(1 / (video.average_rate or Fraction(30)) / video.time_base)
        lap = packets[-1][1] - packets[0][1] + step
        for index in range(times):
            for data, moment, key in packets:
                packet = av.Packet(data)
                packet.pts = packet.dts = moment + index * lap
                packet.time_base, packet.stream, packet.is_keyframe = video.time_base, stream, key
                copy.mux(packet)
    return target


def _speed(
    what: str,
    predictor: FaceGeometry,
    clip: Path,
    out: Path | None = None,
    draw: str = "",
) -> dict[str, Any]:
    """Frames a second from file to faces, or to an annotated file."""
    from facegeo.video.annotated import AnnotatedVideo

    faces, start, frames = 0, (0.0, 0.0), 0
    with ExitStack() as stack:
        stream = stack.enter_context(predictor.stream(clip))
        sink: Callable[[StreamFrame], None] | None = None
        if out is not None:
            styles = tuple(draw.split(","))
            drawn = AnnotatedVideo(out, stream.fps or 30.0, styles)
            sink = stack.enter_context(closing(drawn))
        skipped = _warm_up(stream.length or 0)
        progress = stack.enter_context(ProgressLine(what, stream.length or 0))
        for frame in stream:
            progress.update()
            if sink is not None:
                sink(frame)
            if frame.index == skipped:
                start = time.perf_counter(), time.process_time()
            elif frame.index > skipped:
                frames += 1
                faces += len(frame.faces)
    # The file is closed by now.
    seconds, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    frames = max(frames, 1)
    return {
        "fps": frames / seconds,
        "frames": frames,
        "faces_a_frame": faces / frames,
        "processor_ms_a_frame": 1e3 * busy / frames,
    }


def _live(predictor: FaceGeometry, clip: Path) -> dict[str, Any]:
    """Latency from the decoded frame to its faces, while frames come by the clock."""
    latencies, last = [], -1
    with predictor.stream(clip, mode="live") as stream:
        skipped = _warm_up(stream.length or 0)
        progress = ProgressLine("live", stream.length or 0)
        for frame in stream:
            progress.update(frame.index - last)
            last = frame.index
            if last >= skipped:
                latencies.append(frame.latency_s)
        progress.close()
    dropped = last + 1 - skipped - len(latencies)
    return {**summary(np.array(latencies)), "frames": len(latencies), "dropped": dropped}


def _memory(predictor: FaceGeometry, clip: Path, count: int) -> dict[str, Any]:
    """Resident memory of this process over many frames."""
    if resident_mb() is None:
        return {"not_measured": "this system has no /proc/self/statm"}
    skipped = min(_MEMORY_WARM_UP, count // 4)
    with predictor.stream(clip) as stream, ProgressLine("memory", count) as progress:
        looks = np.array(list(_looks(islice(stream, count), skipped, progress)))
    ends = max(1, round(_MEMORY_ENDS * len(looks)))
    first, last = float(looks[:ends].mean()), float(looks[-ends:].mean())
    return {
        "frames": count - skipped,
        "first_mb": first,
        "last_mb": last,
        "growth_mb": last - first,
        "most_mb": float(looks.max()),
    }


def _looks(frames: Iterator[StreamFrame], skipped: int, progress: ProgressLine) -> Iterator[float]:
    for index, _ in enumerate(frames):
        progress.update()
        if index >= skipped and index % _MEMORY_EVERY == 0:
            used = resident_mb()
            assert used is not None
            yield used


def resident_mb() -> float | None:
    """Resident memory of this process in MB; None where the system does not tell in this way."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _warm_up(length: int) -> int:
    return min(_WARM_UP, int(_WARM_UP_PART * length))
