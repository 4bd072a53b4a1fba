"""MATLAB files of versions 5 to 7: elements, each a tag of type and size, one within the other."""

from __future__ import annotations

import dataclasses
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from facegeo.base.limits import checked_size, unpacked_limit
from facegeo.base.matlab4 import complex_numbers
from facegeo.errors import CorruptFileError

_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32, _UTF8 = 1, 5, 6, 16

#: Type of an element -> how its numbers are stored.
_NUMBERS: Final = {
    _INT8: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    _INT32: "i4",
    _UINT32: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
#: Type of an element -> how its text is encoded; what stands for numbers holds codes of characters.
_TEXTS: Final = {
    _INT8: "latin1",
    2: "latin1",
    4: "utf-16",
    _UTF8: "utf-8",
    17: "utf-16",
    18: "utf-32",
}

#: How NumPy keeps text.
_UTF32: Final = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"

_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC: Final = range(6, 16)
_SPARSE: Final = 5
_OTHERS: Final = {3: "an object", _SPARSE: "sparse", 16: "a function", 17: "an object"}
_IS_COMPLEX: Final = 0x800

#: The header of a matrix is shorter than this: a name has up to 63 characters.
_HEAD: Final = 1024
_DEEPEST: Final = 50
#: Variables, cells and fields in one file; an object of Python stands for each.
_MOST_ENTRIES: Final = 2**18


class _Header(NamedTuple):
    """Header of a matrix; ``rest`` is what follows it."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str
    rest: _Elements


def variables5(content: memoryview, order: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each variable, and a function that gives its value. Raises CorruptFileError.

    Parameters
    ----------
    content : memoryview
        What follows the file's header.
    order : "<" or ">"
        Byte order.
    """
    elements = _Elements(content, order, _Budget())
    while elements.left:
        elements.budget.spend(1)
        kind, data = elements.take()
        packed = None
        if kind == _COMPRESSED:
            packed = _Packed(data)
            kind, data = packed.head(order)
        if kind != _MATRIX:
            raise CorruptFileError(f"an element of type {kind} where a variable belongs")
        name = _header(dataclasses.replace(elements, data=data)).name
        if name:  # one without a name holds what functions of the file remember
            yield name, _reader(elements, data, packed)


def _reader(elements: _Elements, data: memoryview, packed: _Packed | None) -> Callable[[], Any]:
    def value() -> Any:
        whole = data if packed is None else packed.whole()
        return _matrix(dataclasses.replace(elements, data=whole), 0)

    return value


class _Budget:
    """Counts variables, cells and fields of a file."""

    def __init__(self) -> None:
        self._left = _MOST_ENTRIES

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise CorruptFileError(f"it has more than {_MOST_ENTRIES} variables, cells and fields")


@dataclasses.dataclass
class _Elements:
    """Elements one behind the other; each is taken off the front."""

    data: memoryview
    order: str
    budget: _Budget

    @property
    def left(self) -> int:
        return len(self.data)

    def take(self) -> tuple[int, memoryview]:
        """Type and content of the next element."""
        if self.left < 8:
            raise CorruptFileError("it ends within a tag")
        kind, size = struct.unpack_from(f"{self.order}II", self.data)
        begin = 8
        if kind > 0xFFFF:  # up to four bytes are stored in the tag itself
            kind, size, begin = kind & 0xFFFF, kind >> 16, 4
            if size > 4:
                raise CorruptFileError(f"{size} bytes in a tag that has room for 4")
        if size > self.left - begin:
            raise CorruptFileError(f"an element of {size} bytes where {self.left - begin} are left")
        # All but packed ones end at a multiple of eight bytes; at the very end that may lack.
        end = 8 if begin == 4 else begin + size + (0 if kind == _COMPRESSED else -size % 8)
        content = self.data[begin : begin + size]
        self.data = self.data[end:]
        return kind, content

    def numbers(self, *kinds: int) -> np.ndarray:
        """The numbers in the next element, of one of these types."""
        kind, data = self.take()
        if kind not in kinds:
            raise CorruptFileError(f"an element of type {kind} where {kinds[0]} belongs")
        return self.decoded(kind, data)

    def decoded(self, kind: int, data: memoryview) -> np.ndarray:
        """The numbers in an element, in this machine's byte order; the array is the caller's."""
        if kind not in _NUMBERS:
            raise CorruptFileError(f"numbers in an element of type {kind}")
        dtype = np.dtype(self.order + _NUMBERS[kind])
        if len(data) % dtype.itemsize:
            raise CorruptFileError(f"{len(data)} bytes for numbers of {dtype.itemsize}")
        return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))


