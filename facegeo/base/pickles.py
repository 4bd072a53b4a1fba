"""Reading pickled arrays without ever running what a pickle may ask for.

A pickle is a program; ``pickle.load`` runs it. Upstream projects publish their arrays as pickles,
so they are read with an unpickler that knows the few constructors of NumPy arrays and plain
containers and refuses every other name before it is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.errors import CorruptFileError, UnreadableFileError, UnsafeFileError


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stand-in for ``_codecs.encode``, by which Python 3 writes bytes into old pickle protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafeFileError(f"a pickle asks for the text encoding {encoding!r}")
    return text.encode("latin1")


def _numpy_constructors() -> dict[tuple[str, str], Callable[..., Any]]:
    multiarray = np._core.multiarray  # type: ignore[attr-defined]
    numeric = np._core.numeric  # type: ignore[attr-defined]
    allowed: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    }
    for package in ("numpy.core", "numpy._core"):  # NumPy 1 and NumPy 2 spell it differently
        allowed[f"{package}.multiarray", "_reconstruct"] = multiarray._reconstruct
        allowed[f"{package}.multiarray", "scalar"] = multiarray.scalar
        allowed[f"{package}.numeric", "_frombuffer"] = numeric._frombuffer
    return allowed


_ALLOWED = _numpy_constructors()


class _ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays, NumPy scalars and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafeFileError(f"a pickle asks for {module}.{name}") from None


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
        # latin1 is how NumPy arrays that Python 2 pickled are to be read.
        return _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
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
