"""Pickling of what holds open engines: by the arguments that made it, never by what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MadeAnew:
    """An object that is pickled and copied as the arguments that it was made with.

    Its ``__init__`` begins with ``self._remember(locals())``.
    """

    _arguments: dict[str, Any]

    def _remember(self, variables: Mapping[str, Any]) -> None:
        """Keep the arguments out of the local variables of ``__init__``."""
        own = ("self", "__class__")  # the second where ``__init__`` calls ``super``
        self._arguments = {name: value for name, value in variables.items() if name not in own}

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (type(self), self._arguments)


def _make(kind: type, arguments: Mapping[str, Any]) -> Any:
    return kind(**arguments)