class _Packed:
    """A packed element: a matrix with its tag, unpacked only as far as needed."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._stream = data, zlib.decompressobj()
        self._begin, self._size = b"", 0

    def head(self, order: str) -> tuple[int, memoryview]:
        """Type of what is inside, and the beginning of its content."""
        self._begin = self._next(self._data, _HEAD)
        if len(self._begin) < 8:
            raise CorruptFileError("a packed variable that holds no tag")
        kind, self._size = struct.unpack_from(f"{order}II", self._begin)
        if self._size > unpacked_limit(len(self._data)):
            raise CorruptFileError(
                f"{len(self._data)} packed bytes that are to become {self._size}"
            )
        return kind, memoryview(self._begin)[8 : 8 + self._size]

    def whole(self) -> memoryview:
        """The whole content."""
        missing = 8 + self._size - len(self._begin)
        tail = self._stream.unconsumed_tail
        rest = self._next(tail, missing) if missing > 0 else b""
        # What follows is the end of the stream, which has no bytes of content.
        more = missing < 0 or self._next(self._stream.unconsumed_tail, 1)
        if more or len(rest) < missing:
            raise CorruptFileError(f"a packed variable that does not have its {self._size} bytes")
        if not self._stream.eof:
            raise CorruptFileError("a packed variable is cut short")
        return memoryview(self._begin + rest)[8 : 8 + self._size]

    def _next(self, data: memoryview | bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(data, most)
        except zlib.error as error:
            raise CorruptFileError(f"a packed variable is damaged: {error}") from error


def _header(elements: _Elements) -> _Header:
    flags = elements.numbers(_UINT32)
    shape = tuple(elements.numbers(_INT32, _UINT32).tolist())
    kind, name = elements.take()
    if len(flags) != 2 or len(shape) < 2 or kind not in (_INT8, _UTF8):
        raise CorruptFileError("a matrix with a damaged header")
    checked_size(shape)
    flag = int(flags[0])
    text = bytes(name).rstrip(b"\0").decode("latin1")
    return _Header(flag & 0xFF, bool(flag & _IS_COMPLEX), shape, text, elements)


def _matrix(elements: _Elements, depth: int) -> np.ndarray:
    """The value of a matrix; ``elements`` are those within it."""
    if not elements.left:  # how MATLAB writes an empty cell or field
        return np.array([[]])
    header = _header(elements)
    if depth > _DEEPEST:
        raise CorruptFileError(f"cells within cells, {_DEEPEST} deep")
    if header.kind in _NUMERIC:
        return _numeric(header)
    if header.kind == _CHAR:
        return _text(header)
    if header.kind == _CELL:
        return _cells(header, depth)
    if header.kind == _STRUCT:
        return _structs(header, depth)
    what = _OTHERS.get(header.kind, f"of class {header.kind}")
    hint = f"; save full({header.name})" if header.kind == _SPARSE else ""
    raise CorruptFileError(f"variable {header.name!r} is {what}, which is not read{hint}")


def _numeric(header: _Header) -> np.ndarray:
    values = header.rest.decoded(*header.rest.take())
    if header.is_complex:
        imaginary = header.rest.decoded(*header.rest.take())
        if len(values) != len(imaginary):
            raise CorruptFileError(f"variable {header.name!r}: real and imaginary parts differ")
        values = complex_numbers(values, imaginary)
    return _shaped(header, values)


def _shaped(header: _Header, values: np.ndarray) -> np.ndarray:
    if len(values) != checked_size(header.shape):
        raise CorruptFileError(
            f"variable {header.name!r}: {len(values)} values for the shape {header.shape}"
        )
    return values.reshape(header.shape, order="F")


def _text(header: _Header) -> np.ndarray:
    """One text a row, the last axis."""
    kind, data = header.rest.take() if header.rest.left else (_INT8, memoryview(b""))
    if kind not in _TEXTS:
        raise CorruptFileError(f"variable {header.name!r}: a text in an element of type {kind}")
    encoding = _TEXTS[kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if header.rest.order == "<" else "-be"
    text = str(data, encoding, "replace")
    if not text and 0 in header.shape:
        return np.zeros(0, "U1")
    if not text and header.shape == (1, 1):  # as some programs write an empty text
        return np.zeros(1, "U1")
    characters = np.frombuffer(text.encode(_UTF32), "U1")
    rows = np.ascontiguousarray(_shaped(header, characters))
    return rows.view(f"U{header.shape[-1]}")[..., 0]


def _cells(header: _Header, depth: int) -> np.ndarray:
    size = checked_size(header.shape)
    header.rest.budget.spend(size)
    if size > header.rest.left // 8:
        raise CorruptFileError(
            f"variable {header.name!r}: {size} cells in {header.rest.left} bytes"
        )
    cells = np.empty(size, object)
    for index in range(size):
        cells[index] = _inner(header.rest, depth)
    return cells.reshape(header.shape, order="F")


def _structs(header: _Header, depth: int) -> np.ndarray:
    names = _field_names(header)
    size = checked_size(header.shape)
    header.rest.budget.spend(max(size, 1) * max(len(names), 1))
    if size * len(names) > header.rest.left // 8:
        raise CorruptFileError(
            f"variable {header.name!r}: {size} structs of {len(names)} fields in "
            f"{header.rest.left} bytes"
        )
    if not names:
        return np.full(header.shape, None, object)
    structs = np.empty(size, [(name, object) for name in names])
    for index in range(size):
        for name in names:
            structs[name][index] = _inner(header.rest, depth)
    return structs.reshape(header.shape, order="F")


def _field_names(header: _Header) -> list[str]:
    width = header.rest.numbers(_INT32)
    kind, data = header.rest.take()
    if len(width) != 1 or width[0] < 1 or kind != _INT8 or len(data) % width[0]:
        raise CorruptFileError(f"variable {header.name!r}: its fields' names are damaged")
    step = int(width[0])
    raw = bytes(data)
    fields = (raw[start : start + step] for start in range(0, len(raw), step))
    names = [field.split(b"\0")[0].decode("latin1") for field in fields]
    if len(set(names)) < len(names) or not all(names):
        raise CorruptFileError(f"variable {header.name!r}: fields of the same name, or of none")
    return names


def _inner(elements: _Elements, depth: int) -> np.ndarray:
    kind, data = elements.take()
    if kind != _MATRIX:
        raise CorruptFileError(f"an element of type {kind} where a matrix belongs")
    return _matrix(dataclasses.replace(elements, data=data), depth + 1)
