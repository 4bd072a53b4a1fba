"""Damaged clips: frames, an error of facegeo's, or both; no crash and no hang."""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video_data import noisy_picture, number_of, write_clip

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.video.containers import Container
from facegeo.video.sources import open_source

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Ending, codec and sound of clips whose damage is tried.
KINDS = [
    ("mp4", "libx264", False),
    ("mkv", "libx264", False),
    ("avi", "mpeg4", False),
    ("avi", "libx264", True),
    ("webm", "libvpx", False),
    ("ts", "libx264", False),
    ("ts", "libx264", True),
    ("flv", "libx264", False),
    ("flv", "libx264", True),
]

#: Damaged files of each kind, and the seconds for one.
COUNT, LIMIT_S = 400, 10.0


def read(path) -> int:
    """Number of frames; errors pass."""
    source, count = open_source(path), 0
    try:
        for _ in source.frames():
            count += 1
    finally:
        source.close()
    return count


def test_titles_in_another_encoding_are_no_damage(tmp_path):
    path = write_clip(tmp_path / "a.mkv", 5)
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xff\xfef"))
    assert read(path) == 5


def test_a_codec_that_is_not_there_is_named(tmp_path):
    path = write_clip(tmp_path / "a.avi", 5, codec="mpeg4")
    data = path.read_bytes()
    assert data.count(b"FMP4") == 2  # in the stream's header and in its format
    path.write_bytes(data.replace(b"FMP4", b"XYZ7"))
    with pytest.raises(UnreadableFileError, match=r"a\.avi: no decoder for its video"):
        read(path)


def test_a_decoder_that_is_not_there_is_named(tmp_path):
    # Dirac's successor: FFmpeg knows its name and has no decoder for it.
    path = write_clip(tmp_path / "a.mkv", 5)
    data = path.read_bytes()
    name = b"V_MPEG4/ISO/AVC"
    assert name in data
    path.write_bytes(data.replace(name, b"V_MPEGI/ISO/VVX"))
    with pytest.raises((UnreadableFileError, CorruptFileError), match=r"a\.mkv"):
        read(path)


def test_a_stream_that_begins_late_is_no_damage(tmp_path):
    path = write_clip(tmp_path / "a.flv", 60, sound=True)
    data = path.read_bytes()
    tags = flv_tags(data)
    # Captions, from the last tag but ten on; PyAV knows the streams of the beginning only.
    text = b"\2\0\x0aonTextData\x08\0\0\0\1\0\4text\2\0\5hello\0\0\x09"
    size, at = len(text).to_bytes(3, "big"), tags[-10]
    caption = b"\x12" + size + data[at + 4 : at + 8] + b"\0\0\0" + text
    caption += len(caption).to_bytes(4, "big")
    path.write_bytes(data[:at] + caption * 3 + data[at:])
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert read(path) == 60


