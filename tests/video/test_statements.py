"""Cut files are noticed by what they state of themselves, wherever they are cut."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from helpers.video_data import noisy_picture, write_clip

from facegeo.errors import CorruptFileError
from facegeo.video.sources import open_source
from facegeo.video.statements import missing_bytes

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Ending -> options of the file, codec, whether its size can be told.
KINDS = {
    "mp4": ({"movflags": "faststart"}, "libx264", True),
    "mov": ({"movflags": "faststart"}, "libx264", True),
    "mkv": ({}, "libx264", True),
    "webm": ({}, "libvpx", True),
    "avi": ({}, "mpeg4", True),
    "wmv": ({}, "msmpeg4", True),
    "flv": ({}, "libx264", True),
    "ts": ({}, "libx264", False),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def make(ending, sound=False):
        if (ending, sound) not in made:
            options, codec, _ = KINDS[ending]
            path = folder / f"{'sound' if sound else 'mute'}.{ending}"
            made[ending, sound] = write_clip(
                path, 60, options=options, make=noisy_picture, codec=codec, sound=sound
            )
        return made[ending, sound]

    return make


def read(path):
    """Number of frames and the error at the end, if any."""
    source, count = open_source(path), 0
    try:
        for _ in source.frames():
            count += 1
    except CorruptFileError as error:
        return count, str(error)
    finally:
        source.close()
    return count, None


@pytest.mark.parametrize("ending", list(KINDS))
def test_a_whole_file_lacks_nothing(whole, ending):
    assert missing_bytes(whole(ending)) == 0
    assert read(whole(ending)) == (60, None)


@pytest.mark.parametrize("ending", [kind for kind, (_, _, tells) in KINDS.items() if tells])
def test_bytes_that_are_missing_are_counted(whole, tmp_path, ending):
    data = whole(ending).read_bytes()
    for cut in (1, 1000, len(data) // 2):
        path = tmp_path / f"{cut}.{ending}"
        path.write_bytes(data[:-cut])
        # AVI may leave out its last padding byte; faststart's last box ends the file.
        assert missing_bytes(path) in ((0, 1) if cut == 1 else (cut,))


@pytest.mark.parametrize("part", [0.6, 0.85, 0.97])
@pytest.mark.parametrize(
    ("ending", "sound"),
    [
        *[(kind, False) for kind in KINDS if kind != "ts"],
        *[(kind, True) for kind in ("mp4", "mkv", "avi", "flv")],
    ],
)
def test_a_cut_file_is_reported_after_its_good_frames(whole, tmp_path, ending, sound, part):
    data = whole(ending, sound).read_bytes()
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(data[: int(len(data) * part)])
    count, error = read(path)
    assert error is not None and "damaged" in error
    assert 60 * part - 16 < count <= 60  # some files have an index at their end
    assert count < 60 or part > 0.9


@pytest.mark.parametrize("stated", [True, False])
def test_the_last_tag_of_flv_tells_where_it_ends(whole, tmp_path, stated):
    data = whole("flv", sound=True).read_bytes()
    if not stated:  # as of a server, which does not know the size
        assert data.count(b"filesize") == 1
        data = data.replace(b"filesize", b"filesizf")
    for cut in (1, 4, 5, 300, 5000):
        path = tmp_path / "cut.flv"
        path.write_bytes(data[:-cut])
        missing = missing_bytes(path)
        assert missing == cut if stated else 0 < missing < 10_000
        count, error = read(path)
        assert count > 50 and error is not None and "damaged or cut short" in error


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_sizes_of_flv_that_are_none_are_not_believed(whole, tmp_path, size):
    data = bytearray(whole("flv").read_bytes())
    at = data.index(b"filesize") + len(b"filesize") + 1
    data[at : at + 8] = struct.pack(">d", size)
    path = tmp_path / "a.flv"
    path.write_bytes(data)
    assert missing_bytes(path) == 0


def test_a_live_recording_tells_nothing_and_is_not_judged(tmp_path):
    path = write_clip(tmp_path / "live.webm", 20, codec="libvpx", options={"live": "1"})
    assert missing_bytes(path) == 0
    assert read(path) == (20, None)


@pytest.mark.parametrize("ending", ["mkv", "flv", "mp4", "ts"])
@pytest.mark.parametrize("sound", [False, True])
def test_a_clock_that_starts_late_is_no_damage(tmp_path, ending, sound):
    path = write_clip(tmp_path / f"late.{ending}", 30, first=150, sound=sound)
    source = open_source(path)
    moments = [moment for moment, _ in source.frames()]  # and no CorruptFileError
    source.close()
    assert moments[0] == pytest.approx(5, abs=0.1)
    assert len(moments) == 30
    if ending == "mkv" and not sound:
        assert source.length == 30


@pytest.mark.parametrize("appended", [b"\0" * 1000, b"made by somebody" * 9])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv"])
def test_what_was_appended_is_no_damage(whole, tmp_path, ending, appended):
    path = tmp_path / f"more.{ending}"
    path.write_bytes(whole(ending).read_bytes() + appended)
    assert missing_bytes(path) == 0


def test_bytes_turned_in_the_middle_are_reported(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 60, make=noisy_picture, coding={"g": "60"})
    data = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(len(data) // 3, len(data) * 2 // 3, 60):
        data[at] ^= 255
    path.write_bytes(data)
    count, error = read(path)
    assert count > 50
    assert error is not None and "partly invented" in error
