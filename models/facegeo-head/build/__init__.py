"""The build of facegeo-head from CC0 assets; ``write_head`` makes the file."""

from .build import write_head

__all__ = ["write_head"]
