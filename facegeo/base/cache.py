"""The folder where facegeo keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Folder of facegeo's files: ``$FACEGEO_CACHE_DIR``, else the system's cache folder."""
    chosen = os.environ.get("FACEGEO_CACHE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("facegeo", appauthor=False))
