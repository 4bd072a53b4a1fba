"""Names -> verified files: what is installed, what can be fetched, how releases are imported."""

from __future__ import annotations

from facegeo.base.cache import cache_dir
from facegeo.zoo.cards import Card
from facegeo.zoo.store import InstalledModel, find, list_models

__all__ = ["Card", "InstalledModel", "cache_dir", "find", "list_models"]
