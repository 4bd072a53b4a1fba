"""facegeo video and webcam."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from helpers.video_data import World, WorldPredictor, write_clip

from facegeo import cli
from facegeo.cli import video, webcam
from facegeo.errors import BackendUnavailableError, InvalidImageError
from facegeo.images import encode_photo, read_photo
from facegeo.video.stream import open_stream

pytest.importorskip("av", reason="video needs the extra [video]")

PHOTO = np.zeros((240, 320, 3), np.uint8)


def stream_of(frames, **options):
    world = World({"a": [100, 80, 180, 160]})
    defaults = dict(mode="offline", smooth=True, tracking=None, fps=10, timeout_s=5, color="bgr")
    return open_stream(WorldPredictor(world), frames, **{**defaults, **options})


@pytest.fixture
def twelve_frames(monkeypatch):
    """The commands see twelve black frames with one face."""
    monkeypatch.setattr(video, "open_stream", lambda *_: stream_of([PHOTO] * 12))


def test_a_line_a_frame_and_a_row_a_face(tmp_path, twelve_frames, capsys):
    lines, rows = tmp_path / "new" / "a.jsonl", tmp_path / "a.csv"
    assert cli.main(["video", "x", "--json", str(lines), "--csv", str(rows)]) == 0
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(12))
    assert records[3]["timestamp_s"] == pytest.approx(0.3)
    (face,) = records[3]["faces"]
    assert face["track_id"] == 1
    assert np.shape(face["landmarks"]) == (68, 3)
    assert {"yaw", "pitch", "roll", "scale"} <= set(face["pose"])
    table = rows.read_text().splitlines()
    assert table[0].startswith("frame,timestamp_s,track_id,yaw")
    assert len(table) == 13
    assert all(len(row.split(",")) == len(table[0].split(",")) for row in table)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "12 frames" in captured.err


def test_lines_on_standard_output_and_a_limit(twelve_frames, capsys):
    assert cli.main(["video", "x", "--json", "-", "--max-frames", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_video_is_drawn_on(tmp_path, twelve_frames):
    out = tmp_path / "a.mp4"
    assert cli.main(["video", "x", "--out", str(out), "--draw", "box,id,landmarks"]) == 0
    import av

    with av.open(str(out)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(pictures) == 12
    assert pictures[5][75:165, 95:185].max() > 150
    assert pictures[5][200:, 250:].max() < 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["none.mp4"], "none.mp4: no such file"), (["97"], "camera 97: cannot be opened")],
)
def test_a_missing_source_is_one_clear_line(models, tmp_path, capsys, arguments, message):
    out = str(tmp_path / "a.jsonl")
    code = cli.main(["video", *arguments, "--json", out, "--model", "mb05"])
    errors = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert message in errors[-1]


def test_an_unknown_style_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["video", "x", "--draw", "moustache"])
    assert caught.value.code == 2


class FakeWindow:
    """Presses keys, one a frame, and keeps what it was shown."""

    def __init__(self, keys):
        self.keys, self.shown = list(keys), []

    def show(self, image):
        self.shown.append(image.copy())
        return self.keys.pop(0) if self.keys else None


def test_keys_switch_drawings_and_end_the_show():
    window = FakeWindow([None, "b", None, "b", "q", None])
    with stream_of([PHOTO] * 12) as frames:
        webcam.show(frames, window, ())
    assert len(window.shown) == 5
    # The box's left side: drawn from the frame after the key on.
    drawn = [bool(image[90:150, 98:103].any()) for image in window.shown]
    assert drawn == [False, False, True, True, False]
    assert all(image[10:40, :200].any() for image in window.shown)  # speed and latency


def test_the_meter_counts_frames_and_latency():
    meter = webcam.Meter()
    assert meter.fps == 0
    for index in range(40):
        meter.add(index / 30, 0.012)
    assert meter.fps == pytest.approx(30)
    assert meter.text(2, 7) == "30 frames/s  latency 12 ms  faces 2  dropped 7"


def test_a_number_is_a_camera_unless_it_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert video.parse_source("1") == 1
    (tmp_path / "1").touch()
    assert video.parse_source("1") == "1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others always have a display")
def test_without_a_display_the_window_is_one_clear_error(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BackendUnavailableError, match=r"no display.*facegeo video CAMERA --out"):
        webcam.CvWindow("facegeo")


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi", "flv", "ts", "wmv"])
def test_photos_and_videos_point_to_each_others_command(tmp_path, capsys, monkeypatch, ending):
    clip = write_clip(
        tmp_path / f"clip.{ending}", 3, codec="msmpeg4" if ending == "wmv" else "libx264"
    )
    with pytest.raises(InvalidImageError, match=rf"clip\.{ending}: a video.*facegeo video"):
        read_photo(clip)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode_photo(PHOTO, ".jpg"))
    monkeypatch.setattr(video, "open_stream", lambda options, source, mode: stream_of(source))
    assert cli.main(["video", str(photo), "--json", str(tmp_path / "a.jsonl")]) == 1
    assert "photo.jpg: a photo, not a video; for photos: facegeo predict" in capsys.readouterr().err
