"""Arrays in a memory-mapped file, and every way in which it may be damaged."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from facegeo.base.mapped import read_mapped, write_mapped
from facegeo.errors import CorruptFileError, OutputError

VALUES = {
    "points": np.arange(30, dtype=np.float32).reshape(5, 2, 3),
    "none": np.zeros((0, 3), np.int32),
    "mask": np.array([True, False, True]),
    "rows": np.array([[7, 2**40]], np.int64),
}


def written(path: Path) -> Path:
    write_mapped(path, VALUES)
    return path


def test_arrays_come_back_read_only(tmp_path: Path) -> None:
    arrays = read_mapped(written(tmp_path / "arrays"))
    assert list(arrays) == list(VALUES)
    for name, value in VALUES.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].dtype == value.dtype and not arrays[name].flags.writeable
        assert arrays[name].ctypes.data % 64 == 0 or not value.size


def test_arrays_outlive_their_file(tmp_path: Path) -> None:
    path = written(tmp_path / "arrays")
    arrays = read_mapped(path)
    path.unlink()
    np.testing.assert_array_equal(arrays["points"], VALUES["points"])


def test_every_flipped_byte_that_counts_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "arrays")
    whole = path.read_bytes()
    unharmed = 0
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x11]) + whole[index + 1 :])
        try:
            found = read_mapped(path)
        except CorruptFileError:
            continue
        unharmed += 1  # a byte between the arrays
        for name, value in VALUES.items():
            np.testing.assert_array_equal(found[name], value)
    assert unharmed < len(whole) / 2


@pytest.mark.parametrize("keep", [0, 7, 8, 15, 16, 60, 300, -1, -65])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path / "arrays")
    path.write_bytes(path.read_bytes()[:keep])
    if keep == -1:  # the last bytes are padding of the last array
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CorruptFileError, match="arrays: "):
        read_mapped(path)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": ["object", [1], 64, [0, 0]]}',
        b'{"a": ["float32", [-1], 64, [0, 0]]}',
        b'{"a": ["float32", [1e9], 64, [0, 0]]}',
        b'{"a": ["float32", [99999999], 64, [0, 0]]}',
        b'{"a": ["float32", [1], 3, [0, 0]]}',
        b'{"a": 3}',
        b"[]",
        b"\xff",
    ],
)
def test_a_made_up_header_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "arrays"
    numbers = len(header).to_bytes(8, "little") + zlib.crc32(header).to_bytes(8, "little")
    path.write_bytes((b"FGMAPPED" + numbers + header).ljust(256, b"\1"))
    with pytest.raises(CorruptFileError, match="arrays: "):
        read_mapped(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        written(tmp_path / "file" / "arrays")
