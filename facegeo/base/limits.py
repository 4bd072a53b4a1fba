"""Bounds of what a file may ask for; no honest file of this field reaches them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from facegeo.errors import CorruptFileError

#: Arrays of NumPy have at most 64 axes; more than half of them are in no file.
MOST_AXES: Final = 32

#: What may be unpacked whatever it was packed to, in bytes.
_FREE: Final = 2**28
#: How many times as large as its file more than that may become.
_RATIO: Final = 100


def unpacked_limit(packed: int) -> int:
    """Most bytes that ``packed`` bytes of a file may become: it bounds what a packed bomb can do.

    Deflate packs zeros to a thousandth; bases of face models come down to a tenth.
    """
    return max(_FREE, _RATIO * packed)


def checked_size(shape: Sequence[int]) -> int:
    """Count the numbers in an array of that shape. Raises CorruptFileError if it can be none.

    Counted with Python's integers, which do not wrap around.
    """
    if len(shape) > MOST_AXES or any(side < 0 for side in shape):
        raise CorruptFileError(f"an array of shape {_short(shape)}")
    # Rows without columns take no bytes of the file, but whoever walks over them takes for ever.
    if math.prod(side for side in shape if side) >= (2**24 if 0 in shape else 2**48):
        raise CorruptFileError(f"an array of shape {_short(shape)}")
    return math.prod(shape)


def check_plain(value: Any, depth: int = 0) -> None:
    """Raise CorruptFileError where mappings and lists lie within each other without end.

    So it does at whole numbers of more than 64 bits, which no array and no float may hold, and
    which Python does not print.
    """
    if depth > MOST_AXES:
        raise CorruptFileError(f"lists within lists, more than {MOST_AXES} deep")
    if isinstance(value, dict):
        value = [*value, *value.values()]
    elif isinstance(value, int) and abs(value) >= 2**64:
        raise CorruptFileError("a whole number of more than 64 bits")
    if not isinstance(value, list | tuple):
        return
    for item in value:
        check_plain(item, depth + 1)


def _short(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape[:4]))}{', ...' if len(shape) > 4 else ''})"
