"""Compilation of loops. This module imports Numba; modules with loops are imported when used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba

_log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``numba.njit`` without the interpreter lock, kept on disk between processes where possible.

    Numba keeps machine code beside the source or, where that is read-only, in the user's cache
    directory (``NUMBA_CACHE_DIR`` names another). Containers often have neither; then each process
    compiles anew instead of failing.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError as error:
            _log.info("compiling in every process, nothing can be cached: %s", error)
            return numba.njit(nogil=True, **options)(function)

    return decorate
