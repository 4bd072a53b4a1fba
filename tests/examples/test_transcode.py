"""Faces are drawn, timestamps and sound are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="video needs the extra [video]")


def write_clip(path: Path, frames: list[np.ndarray], sound: str | None = "aac") -> Path:
    """The frames at 25 a second, with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = out.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for index, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts = index
            out.mux(video.encode(picture))
        out.mux(video.encode())
        if audio:
            time = np.arange(int(48_000 * len(frames) / 25)) / 48_000
            tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48_000, 0
            out.mux(audio.encode(samples))
            out.mux(audio.encode())
    return path


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Times and bytes of the sound."""
    with av.open(str(path)) as file:
        found = file.demux(file.streams.audio[0])
        return [(float(p.dts * p.time_base), bytes(p)) for p in found if p.dts is not None]


def pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as file:
        return [(frame.time, frame.to_ndarray(format="bgr24")) for frame in file.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_sound_is_copied_and_faces_are_drawn(example, tmp_path, clip_frames, predictor, ending):
    source = write_clip(tmp_path / "in.mp4", clip_frames)
    target = tmp_path / f"out.{ending}"
    count = example("transcode").transcode(predictor, source, target, ("landmarks",))
    before, after = pictures(source), pictures(target)
    assert count == len(before) == len(after) == 8
    shift = after[0][0] - before[0][0]
    assert 0 <= shift < 0.03  # Matroska has no times before zero, where AAC begins
    assert np.allclose([t + shift for t, _ in before], [t for t, _ in after], atol=2e-3)
    drawn = np.abs(before[4][1].astype(int) - after[4][1]).max(axis=2) > 60
    assert 100 < drawn.sum() < 0.2 * drawn.size

    sound, copied = packets(source), packets(target)
    assert [data for _, data in sound] == [data for _, data in copied]
    assert np.allclose([t + shift for t, _ in sound], [t for t, _ in copied], atol=2e-3)


def test_a_silent_clip(example, tmp_path, clip_frames, predictor):
    source = write_clip(tmp_path / "in.mkv", clip_frames[:3], sound=None)
    target = tmp_path / "out.mp4"
    assert example("transcode").transcode(predictor, source, target, ()) == 3
    with av.open(str(target)) as file:
        assert not file.streams.audio


def test_a_failure_leaves_what_was_there(example, tmp_path, predictor):
    from facegeo.errors import CorruptFileError, InvalidInputError

    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "out.mp4").write_bytes(b"old")
    run = example("transcode").transcode
    with pytest.raises(CorruptFileError):
        run(predictor, tmp_path / "bad.mp4", tmp_path / "out.mp4", ())
    assert (tmp_path / "out.mp4").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(InvalidInputError, match=r"expected a name that ends in \.mp4"):
        run(predictor, tmp_path / "bad.mp4", tmp_path / "out.gif", ())