def test_frames_that_a_failed_read_leaves_keep_their_times(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.flv", 30, coding={"bf": "3"})
    source = open_source(path)
    packets = Container._packets

    def failing(container):
        for number, packet in enumerate(packets(container)):
            if number == 20:
                raise container._av.error.InvalidDataError(0, "nothing to be read")
            yield packet

    monkeypatch.setattr(Container, "_packets", failing)
    moments = []
    with pytest.raises(CorruptFileError, match="damaged or cut short after"):
        for moment, _ in source.frames():
            moments.append(moment)
    source.close()
    assert len(moments) > 15
    steps = np.diff(moments)
    assert np.all(steps > 0.02) and steps.max() < 0.2  # the last picture may be one of later


@pytest.mark.parametrize("error", [IndexError, OverflowError, TypeError, UnicodeDecodeError])
def test_what_pyav_stumbles_over_is_damage(tmp_path, monkeypatch, error):
    path = write_clip(tmp_path / "a.mkv", 20)
    source = open_source(path)
    made = error("utf-8", b"x", 0, 1, "bad") if error is UnicodeDecodeError else error("bad")
    packets = Container._packets

    def failing(container):
        yield from itertools.islice(packets(container), 10)
        raise made

    monkeypatch.setattr(Container, "_packets", failing)
    frames = []
    with pytest.raises(CorruptFileError, match=r"a\.mkv: damaged"):
        frames.extend(source.frames())
    source.close()


def test_messages_hold_no_numbers_of_the_system(tmp_path):
    path = write_clip(tmp_path / "a.ts", 30, make=noisy_picture)
    data = path.read_bytes()
    middle = len(data) // 376 * 188
    path.write_bytes(data[:middle] + data[middle + 5 * 188 :])
    with pytest.raises(CorruptFileError, match=r"\(a packet is cut or damaged\)"):
        read(path)


@pytest.mark.parametrize("behind", [-1000, 4, 60, 150])
@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_file_whose_index_is_cut_is_called_cut(tmp_path, ending, behind):
    path = write_clip(tmp_path / f"a.{ending}", 60, sound=True)
    data = path.read_bytes()
    cut = data.index(b"moov") + behind
    path.write_bytes(data[:cut])
    with pytest.raises(CorruptFileError, match=r"cut short by \d+ bytes.*copy or download"):
        read(path)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize(("codec", "between"), [("mpeg4", 0), ("mpeg4", 2), ("libx264", 3)])
def test_times_of_avi_go_on_after_lost_packets(tmp_path, codec, between, sound, indexed):
    coding = {"bf": str(between), "g": "5"}
    path = write_clip(tmp_path / "a.avi", 60, codec=codec, coding=coding, sound=sound)
    times: list = []
    read_into(times, path)
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for at, size in places[11:17]:
        data[at : at + size] = bytes(size)
    if indexed:
        # The headers too: only the index knows of these packets.
        data[places[12][0] - 8 : places[15][0]] = bytes(places[15][0] - places[12][0] + 8)
    else:
        data = data.replace(b"idx1", b"JUNK")
    path.write_bytes(data)
    found: list = []
    with pytest.raises(CorruptFileError):
        read_into(found, path)
    assert 45 < len(found) < 60
    numbers = [number_of(image) for _, image in found]
    assert numbers[-34:] == list(range(26, 60))
    given, stated = ([moment for moment, _ in frames[-34:]] for frames in (found, times))
    np.testing.assert_allclose(given, stated, atol=1e-6)


def flv_tags(data: bytes) -> list[int]:
    """Where the tags of an FLV file begin."""
    at, places = 13, []
    while at < len(data):
        places.append(at)
        at += 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4
    return places


def read_into(frames: list, path) -> None:
    """Append moments and images; errors pass."""
    source = open_source(path)
    try:
        frames.extend(source.frames())
    finally:
        source.close()


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes turned, set or cut out, or the end missing; half of the damage is in the header."""
    out = bytearray(data)
    kind = rng.integers(5)
    span = len(out) if rng.integers(2) else min(len(out), 600)
    if kind == 0:
        return bytes(out[: rng.integers(1, len(out))])
    for at in rng.integers(0, span, rng.integers(1, 30)):
        if kind == 1:
            out[at] ^= 1 << rng.integers(8)
        elif kind == 2:
            out[at] = rng.integers(256)
        elif kind == 3:
            out[at] = rng.choice([0, 255, 127, 128])
        else:
            del out[at : at + rng.integers(1, 9)]
            out.extend(b"")
            break
    return bytes(out)


#: Reads damaged files one after the other and says which; the parent watches.
PROGRAM = """
    import sys
    from pathlib import Path
    import numpy as np
    from test_damaged_videos import damaged, read
    from facegeo.errors import FacegeoError

    whole, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data = whole.read_bytes()
    path = whole.with_stem("damaged")
    for seed in range(first, last):
        print(seed, end=" ", flush=True)
        path.write_bytes(damaged(data, np.random.default_rng(seed)))
        try:
            read(path)
            print("read", flush=True)
        except FacegeoError as error:
            print("refused", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "codec", "sound"), KINDS)
def test_damaged_files_neither_end_nor_hang_the_process(tmp_path, ending, codec, sound):
    whole = write_clip(tmp_path / f"whole.{ending}", 8, codec=codec, sound=sound)
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(whole), "0", str(COUNT)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: queue.Queue[str | None] = queue.Queue()

    def listen():
        for line in process.stdout:
            said.put(line)
        said.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    lines: list[str] = []
    try:
        while (line := said.get(timeout=LIMIT_S * (3 if not lines else 1))) is not None:
            lines.append(line)
    except queue.Empty:
        pytest.fail(f"damaged {ending} of seed {len(lines)}: no end in {LIMIT_S:.0f} s")
    finally:
        process.kill()
        errors = process.communicate()[1]
        listener.join()
    assert len(lines) == COUNT, f"damaged {ending} of seed {len(lines) - 1}: {errors[-2000:]}"
    refused = sum("refused" in line for line in lines)
    # What hits the sound is not noticed.
    assert refused > COUNT / (6 if sound else 4), "damage is hardly ever noticed"
    assert refused < COUNT, "nothing is read"
