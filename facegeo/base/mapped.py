"""Arrays in one file that is memory-mapped: a form of cache for what takes long to compute.

Layout: eight bytes of magic, length and checksum of a JSON header, the header, then every array at
a multiple of 64 bytes. The header has a checksum of each array, so that a damaged file is known.
"""

from __future__ import annotations

import json
import math
import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from facegeo.base.files import replacing
from facegeo.errors import CorruptFileError

_MAGIC: Final = b"FGMAPPED"
_NUMBER: Final = np.dtype("<u8")
_HEADER: Final = len(_MAGIC) + 2 * _NUMBER.itemsize
_ALIGNMENT: Final = 64
_LONGEST_HEADER: Final = 2**16
_DTYPES: Final = ("float32", "int32", "int64", "uint8", "bool")


class _Entry(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    checksum: list[int]


def write_mapped(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of float32, int32, int64, uint8 or bool; the file is replaced or unchanged.

    Raises
    ------
    OutputError
        If the place is not writable.
    """
    entries: dict[str, list[Any]] = {}
    end = _first_offset(arrays)
    for name, array in arrays.items():
        entries[name] = [array.dtype.name, list(array.shape), end, _checksum(array)]
        end = _aligned(end + array.nbytes)
    header = json.dumps(entries).encode()
    # It is not waited for until the disk has it: a crash leaves a file that is known as damaged.
    with replacing(path, durable=False) as scratch, scratch.open("r+b") as file:
        file.write(_MAGIC + _number(len(header)) + _number(zlib.crc32(header)) + header)
        for name, array in arrays.items():
            file.seek(entries[name][2])
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        file.truncate(end)


def read_mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, read-only; they stay valid when the file is replaced.

    Raises
    ------
    OSError
        If it cannot be opened.
    CorruptFileError
        If it is no such file, was cut off, or an array is not what was written.
    """
    with path.open("rb") as file:
        try:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # it is empty
            raise CorruptFileError(f"{path}: it is empty") from error
    arrays = {}
    for name, entry in _entries(memory, path).items():
        size = math.prod(entry.shape) * entry.dtype.itemsize
        if entry.offset % _ALIGNMENT or entry.offset + size > len(memory):
            raise CorruptFileError(f"{path}: array '{name}' lies outside of the file")
        flat = np.frombuffer(memory, np.uint8, size, entry.offset)
        arrays[name] = flat.view(entry.dtype).reshape(entry.shape)
        if _checksum(arrays[name]) != entry.checksum:
            raise CorruptFileError(f"{path}: array '{name}' is damaged")
    return arrays


def _entries(memory: mmap.mmap, path: Path) -> dict[str, _Entry]:
    length, checksum = np.frombuffer(memory[len(_MAGIC) : _HEADER].ljust(16, b"\0"), _NUMBER)
    if memory[: len(_MAGIC)] != _MAGIC or length > _LONGEST_HEADER:
        raise CorruptFileError(f"{path}: not a file of mapped arrays")
    header = memory[_HEADER : _HEADER + int(length)]
    try:
        if zlib.crc32(header) != checksum:
            raise ValueError("its checksum differs")
        return {str(name): _entry(*value) for name, value in json.loads(header).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path}: its header is damaged ({error})") from error


def _number(value: int) -> bytes:
    return np.array(value, _NUMBER).tobytes()


def _entry(dtype: Any, shape: Any, offset: Any, checksum: Any) -> _Entry:
    sides = [*shape, offset]
    if dtype not in _DTYPES or not all(type(side) is int and side >= 0 for side in sides):
        raise ValueError(f"an array of dtype {dtype!r} and shape {shape!r}")
    return _Entry(np.dtype(dtype), tuple(shape), offset, checksum)


def _first_offset(arrays: Mapping[str, np.ndarray]) -> int:
    """First offset of an array: behind the longest header that these may have."""
    entries = {n: [a.dtype.name, list(a.shape), 2**62, [2**64] * 2] for n, a in arrays.items()}
    return _aligned(_HEADER + len(json.dumps(entries)))


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _checksum(array: np.ndarray) -> list[int]:
    """Sum and exclusive or of the 64-bit words: thirty times as fast as a hash, for accidents."""
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(raw) // 8 * 8
    words = raw[:whole].view(np.uint64)
    rest = int.from_bytes(raw[whole:].tobytes(), "little")
    total = (int(words.sum(dtype=np.uint64)) + rest) % 2**64
    return [total, int(np.bitwise_xor.reduce(words, initial=np.uint64(0))) ^ rest]
