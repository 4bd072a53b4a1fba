"""Reading pickled arrays without ever running what a pickle may ask for.

A pickle is a program; ``pickle.load`` runs it. Upstream projects publish their arrays as pickles,
so they are read by a machine that knows plain containers and the few constructors of NumPy arrays,
and refuses every other name. The machine does the constructors' work itself, after comparing sizes:
handed what a damaged file says, NumPy's own ones hang, ask for terabytes or break the interpreter.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegeo.base.limits import checked_size
from facegeo.base.pickle_code import instructions
from facegeo.base.stored import plain_dtype, settle
from facegeo.errors import CorruptFileError, UnreadableFileError, UnsafeFileError

#: Containers within containers; NumPy's arrays have no more axes.
_DEEPEST: Final = 32

#: What a program may make of each of its bytes, in bytes and in items: it can name one thing many
#: times. Small programs may make a little more.
_RATIO, _FREE = 16, 10**6


def loads(data: bytes, name: str = "pickle") -> Any:
    """The arrays and containers in a pickle; ``name`` stands for it in error messages.

    Raises
    ------
    UnsafeFileError
        If the pickle names anything but array constructors; nothing of it is executed.
    CorruptFileError
        If the bytes are not a pickle.
    """
    try:
        return _Machine(len(data)).run(data)
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f"{name}: {error}; only arrays and plain containers are read, so the file was refused "
            "and nothing of it was executed. Get it from its original source"
        ) from None
    except Exception as error:
        raise CorruptFileError(f"{name}: not a readable pickle of arrays ({error})") from error


def load(path: str | Path) -> Any:
    """The arrays and containers in a pickle file; errors as in :func:`loads`."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    return loads(data, str(path))


