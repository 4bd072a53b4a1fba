"""JSON out of files that others wrote: damage of every kind is one error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facegeo.base.limits import check_plain
from facegeo.errors import CorruptFileError, UnreadableFileError


def load_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises
    ------
    UnreadableFileError
        If there is no such file, or it may not be read.
    CorruptFileError
        If it is not JSON, or nested without end.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_json(data, str(path))


def parse_json(text: str | bytes, name: str) -> Any:
    """As :func:`load_json` from a text; ``name`` is for messages. Raises CorruptFileError."""
    try:
        content = json.loads(text)
        check_plain(content)
    except (ValueError, RecursionError, CorruptFileError) as error:
        raise CorruptFileError(f"{name}: not a readable JSON file ({error})") from error
    return content
