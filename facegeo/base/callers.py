"""Warnings that point at the caller's line, not into the package."""

from __future__ import annotations

import sys
import warnings


def warn_caller(message: str) -> None:
    """A UserWarning at the nearest line outside of facegeo that led here."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