class _Name:
    """Stands for what a pickle names: a class or a function."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Machine:
    """Runs one program. Whatever is wrong with it is an exception of Python."""

    def __init__(self, size: int) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._unfinished: dict[int, np.ndarray | np.dtype] = {}
        self._left = self._most = _FREE + _RATIO * size

    def run(self, data: bytes) -> Any:
        for operation, argument in instructions(data):
            if operation in _CONSTANTS:
                self._stack.append(argument)
            elif operation == pickle.STOP:
                break
            elif operation in _REFUSED:
                raise UnsafeFileError(f"a pickle asks for {_REFUSED[operation]}")
            else:
                _OPERATIONS[operation](self, argument)
        (value,) = self._stack
        weight, height = self._weight(value, 0, {})
        if weight > self._most or height > _DEEPEST:
            raise CorruptFileError("it repeats itself without end")
        return value

    # Stack and memo.

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def marked(self) -> list[Any]:
        """Items that were put on the stack since the last mark."""
        items = self._stack
        self._stack = self._below.pop()
        return items

    def pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.marked()

    def pop_mark(self, _: Any) -> None:
        self.marked()

    def dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def put(self, place: int | None) -> None:
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    # Containers.

    def push(self, make: Callable[[], Any]) -> None:
        self._stack.append(make())

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise CorruptFileError("too few items for a tuple")
        items = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._stack.append(items)

    def dict_of_marked(self, _: Any) -> None:
        items = self.marked()
        self._stack.append({})
        self._set(items)

    def append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self.marked())

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self.marked())

    def add_items(self, _: Any) -> None:
        items = self.marked()
        self._top(set).update(map(_as_key, items))

    def _extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_as_key(key)] = value

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise CorruptFileError(f"a {kind.__name__} that is none")
        return self._stack[-1]

    # Arrays.

    def name(self, words: tuple[str, str]) -> None:
        # As NumPy 1 and Python 2 spell it.
        name = re.sub(r"^numpy\.core\.", "numpy._core.", ".".join(words))
        name = re.sub(r"^__builtin__\.", "builtins.", name)
        if name not in _CONSTRUCTORS:
            raise UnsafeFileError(f"a pickle asks for {'.'.join(words)}")
        self._stack.append(_Name(name))

    def stack_name(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self.name((str(module), str(name)))

    def reduce(self, _: Any) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if type(name) is not _Name or type(arguments) is not tuple:
            raise CorruptFileError("a call of what is no function")
        self._stack.append(_CONSTRUCTORS[name.name](self, *arguments))

    def build(self, _: Any) -> None:
        """Finish an array or dtype with the state on the stack."""
        state = self._stack.pop()
        target = self._unfinished.pop(id(self._stack[-1]))
        if isinstance(target, np.dtype):
            self._finish_dtype(target, state)
        else:
            self._finish_array(target, *(state if len(state) == 5 else (1, *state)))

    def new_array(self, kind: Any, shape: Any, dtype: Any) -> np.ndarray:
        if type(kind) is not _Name or kind.name != "numpy.ndarray":
            raise CorruptFileError("an array of another class")
        array = np.zeros(0, np.int8)
        self._unfinished[id(array)] = array
        return array

    def new_dtype(self, text: Any, *_: Any) -> np.dtype:
        # NumPy names the width of a pointer to an object, or not.
        dtype = np.dtype(object, copy=True) if text in ("O", "O4", "O8") else plain_dtype(text)
        self._unfinished[id(dtype)] = dtype
        return dtype

    def scalar(self, dtype: Any, data: Any = b"") -> Any:
        return self._array((), dtype, False, data)[()]

    def from_buffer(self, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
        return self._array(shape, dtype, order == "F", data)

    def encoded(self, text: Any, encoding: Any = "latin1") -> bytes:
        """Stand-in for ``_codecs.encode``, by which Python 3 writes bytes into old protocols."""
        if encoding not in ("latin1", "latin-1"):
            raise UnsafeFileError(f"a pickle asks for the text encoding {encoding!r}")
        return self._bytes(text)

    def no_bytes(self) -> bytes:
        """No bytes, as old protocols write them."""
        return b""

    def no_call(self, *_: Any) -> Any:
        raise CorruptFileError("an array that is not made as NumPy makes it")

    def _finish_dtype(self, dtype: np.dtype, state: Any) -> None:
        _, order, *structure = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure[:3]):
            raise CorruptFileError("a dtype that is not plain")
        plain = dtype.kind not in "SUO"
        size = (-1, -1) if plain else (dtype.itemsize, dtype.alignment)
        # NumPy sets the byte order so, in the same object: arrays may know it already.
        dtype.__setstate__((3, order, None, None, None, *size, dtype.flags))  # type: ignore[attr-defined]

    def _finish_array(
        self, array: np.ndarray, _: Any, shape: Any, dtype: Any, fortran: Any, data: Any
    ) -> None:
        content = self._checked(shape, dtype, data)
        array.__setstate__((1, shape, dtype, bool(fortran), content))  # type: ignore[arg-type]
        settle(array)

    def _array(self, shape: Any, dtype: Any, fortran: bool, data: Any) -> np.ndarray:
        content = self._checked(shape, dtype, data)
        if isinstance(content, list):
            raise CorruptFileError("objects where numbers belong")
        flat = np.frombuffer(bytearray(content), dtype, checked_size(shape))
        return settle(flat.reshape(shape, order="F" if fortran else "C"))

    def _checked(self, shape: Any, dtype: Any, data: Any) -> bytes | list[Any]:
        """The content of an array, of the length that its shape and dtype need."""
        if type(shape) is not tuple or not all(type(side) is int for side in shape):
            raise CorruptFileError("a shape that is none")
        if not isinstance(dtype, np.dtype):
            raise CorruptFileError("a dtype that is none")
        size = checked_size(shape)
        if dtype.hasobject:
            if type(data) is not list or len(data) != size:
                raise CorruptFileError(f"{size} objects that are not there")
            return list(data)
        content = self._bytes(data)
        if len(content) != size * dtype.itemsize or (size and not dtype.itemsize):
            raise CorruptFileError(
                f"{len(content)} bytes for an array of shape {shape} and dtype {dtype}"
            )
        return content

    def _bytes(self, data: Any) -> bytes:
        """Bytes, or text that Python 2 kept them in; counted, as one may be named many times."""
        content = data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
        self._left -= len(content)
        if self._left < 0:
            raise CorruptFileError("it repeats itself without end")
        return content

    # What comes out.

    def _weight(self, value: Any, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
        """Number of items, each counted as often as it is named, and how deep they lie."""
        if type(value) in _LEAVES or isinstance(value, np.generic | np.dtype):
            return 1, 0
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return 1 + value.size, 0
        if depth > _DEEPEST:
            raise CorruptFileError(f"containers within containers, {_DEEPEST} deep")
        if id(value) not in known:
            items = _items(value)
            inner = [self._weight(item, depth + 1, known) for item in items]
            weight = 1 + sum(weight for weight, _ in inner)
            known[id(value)] = weight, 1 + max((height for _, height in inner), default=0)
        return known[id(value)]


_LEAVES: Final = {type(None), bool, int, float, str, bytes, bytearray}


def _items(value: Any) -> list[Any]:
    if type(value) is dict:
        return [*value, *value.values()]
    if isinstance(value, np.ndarray):
        return list(value.ravel())
    if type(value) in (list, tuple, set, frozenset):
        return list(value)
    raise CorruptFileError("a name where an array or a container belongs")


def _as_key(key: Any) -> Any:
    """A key of a dictionary, whose comparison takes no time worth mentioning."""
    parts = key if type(key) is tuple else (key,)
    for part in parts:
        if type(part) not in _LEAVES - {bytearray} or (type(part) is int and abs(part) >= 2**63):
            raise CorruptFileError("a key that is no text and no number")
    if len(parts) > _DEEPEST:
        raise CorruptFileError(f"a key of {len(parts)} parts")
    return key


#: Name -> what is done instead of calling it.
_CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    "numpy.ndarray": _Machine.no_call,
    "numpy.dtype": _Machine.new_dtype,
    "numpy._core.multiarray._reconstruct": _Machine.new_array,
    "numpy._core.multiarray.scalar": _Machine.scalar,
    "numpy._core.numeric._frombuffer": _Machine.from_buffer,
    "_codecs.encode": _Machine.encoded,
    "builtins.bytes": _Machine.no_bytes,
}

#: Instructions whose argument is the value.
_CONSTANTS: Final = {
    pickle.INT,
    pickle.LONG,
    pickle.BININT,
    pickle.BININT1,
    pickle.BININT2,
    pickle.LONG1,
    pickle.LONG4,
    pickle.FLOAT,
    pickle.BINFLOAT,
    pickle.STRING,
    pickle.BINSTRING,
    pickle.SHORT_BINSTRING,
    pickle.UNICODE,
    pickle.SHORT_BINUNICODE,
    pickle.BINUNICODE,
    pickle.BINUNICODE8,
    pickle.SHORT_BINBYTES,
    pickle.BINBYTES,
    pickle.BINBYTES8,
    pickle.BYTEARRAY8,
    pickle.NONE,
}

#: Instructions that make objects of classes, or ask the reading program for what it has.
_REFUSED: Final = {
    pickle.INST: "an object",
    pickle.OBJ: "an object",
    pickle.NEWOBJ: "an object",
    pickle.NEWOBJ_EX: "an object",
    pickle.PERSID: "an object from outside",
    pickle.BINPERSID: "an object from outside",
    pickle.EXT1: "an extension",
    pickle.EXT2: "an extension",
    pickle.EXT4: "an extension",
    pickle.NEXT_BUFFER: "a buffer from outside",
    pickle.READONLY_BUFFER: "a buffer from outside",
}


def _ignored(_: _Machine, __: Any) -> None:
    """Protocol and frames only tell how the file is to be read in pieces."""


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(lambda: value)


def _empty(kind: type) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(kind)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(count)


def _of_marked(kind: type) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        items = machine.marked()
        machine.push(lambda: kind(map(_as_key, items)) if kind is frozenset else kind(items))

    return make


_OPERATIONS: Final[dict[bytes, Callable[[_Machine, Any], None]]] = {
    pickle.PROTO: _ignored,
    pickle.FRAME: _ignored,
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.MARK: _Machine.mark,
    pickle.POP: _Machine.pop,
    pickle.POP_MARK: _Machine.pop_mark,
    pickle.DUP: _Machine.dup,
    pickle.PUT: _Machine.put,
    pickle.BINPUT: _Machine.put,
    pickle.LONG_BINPUT: _Machine.put,
    pickle.MEMOIZE: _Machine.put,
    pickle.GET: _Machine.get,
    pickle.BINGET: _Machine.get,
    pickle.LONG_BINGET: _Machine.get,
    pickle.EMPTY_LIST: _empty(list),
    pickle.EMPTY_DICT: _empty(dict),
    pickle.EMPTY_SET: _empty(set),
    pickle.EMPTY_TUPLE: _tuple(0),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.TUPLE: _of_marked(tuple),
    pickle.LIST: _of_marked(list),
    pickle.FROZENSET: _of_marked(frozenset),
    pickle.DICT: _Machine.dict_of_marked,
    pickle.APPEND: _Machine.append,
    pickle.APPENDS: _Machine.appends,
    pickle.SETITEM: _Machine.set_item,
    pickle.SETITEMS: _Machine.set_items,
    pickle.ADDITEMS: _Machine.add_items,
    pickle.GLOBAL: _Machine.name,
    pickle.STACK_GLOBAL: _Machine.stack_name,
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
}
