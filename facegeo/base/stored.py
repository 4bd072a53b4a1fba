"""Arrays out of files: sizes are compared before anything is allocated.

NumPy takes a file's bytes for what the file says they are; a flag that is neither 0 nor 1, or a
character that Unicode does not have, upsets it later, in another place.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from facegeo.errors import CorruptFileError

#: dtypes that are read: truth values, whole, real and complex numbers, bytes and texts.
_PLAIN: Final = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SU]\d{1,7})")

_LAST_CHARACTER: Final = 0x10FFFF


def plain_dtype(text: str) -> np.dtype:
    """The dtype of that name, a new object. Raises CorruptFileError for any but plain ones."""
    if not _PLAIN.fullmatch(text):
        raise CorruptFileError(f"numbers of the type {text[:40]!r}")
    try:
        return np.dtype(text, copy=True)
    except TypeError as error:  # this machine has no floats of 12 bytes, for instance
        raise CorruptFileError(str(error)) from error


def settle(array: np.ndarray) -> np.ndarray:
    """The array, in which every flag is 0 or 1 and every character exists.

    Raises
    ------
    CorruptFileError
        If a character does not exist.
    """
    if array.dtype.kind == "b" and array.size:
        array[...] = array.view(np.uint8) != 0
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        flat = array.ravel(order="K")
        codes = flat.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > _LAST_CHARACTER:
            raise CorruptFileError("a text has a character that there is not")
    return array
