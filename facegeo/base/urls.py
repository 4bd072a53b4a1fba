"""URLs where files are expected, and in messages."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

# One letter is a drive of Windows; pathlib folds the two slashes into one.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|data:[^,]*,", re.IGNORECASE)

_DRIVE = re.compile(r"/[a-z]:", re.IGNORECASE)

#: More of a URL is not told.
_MOST = 100


def is_url(text: str | os.PathLike[str]) -> bool:
    """True for ``https://...``, ``s3://...``, ``data:...``, also as a path that was made of one."""
    return _URL.match(os.fspath(text)) is not None


def local_path(url: str | os.PathLike[str]) -> str | None:
    """The path that a ``file:`` URL means; None for other URLs, and for files of other hosts."""
    scheme, _, rest = os.fspath(url).partition(":")
    is_other_host = rest.startswith("//") and not rest.startswith(("///", "//localhost/"))
    if scheme.lower() != "file" or is_other_host:
        return None
    path = "/" + unquote(rest.removeprefix("//localhost")).lstrip("/")
    return path[1:] if _DRIVE.match(path) else path


def without_password(url: str) -> str:
    """A URL for messages: without user, password, query and fragment, which may hold secrets."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "data":  # the photo itself
        return f"{url.partition(',')[0][:_MOST]},..."
    if scheme.lower() == "file" and (local := local_path(url)):
        return f"{scheme}:///{local.lstrip('/')}"
    url = f"{scheme}://{rest.lstrip('/')}" if rest.startswith("/") else url
    try:
        parts = urlsplit(url)
    except ValueError:  # no host that could be one
        return f"{scheme}:..."
    host = parts.netloc.rpartition("@")[2]
    text = parts._replace(netloc=host, query="", fragment="").geturl()
    return text if len(text) <= _MOST else text[:_MOST] + "..."
