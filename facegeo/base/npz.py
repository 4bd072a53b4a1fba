"""NumPy's files, ``.npy`` and ``.npz``, whose damage shows in many ways.

Read here and not by NumPy, which evaluates a header as an expression of Python and allocates what
it asks for. Here the header's few words are compared with a pattern, and its sizes with the bytes
that are there.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np

from facegeo.base.limits import checked_size, unpacked_limit
from facegeo.base.stored import plain_dtype, settle
from facegeo.errors import CorruptFileError, UnreadableFileError

_MAGIC: Final = b"\x93NUMPY"
#: Version of a header -> how its length is told.
_LENGTH: Final = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}
_LONGEST_HEADER: Final = 10_000  # as in NumPy
_CHUNK: Final = 2**20

#: One word of a header and its value, as ``'shape': (3, 4),``.
_WORD: Final = re.compile(
    r"""\s*['"](\w+)['"]\s*:\s*(?:['"]([^'"\\]*)['"]|(True|False)|\(([\s\dL,]*)\))\s*(?:,|$)"""
)


def load_npz(path: Path, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an archive.

    Parameters
    ----------
    path : Path
    keys : sequence of str, optional
        Read only these. Default: all.

    Raises
    ------
    UnreadableFileError
        If there is no such file, or it may not be read.
    CorruptFileError
        If it is damaged, lacks a key, or holds anything but numbers and texts; the message names
        file and key.
    """
    with _opened(path) as file:
        return read_npz(file, str(path), keys)


def load_npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file; errors as in :func:`load_npz`."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            return _read_array(file, size)
        except Exception as error:
            raise CorruptFileError(f"{path}: not a plain .npy array ({error})") from error


def read_npz(file: BinaryIO, name: str, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """As :func:`load_npz` from an open file; ``name`` is for messages."""
    if file.read(len(_MAGIC)) == _MAGIC:
        raise CorruptFileError(f"{name}: expected a .npz archive, got a single array")
    left = unpacked_limit(file.seek(0, 2))
    try:
        archive = zipfile.ZipFile(file)
    # A damaged archive fails in zlib, struct, NumPy or anywhere else in zipfile.
    except Exception as error:
        raise CorruptFileError(f"{name}: not a .npz archive of arrays ({error})") from error
    members = {m.filename[:-4]: m for m in archive.infolist() if m.filename.endswith(".npy")}
    arrays = {}
    for key in members if keys is None else keys:
        if key not in members:
            raise CorruptFileError(f"{name}: key '{key}' is missing")
        try:
            arrays[key] = _read_member(archive, members[key], left)
        except Exception as error:
            raise CorruptFileError(f"{name}: key '{key}' is damaged ({error})") from error
        left -= arrays[key].nbytes
    return arrays


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise UnreadableFileError(f"{path}: no such file") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, left: int) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CorruptFileError(f"packed by the method {member.compress_type}")
    if member.file_size > left:
        raise CorruptFileError(f"{member.compress_size} bytes that are to become more than {left}")
    with archive.open(member) as stream:
        array = _read_array(stream, member.file_size)
        if stream.read(1):  # at its end the checksum is compared
            raise CorruptFileError("more bytes than its shape needs")
    return array


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """An array with its header, of which ``size`` bytes are said to be there."""
    header, length = _read_header(stream)
    dtype, shape = plain_dtype(header["descr"]), header["shape"]
    bytes_needed = checked_size(shape) * dtype.itemsize
    if bytes_needed != size - length or (not dtype.itemsize and math.prod(shape) > _CHUNK):
        raise CorruptFileError(
            f"{size - length} bytes for an array of shape {shape} and dtype {dtype}"
        )
    if not bytes_needed:
        return np.zeros(shape, dtype)
    flat = np.empty(bytes_needed, np.uint8)
    start = 0
    while start < bytes_needed:
        chunk = stream.read(min(_CHUNK, bytes_needed - start))
        if not chunk:
            raise CorruptFileError(f"it ends {bytes_needed - start} bytes early")
        flat[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
        start += len(chunk)
    order = "F" if header["fortran_order"] else "C"
    return settle(flat.view(dtype).reshape(shape, order=order))  # type: ignore[call-overload]


def _read_header(stream: IO[bytes]) -> tuple[dict[str, Any], int]:
    """Its words, and how many bytes it takes."""
    magic = stream.read(len(_MAGIC) + 2)
    form = _LENGTH.get(magic[len(_MAGIC) :])
    if not magic.startswith(_MAGIC) or form is None:
        raise CorruptFileError("no header of an array")
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    if length > _LONGEST_HEADER:
        raise CorruptFileError(f"a header of {length} bytes")
    text = stream.read(length).decode("latin1").strip()
    words = _words(text[1:-1]) if text.startswith("{") and text.endswith("}") else {}
    kinds = {"descr": str, "fortran_order": bool, "shape": tuple}
    if {key: type(value) for key, value in words.items()} != kinds:
        raise CorruptFileError(f"the header {text[:100]!r}")
    return words, len(magic) + struct.calcsize(form) + length


def _words(text: str) -> dict[str, Any]:
    words: dict[str, Any] = {}
    end = 0
    while text[end:].strip():
        found = _WORD.match(text, end)
        if found is None:
            return {}
        key, name, flag, sides = found.groups()
        end = found.end()
        if sides is not None:
            # Python 2 wrote long numbers as 3L.
            words[key] = tuple(int(side.rstrip("L ")) for side in sides.split(",") if side.strip())
        else:
            words[key] = name if name is not None else flag == "True"
    return words
