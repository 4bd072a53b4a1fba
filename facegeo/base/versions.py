"""Versions of what is installed in this environment."""

from __future__ import annotations

from importlib import metadata


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
