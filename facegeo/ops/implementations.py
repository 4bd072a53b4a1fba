"""Choice of implementation for the hot loops: compiled by Numba, or NumPy with the same results."""

from __future__ import annotations

import functools
import logging
from typing import Literal

from facegeo.errors import BackendUnavailableError, InvalidInputError

Implementation = Literal["auto", "numba", "numpy"]

_log = logging.getLogger(__name__)


@functools.cache
def _numba_problem() -> str | None:
    """Reason against Numba, or None. The answer, and the warning, come once a process."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        _log.warning(
            "Numba cannot be imported (%s): meshes and pictures are made by slower NumPy code; "
            "`pip install numba` brings the fast one",
            error,
        )
        return str(error)
    return None


def choose_implementation(implementation: Implementation) -> Literal["numba", "numpy"]:
    """The implementation that will run.

    Parameters
    ----------
    implementation : {"auto", "numba", "numpy"}
        ``auto`` is Numba where it can be imported, else NumPy with one warning in the log.

    Raises
    ------
    InvalidInputError
        If ``implementation`` is another word.
    BackendUnavailableError
        If ``numba`` was asked for and cannot be imported.
    """
    if implementation not in ("auto", "numba", "numpy"):
        raise InvalidInputError(
            f"implementation: expected 'auto', 'numba' or 'numpy', got {implementation!r}"
        )
    if implementation == "numpy":
        return "numpy"
    problem = _numba_problem()
    if problem is None:
        return "numba"
    if implementation == "numba":
        raise BackendUnavailableError(
            f"implementation: 'numba' was asked for and cannot be imported ({problem}); "
            "install it with `pip install numba`, or take implementation='auto'"
        )
    return "numpy"
