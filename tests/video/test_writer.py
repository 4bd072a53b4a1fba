"""Annotated videos: right timestamps, playable however they end."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.video_data import picture
from test_sources import numbers, read
from test_stream import endless, stream
from tqdm import tqdm

from facegeo import cli
from facegeo.cli import video
from facegeo.errors import InvalidImageError, InvalidInputError, OutputError
from facegeo.video import annotated
from facegeo.video.writer import VideoWriter

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_frames_and_timestamps_come_back(tmp_path):
    moments = np.array([0, 0.04, 0.08, 0.2, 0.24, 0.5])  # not evenly spaced
    with VideoWriter(tmp_path / "new" / "a.mp4", 25) as writer:
        for index, moment in enumerate(moments):
            writer.write(picture(index), moment)
    found, pictures = read(tmp_path / "new" / "a.mp4")
    np.testing.assert_allclose(found, moments, atol=1e-4)
    assert numbers(pictures) == list(range(6))


def test_other_sizes_are_fitted_and_odd_ones_cut(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(picture(0, 65, 49), 0)
        writer.write(picture(1, 32, 48), 0.1)
    assert [image.shape for image in read(tmp_path / "a.mp4")[1]] == [(48, 64, 3)] * 2


def test_what_was_written_before_the_end_can_be_played(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 5)
    for index in range(60):
        writer.write(picture(index % 50), index / 5)
    deadline = time.monotonic() + 5
    while (tmp_path / "a.mp4").stat().st_size < 3000 and time.monotonic() < deadline:
        time.sleep(0.01)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "killed.mp4")  # as a kill would leave it
    writer.close()
    found = read(tmp_path / "killed.mp4")[1]
    assert numbers(found) == list(range(len(found)))
    assert len(found) >= 5


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"a\.mp4: cannot be written"):
        VideoWriter(tmp_path / "file" / "a.mp4")


def test_an_encoder_that_fails_is_heard_and_nobody_waits_forever(tmp_path, monkeypatch):
    writer = VideoWriter(tmp_path / "a.mp4")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_encode", full)
    with pytest.raises(OutputError, match="No space left"):
        for index in range(30):
            writer.write(picture(0), index)
    writer.close()
    with pytest.raises(InvalidInputError, match="closed"):
        writer.write(picture(0), 99)


def test_an_interrupt_leaves_good_files(tmp_path, interruptible):
    program = """
        import sys, time
        import numpy as np
        from helpers.video_data import World, WorldPredictor
        from facegeo import cli
        from facegeo.cli import video
        from facegeo.video.stream import open_stream

        def slowly():
            while True:
                time.sleep(0.01)
                yield np.zeros((240, 320, 3), np.uint8)

        def opened(options, source, mode):
            world = World({"a": [100, 80, 180, 160]})
            return open_stream(WorldPredictor(world), slowly(), mode=mode, smooth=True,
                               tracking=None, fps=5, timeout_s=5, color="bgr")

        video.open_stream = opened
        sys.exit(cli.main(["video", "x", "--out", "a.mp4", "--json", "a.jsonl", "--csv", "a.csv"]))
    """
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = tmp_path / "a.jsonl"
    deadline = time.monotonic() + 60
    while (not lines.exists() or lines.read_text().count("\n") < 8) and time.monotonic() < deadline:
        time.sleep(0.02)  # lines can be read while the program runs
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    written = lines.read_text()
    assert written.endswith("}\n")
    # The signal may come when a frame's line is written, and its row and picture are not yet.
    rows = (tmp_path / "a.csv").read_text().count("\n") - 1
    pictures = len(read(tmp_path / "a.mp4")[1])
    assert written.count("\n") - 1 <= pictures <= rows <= written.count("\n")


def test_a_drawing_that_fails_ends_everything_and_leaves_a_good_file(tmp_path, monkeypatch):
    drawn = itertools.count()

    def failing(image, *_):
        if next(drawn) == 5:
            raise RuntimeError("no more ink")
        return image

    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # a thread that stays, not ours
    monkeypatch.setattr(video, "open_stream", lambda *_: stream(endless()))
    monkeypatch.setattr(annotated, "annotate", failing)
    out, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    with pytest.raises(RuntimeError, match="no more ink"):
        cli.main(["video", "x", "--out", str(out), "--json", str(lines)])
    assert len(read(out)[1]) == 5
    assert lines.read_text().count("\n") == 6


@pytest.mark.parametrize("ending", [".mp4", ".M4V", ".mov", ".mkv"])
def test_the_format_is_what_the_name_says(tmp_path, ending):
    import av

    with VideoWriter(tmp_path / f"a{ending}") as writer:
        for index in range(3):
            writer.write(picture(index), index / 30)
    with av.open(str(tmp_path / f"a{ending}")) as container:
        assert ("matroska" if ending == ".mkv" else "mp4") in container.format.name
    assert numbers(read(tmp_path / f"a{ending}")[1]) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.avi", "a.webm", "a.jpg", "a"])
def test_other_endings_are_refused_before_anything_is_written(tmp_path, capsys, name):
    out, lines = tmp_path / name, tmp_path / "a.jsonl"
    with pytest.raises(InvalidInputError, match=rf"{name}: expected a name that ends in \.mp4"):
        VideoWriter(out)
    assert cli.main(["video", "x.mp4", "--out", str(out), "--json", str(lines)]) == 1
    assert f"{name}: expected a name that ends in .mp4" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad",
    [
        *[{"fps": value} for value in (0, "30", None, float("nan"), 1e6)],
        *[{"quality": value} for value in (-1, 52, 2.5, "21", True)],
        *[{"preset": value} for value in ("quick", None, ["fast"])],
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, bad):
    with pytest.raises(InvalidInputError, match=f"^{next(iter(bad))}: expected"):
        VideoWriter(tmp_path / "a.mp4", **bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("image", [None, [[1]], np.zeros((4, 4)), np.zeros((4, 4), np.uint8)])
def test_what_is_no_image_is_refused(tmp_path, image):
    with (
        VideoWriter(tmp_path / "a.mp4") as writer,
        pytest.raises(InvalidImageError, match="image: expected"),
    ):
        writer.write(image, 0.0)


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), "1", None])
def test_a_time_that_is_no_number_is_refused(tmp_path, moment):
    with (
        VideoWriter(tmp_path / "a.mp4") as writer,
        pytest.raises(InvalidInputError, match="timestamp_s: expected a finite number"),
    ):
        writer.write(picture(0), moment)
