"""MATLAB files (version 7 or older), whose damage shows in many ways."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from facegeo.errors import CorruptFileError, UnreadableFileError


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

    Raises
    ------
    UnreadableFileError
        If the path cannot be opened.
    CorruptFileError
        If the content is damaged, or of version 7.3.
    """
    if isinstance(file, Path):
        try:
            with file.open("rb") as opened:
                return load_matlab(opened, name or str(file), keys)
        except OSError as error:
            raise UnreadableFileError(f"{file}: cannot be read ({error.strerror})") from error
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damage = (MatReadError, zlib.error, ValueError, TypeError, LookupError, EOFError, OSError)
    try:
        return dict(loadmat(file, variable_names=None if keys is None else list(keys)))
    except NotImplementedError as error:  # scipy's answer to HDF5
        raise CorruptFileError(
            f"{name}: a MATLAB 7.3 file; save it in MATLAB with the option '-v7'"
        ) from error
    except damage as error:
        raise CorruptFileError(f"{name}: not a readable MATLAB file ({error})") from error
