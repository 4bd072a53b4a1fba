"""Pickling of what holds open engines: by the arguments that made it, never by what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self


class MadeAnew:
    """An object that is pickled and copied as the arguments that it was made with.

    They are those of the class that was called, so classes derived from one may take others.
    """

    _made_with: tuple[tuple[Any, ...], Mapping[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Keep the arguments, whatever ``__init__`` does with them."""
        made = super().__new__(cls)
        made._made_with = args, options
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        args, options = self._made_with
        return _make, (type(self), args, options)


def _make(kind: type, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    return kind(*args, **options)
