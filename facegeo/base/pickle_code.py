"""The instructions of a pickle, one by one, without doing what they say.

``pickletools.genops`` reads them too, but not the texts of Python 2 in its oldest protocol.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from facegeo.errors import CorruptFileError

#: Longest whole number, in bytes or in digits: printing longer ones takes Python time.
_LONGEST_NUMBER: Final = 1024


def instructions(data: bytes) -> Iterator[tuple[bytes, Any]]:
    """Code and argument (None where it has none) of each, up to the end of the program.

    Raises
    ------
    CorruptFileError
        If a code is not known or an argument does not fit into the file.
    """
    code = _Code(data)
    while True:
        operation = code.take(1)
        try:
            read = _ARGUMENTS[operation]
        except KeyError:
            raise CorruptFileError(f"an instruction {operation!r}") from None
        yield operation, read(code) if read else None
        if operation == pickle.STOP:
            return


class _Code:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise CorruptFileError(f"{size} bytes where {len(self._data) - self._at} are left")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def line(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise CorruptFileError("a line without an end")
        taken = self._data[self._at : end]
        self._at = end + 1
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]


_Argument = Callable[[_Code], Any]


def _number(form: str) -> _Argument:
    return lambda code: code.number(form)


def _counted(form: str) -> _Argument:
    return lambda code: code.take(code.number(form))


def _text(form: str) -> _Argument:
    return lambda code: str(code.take(code.number(form)), "utf-8", "surrogatepass")


def _text_of_python2(form: str) -> _Argument:
    # latin1 is how NumPy arrays that Python 2 pickled are to be read.
    return lambda code: str(code.take(_natural(code.number(form))), "latin1")


def _long(form: str) -> _Argument:
    def read(code: _Code) -> int:
        size = _natural(code.number(form))
        if size > _LONGEST_NUMBER:
            raise CorruptFileError(f"a whole number of {size} bytes")
        return int.from_bytes(code.take(size), "little", signed=True)

    return read


def _digits(code: _Code) -> int:
    digits = code.line()
    if len(digits) > _LONGEST_NUMBER:
        raise CorruptFileError(f"a whole number of {len(digits)} digits")
    return int(digits.removesuffix(b"L"))


def _int_line(code: _Code) -> int | bool:
    digits = code.line()
    if digits in (b"00", b"01"):
        return digits == b"01"
    if len(digits) > _LONGEST_NUMBER:
        raise CorruptFileError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _quoted_line(code: _Code) -> str:
    line = code.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
        raise CorruptFileError("a text without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")  # type: ignore[attr-defined]


def _two_lines(code: _Code) -> tuple[str, str]:
    return code.line().decode("ascii"), code.line().decode("ascii")


def _natural(size: int) -> int:
    if size < 0:
        raise CorruptFileError(f"{size} bytes")
    return size


#: What is known, and how the argument of each is read.
_ARGUMENTS: Final[dict[bytes, _Argument | None]] = {
    pickle.PROTO: _number("<B"),
    pickle.FRAME: _number("<Q"),
    # Numbers.
    pickle.INT: _int_line,
    pickle.LONG: _digits,
    pickle.BININT: _number("<i"),
    pickle.BININT1: _number("<B"),
    pickle.BININT2: _number("<H"),
    pickle.LONG1: _long("<B"),
    pickle.LONG4: _long("<i"),
    pickle.FLOAT: lambda code: float(code.line()),
    pickle.BINFLOAT: _number(">d"),
    # Texts and bytes.
    pickle.STRING: _quoted_line,
    pickle.BINSTRING: _text_of_python2("<i"),
    pickle.SHORT_BINSTRING: _text_of_python2("<B"),
    pickle.UNICODE: lambda code: str(code.line(), "raw-unicode-escape"),
    pickle.SHORT_BINUNICODE: _text("<B"),
    pickle.BINUNICODE: _text("<I"),
    pickle.BINUNICODE8: _text("<Q"),
    pickle.SHORT_BINBYTES: _counted("<B"),
    pickle.BINBYTES: _counted("<I"),
    pickle.BINBYTES8: _counted("<Q"),
    pickle.BYTEARRAY8: lambda code: bytearray(code.take(code.number("<Q"))),
    # Names.
    pickle.GLOBAL: _two_lines,
    pickle.INST: _two_lines,
    pickle.PERSID: _Code.line,
    pickle.EXT1: _number("<B"),
    pickle.EXT2: _number("<H"),
    pickle.EXT4: _number("<i"),
    # The memo.
    pickle.PUT: _digits,
    pickle.BINPUT: _number("<B"),
    pickle.LONG_BINPUT: _number("<I"),
    pickle.GET: _digits,
    pickle.BINGET: _number("<B"),
    pickle.LONG_BINGET: _number("<I"),
} | dict.fromkeys(
    (
        pickle.STOP,
        pickle.NONE,
        pickle.NEWTRUE,
        pickle.NEWFALSE,
        pickle.MARK,
        pickle.POP,
        pickle.POP_MARK,
        pickle.DUP,
        pickle.MEMOIZE,
        pickle.EMPTY_LIST,
        pickle.EMPTY_DICT,
        pickle.EMPTY_SET,
        pickle.EMPTY_TUPLE,
        pickle.LIST,
        pickle.DICT,
        pickle.TUPLE,
        pickle.TUPLE1,
        pickle.TUPLE2,
        pickle.TUPLE3,
        pickle.FROZENSET,
        pickle.APPEND,
        pickle.APPENDS,
        pickle.SETITEM,
        pickle.SETITEMS,
        pickle.ADDITEMS,
        pickle.STACK_GLOBAL,
        pickle.REDUCE,
        pickle.BUILD,
        pickle.NEWOBJ,
        pickle.NEWOBJ_EX,
        pickle.OBJ,
        pickle.BINPERSID,
        pickle.NEXT_BUFFER,
        pickle.READONLY_BUFFER,
    ),
    None,
)
