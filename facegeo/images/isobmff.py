"""AVIF and HEIC files (ISO base media): what kind a file is, and how its image is turned.

Their orientation is a property of the image, ``irot`` and ``imir`` of ISO/IEC 23008-12, which
OpenCV leaves out. An EXIF orientation counts for nothing in such a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
#: Says that it is an image, not of which codec; of AVIF files too.
_IMAGE = frozenset({b"mif1", b"msf1"})

#: A brand has four bytes, and a file few of them.
_MOST_BRANDS = 64


@dataclass(frozen=True)
class Turn:
    """Turn of a decoded image, and mirroring after it, before it is shown.

    Attributes
    ----------
    quarters : int
        Quarter turns, anticlockwise.
    mirror : {"rows", "columns"} or None
        Whether the order of the rows or of the columns is reversed.
    """

    quarters: int = 0
    mirror: Literal["rows", "columns"] | None = None

    def apply(self, image: np.ndarray) -> np.ndarray:
        """A decoded image ``(H, W, C)`` as it is to be seen, C-contiguous."""
        image = np.rot90(image, self.quarters)
        if self.mirror is not None:
            image = image[::-1] if self.mirror == "rows" else image[:, ::-1]
        return np.ascontiguousarray(image)


def kind_of(data: bytes) -> Literal["avif", "heic"] | None:
    """Kind of a file by its first bytes; None for anything else."""
    if data[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MOST_BRANDS)
    # The major brand, four bytes of its version, and all that the file is compatible with.
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF:
        return "avif"
    return "heic" if brands & (_HEIC | _IMAGE) else None


def turn_of(data: bytes) -> Turn:
    """Turn of a file's primary image; none where the file does not say."""
    try:
        meta = _first(data, b"meta", (0, len(data)))
        if meta is None:
            return Turn()
        inside = (meta[0] + 4, meta[1])  # behind version and flags
        primary, properties = _first(data, b"pitm", inside), _first(data, b"iprp", inside)
        if primary is None or properties is None:
            return Turn()
        container = _first(data, b"ipco", properties)
        if container is None:
            return Turn()
        item = _number(data, primary[0] + 4, 4 if data[primary[0]] else 2)
        known = list(_boxes(data, container))
        turn = Turn()
        for index in _associations(data, properties, item):
            if not 1 <= index <= len(known):
                continue
            kind, (start, _) = known[index - 1]
            if kind == b"irot":
                turn = Turn(data[start] & 3, turn.mirror)
            elif kind == b"imir":
                turn = Turn(turn.quarters, "columns" if data[start] & 1 else "rows")
        return turn
    except IndexError:  # cut in the middle of a box
        return Turn()


_Span = tuple[int, int]


def _boxes(data: bytes, span: _Span) -> Iterator[tuple[bytes, _Span]]:
    """Kinds and contents of the boxes that follow each other in a part of the file."""
    at, end = span
    while at + 8 <= end:
        size, kind, header = _number(data, at, 4), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = _number(data, at + 8, 8), 16
        elif size == 0:  # to the end
            size = end - at
        if size < header:
            return
        yield kind, (at + header, min(at + size, end))
        at += size


def _first(data: bytes, kind: bytes, span: _Span) -> _Span | None:
    return next((inside for found, inside in _boxes(data, span) if found == kind), None)


def _associations(data: bytes, properties: _Span, item: int) -> Iterator[int]:
    """Numbers, from 1, of an item's properties."""
    for kind, (start, end) in _boxes(data, properties):
        if kind != b"ipma":
            continue
        id_bytes, index_bytes = 4 if data[start] else 2, 2 if data[start + 3] & 1 else 1
        at = start + 8  # version, flags, number of entries
        while at + id_bytes < end:
            owner, count = _number(data, at, id_bytes), data[at + id_bytes]
            at += id_bytes + 1
            for place in range(at, at + count * index_bytes, index_bytes) if owner == item else ():
                # The highest bit says whether a reader must know the property.
                yield _number(data, place, index_bytes) & (2 ** (8 * index_bytes - 1) - 1)
            at += count * index_bytes


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")
