"""URLs where files are expected, and in messages."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

# One letter is a drive of Windows; pathlib folds the two slashes into one.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|data:[^,]*,", re.IGNORECASE)

#: More of a URL is not told.
_MOST = 100


def is_url(text: str | os.PathLike[str]) -> bool:
    """True for ``https://...``, ``s3://...``, ``data:...``, also as a path that was made of one."""
    return _URL.match(os.fspath(text)) is not None


def without_password(url: str) -> str:
    """A URL for messages: without user, password, query and fragment, which may hold secrets."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "data":  # the photo itself
        return f"{url.partition(',')[0][:_MOST]},..."
    url = f"{scheme}://{rest.lstrip('/')}" if rest.startswith("/") else url
    try:
        parts = urlsplit(url)
    except ValueError:  # no host that could be one
        return f"{scheme}:..."
    host = parts.netloc.rpartition("@")[2]
    text = parts._replace(netloc=host, query="", fragment="").geturl()
    return text if len(text) <= _MOST else text[:_MOST] + "..."
