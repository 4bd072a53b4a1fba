"""MATLAB files of version 4: matrices one behind the other, each with a header of 20 bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from facegeo.base.limits import checked_size
from facegeo.errors import CorruptFileError

#: Third digit of a matrix's kind -> how its numbers are stored.
_STORED: Final = ("f8", "f4", "i4", "i2", "u2", "u1")
_FULL, _TEXT = 0, 1


def variables4(content: memoryview) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each matrix, and a function that gives its value. Raises CorruptFileError."""
    start = 0
    while start < len(content):
        if len(content) - start < 20:
            raise CorruptFileError("it ends within a header")
        order = "<" if 0 <= struct.unpack_from("<i", content, start)[0] < 5000 else ">"
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", content, start)
        # Thousands: byte order, 0 or 1 for IEEE numbers; hundreds: always 0.
        machine, hundreds, stored, form = (kind // 10**k % 10 for k in (3, 2, 1, 0))
        if not 0 <= kind < 2000 or machine > 1 or hundreds or stored >= len(_STORED):
            raise CorruptFileError(f"a matrix of kind {kind}")
        if imaginary not in (0, 1) or not 0 < length <= len(content) - start - 20:
            raise CorruptFileError("a header whose numbers are out of range")
        name = bytes(content[start + 20 : start + 20 + length]).rstrip(b"\0").decode("latin1")
        dtype = np.dtype(order + _STORED[stored])
        begin = start + 20 + length
        start = begin + checked_size((rows, columns)) * dtype.itemsize * (1 + imaginary)
        if start > len(content):
            raise CorruptFileError(f"variable {name!r} is cut short")
        yield name, _reader(content[begin:start], name, dtype, (rows, columns), imaginary, form)


def _reader(
    data: memoryview, name: str, dtype: np.dtype, shape: tuple[int, int], imaginary: int, form: int
) -> Callable[[], Any]:
    def value() -> np.ndarray:
        if form not in (_FULL, _TEXT):
            raise CorruptFileError(
                f"variable {name!r} is sparse, which is not read; save full({name})"
            )
        numbers = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
        if form == _TEXT:
            return _text(numbers, name, shape, imaginary)
        if imaginary:
            numbers = complex_numbers(*numbers.reshape(2, -1))
        return numbers.reshape(shape, order="F")

    return value


def complex_numbers(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """Both parts as one; multiplied by i, infinity would make the other part NaN."""
    joined = np.empty(real.shape, np.result_type(real, imaginary, 1j))
    joined.real, joined.imag = real, imaginary
    return joined


def _text(numbers: np.ndarray, name: str, shape: tuple[int, int], imaginary: int) -> np.ndarray:
    """One text a row, of characters that may be stored as any kind of number."""
    if 0 in shape:
        return np.zeros(0, "U1")
    codes = np.clip(np.nan_to_num(numbers), 0, 255).astype(np.uint8)
    if imaginary or not np.array_equal(codes, numbers):
        raise CorruptFileError(f"variable {name!r}: a text of numbers that are no characters")
    rows = codes.reshape(shape, order="F")
    return np.array([bytes(row).decode("latin1") for row in rows], np.str_)
