"""MATLAB files (version 7 or older): numbers, texts, cells and structs.

Read here and not by SciPy, whose reader is compiled code that trusts the sizes in a file: a damaged
one ends the process. Here every size is compared with the bytes that are left before it is used.
The arrays are those that ``scipy.io.loadmat`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from facegeo.base.matlab4 import variables4
from facegeo.base.matlab5 import variables5
from facegeo.errors import CorruptFileError, UnreadableFileError

_HEADER = 128
_HDF5 = b"\x89HDF\r\n\x1a\n"
#: The mark of the byte order in a header, behind the version.
_LITTLE, _BIG = b"\x00\x01IM", b"\x01\x00MI"
_LITTLE_73, _BIG_73 = b"\x00\x02IM", b"\x02\x00MI"

#: Name of a variable and how its value is had.
_Variables = Iterator[tuple[str, Callable[[], Any]]]


def load_matlab(
    file: Path | BinaryIO, name: str = "", keys: Sequence[str] | None = None
) -> dict[str, Any]:
    """The variables of a MATLAB file.

    Parameters
    ----------
    file : path or binary file
    name : str, optional
        What errors call it. Default: the path.
    keys : sequence of str, optional
        Read only those of these that it has. Default: all.

    Returns
    -------
    variables : dict
        Numbers as arrays of the dtype that they are stored in, texts as arrays of str, cells as
        arrays of objects, structs as arrays with fields.

    Raises
    ------
    UnreadableFileError
        If the path cannot be opened.
    CorruptFileError
        If the content is damaged, of version 7.3, or a wanted variable is of another kind.
    """
    if isinstance(file, Path):
        try:
            with file.open("rb") as opened:
                return load_matlab(opened, name or str(file), keys)
        except OSError as error:
            raise UnreadableFileError(f"{file}: cannot be read ({error.strerror})") from error
    content = file.read()
    found: dict[str, Any] = {}
    try:
        for variable, value in _variables(content):
            if keys is None or variable in keys:
                found[variable] = value()
                if keys is not None and found.keys() >= set(keys):
                    break
    except CorruptFileError as error:
        raise CorruptFileError(f"{name}: not a readable MATLAB file ({error})") from error
    except (MemoryError, RecursionError) as error:
        raise CorruptFileError(
            f"{name}: not a readable MATLAB file (it asks for more memory than there is)"
        ) from error
    return found


def _variables(content: bytes) -> _Variables:
    mark = content[124:_HEADER]
    if content.startswith(_HDF5) or mark in (_LITTLE_73, _BIG_73):
        raise CorruptFileError("it is of MATLAB 7.3; save it in MATLAB with the option '-v7'")
    if mark in (_LITTLE, _BIG):
        return variables5(memoryview(content)[_HEADER:], "<" if mark == _LITTLE else ">")
    # Only the header of version 4 begins with a small number, and has a zero among its bytes.
    if len(content) >= 4 and 0 in content[:4]:
        return variables4(memoryview(content))
    raise CorruptFileError("it has no header of one" if content else "it is empty")
