"""Damaged clips: frames, an error of facegeo's, or both; no crash and no hang."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.video_data import write_clip

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.video.sources import open_source

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Ending -> codec of clips whose damage is tried.
KINDS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "webm": "libvpx", "ts": "libx264"}

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
@pytest.mark.parametrize("ending", list(KINDS))
def test_damaged_files_neither_end_nor_hang_the_process(tmp_path, ending):
    whole = write_clip(tmp_path / f"whole.{ending}", 8, codec=KINDS[ending])
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
    assert refused > COUNT / 4, "damage is hardly ever noticed"
    assert refused < COUNT, "nothing is read"
