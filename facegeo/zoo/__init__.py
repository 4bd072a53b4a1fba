"""Names -> verified files: what ships, what is installed, what can be fetched."""

from __future__ import annotations

from facegeo.base.cache import cache_dir
from facegeo.zoo.cards import Card
from facegeo.zoo.store import InstalledModel, find, list_models

__all__ = ["Card", "InstalledModel", "cache_dir", "find", "list_models"]
