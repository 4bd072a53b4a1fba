"""HEIC photos, which phones write and OpenCV does not read: by pillow-heif, the extra [heic]."""

from __future__ import annotations

import io
from typing import Any

from facegeo.errors import DependencyMissingError, InvalidImageError

#: Endings of such files.
SUFFIXES = frozenset({".heic", ".heif", ".hif"})


def open_heic(data: bytes, name: str) -> Any:
    """A HEIC file as an upright PIL image; ``name`` is for messages.

    Raises
    ------
    DependencyMissingError
        If pillow-heif is not installed.
    InvalidImageError
        If the file is damaged.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise DependencyMissingError(
            f"{name}: HEIC photos need pillow-heif; "
            'pip install "facegeo[heic]", or convert the photo to JPEG'
        ) from error
    try:
        return pillow_heif.open_heif(io.BytesIO(data)).to_pillow()
    except (OSError, ValueError, RuntimeError, EOFError, SyntaxError) as error:
        raise InvalidImageError(
            f"{name}: not a HEIC photo that can be decoded, or damaged ({error})"
        ) from error
