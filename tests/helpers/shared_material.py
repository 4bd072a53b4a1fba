"""Where the reference material lies."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder() -> Path | None:
    """``$FACEGEO_SHARED``, else ``shared`` beside the repository; None where there is none."""
    folder = Path(os.environ.get("FACEGEO_SHARED", REPOSITORY.parent / "shared"))
    return folder.resolve() if folder.is_dir() else None
