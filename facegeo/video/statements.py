"""Sizes that video files state of themselves: a cut file is told without decoding it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067

#: Elements of Matroska outside a segment and directly in one: from the void to the attachments.
_ELEMENTS = {
    *(_EBML, _SEGMENT, 0xEC, 0xBF, 0x114D9B74, 0x1549A966, 0x1F43B675, 0x1654AE6B, 0x1C53BB6B),
    *(0x1043A770, 0x1254C367, 0x1941A469),
}

#: Outermost boxes of an ISO base media file.
_BOXES = {
    *(b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"mfra", b"sidx", b"ssix"),
    *(b"styp", b"pdin", b"meta", b"uuid", b"udta", b"emsg", b"prft", b"pnot", b"imda"),
}

#: Boxes, chunks or elements looked at: more are a damaged file's.
_MOST = 1_000_000

#: Object of an ASF header that holds the file's size, 40 bytes behind the start of this name.
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

#: Sound, video, metadata; and the same with a filter.
_FLV_TAGS = frozenset({8, 9, 18, 0x28, 0x29, 0x32})

#: Metadata stand at the beginning; the name of the file's size, before a number of eight bytes.
_FLV_METADATA, _FLV_SIZE = 65536, b"\0\x08filesize\0"


def missing_bytes(path: Path) -> int:
    """Bytes that a file of MP4, MKV, WebM, AVI, ASF or FLV says that it has and that are not there.

    0 where it is whole, and where nothing is stated: raw and transport streams, live recordings.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        for starts, end in _STATEMENTS:
            if starts(head):
                return max(0, end(file, size) - size)
    return 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    """End of the last box of an ISO base media file (ISO 14496-12, 4.2)."""
    at = 0
    for _ in range(_MOST):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8 or header[4:8] not in _BOXES:
            break  # the end, or something that was appended
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: to the end of the file
            break
        at += length
    return at


def _chunks_end(file: BinaryIO, size: int) -> int:
    """End of the last RIFF chunk of an AVI file; there is one a gigabyte."""
    at = 0
    for _ in range(_MOST):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or header[:4] != b"RIFF":
            break
        (length,) = struct.unpack("<I", header[4:])
        if length in (0, 0xFFFFFFFF):  # whoever wrote it could not go back
            break
        at += 8 + length
        if at == size + 1:  # the last chunk's padding byte, which many leave out
            at = size
    return at


def _elements_end(file: BinaryIO, size: int) -> int:
    """End of the last element of Matroska or WebM (RFC 8794), as far as sizes are known."""
    at = 0
    for _ in range(_MOST):
        file.seek(at)
        header = file.read(12)
        if not header or at >= size:
            break
        number, used = _variable(header, keep_marker=True)
        length, more = _variable(header[used:])
        if used == 0 or more == 0 or number not in _ELEMENTS:
            break
        unknown = length == (1 << 7 * more) - 1
        if unknown and number != _SEGMENT:
            break  # a live cluster: its blocks would have to be read one by one
        at += used + more + (0 if unknown else length)
    return at


def _variable(data: bytes, keep_marker: bool = False) -> tuple[int, int]:
    """A number of variable length and its length in bytes; 0, 0 where there is none."""
    if not data or data[0] == 0:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ~(1 << 7 * length)), length


def _asf_end(file: BinaryIO, size: int) -> int:
    """The size that the header of an ASF file (WMV) states; 0 in a broadcast."""
    file.seek(0)
    header = file.read(65536)
    at = header.find(_ASF_PROPERTIES) + 40
    return int.from_bytes(header[at : at + 8], "little") if 40 <= at <= len(header) - 8 else 0


def _tags_end(file: BinaryIO, size: int) -> int:
    """End of the last tag of an FLV file, or the size that its metadata state if that is more."""
    file.seek(0)
    header = file.read(_FLV_METADATA)
    at = header.find(_FLV_SIZE) + len(_FLV_SIZE)
    stated = 0.0
    if len(_FLV_SIZE) <= at <= len(header) - 8:
        (stated,) = struct.unpack_from(">d", header, at)
    is_size = math.isfinite(stated) and 0 < stated < 2**53
    return max(int(stated) if is_size else 0, _last_tag_end(file, header, size))


def _last_tag_end(file: BinaryIO, header: bytes, size: int) -> int:
    file.seek(max(0, size - 4))
    behind = size - 4 - int.from_bytes(file.read(4), "big")
    if behind > 0 and behind + _tag_length(file, behind) == size:
        return size  # the size that is repeated behind the last tag leads to its beginning
    at = int.from_bytes(header[5:9], "big") + 4
    for _ in range(_MOST):
        length = _tag_length(file, at)
        if length == 0 or at >= size:
            break  # the end, or something that was appended
        at += length
    return at


def _tag_length(file: BinaryIO, at: int) -> int:
    """Bytes from one tag to the next; 0 where there is none."""
    file.seek(at)
    header = file.read(4)
    is_tag = len(header) == 4 and header[0] in _FLV_TAGS
    return 11 + int.from_bytes(header[1:], "big") + 4 if is_tag else 0


_STATEMENTS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int]], ...] = (
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), _boxes_end),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _chunks_end),
    (lambda head: head[:4] == _EBML.to_bytes(4, "big"), _elements_end),
    (lambda head: head.startswith(_ASF_HEADER), _asf_end),
    (lambda head: head.startswith(b"FLV\x01"), _tags_end),
)
