"""Closing of what has to be closed, at the end of its ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """A context manager that calls :meth:`close`, whatever happened inside."""

    @abstractmethod
    def close(self) -> None:
        """Release all that is held. May be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
