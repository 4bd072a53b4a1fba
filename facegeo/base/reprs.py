"""Short texts of results: what somebody wants to see who prints one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

#: Arrays of at most so many numbers are printed with their numbers.
_FEW = 4


class ShortRepr:
    """A dataclass that prints in a few lines: of arrays the shape, unless they are a few numbers.

    The dataclass is made with ``repr=False``.
    """

    def __repr__(self) -> str:
        shown = (field.name for field in fields(self) if field.repr)  # type: ignore[arg-type]
        values = ", ".join(f"{name}={_short(getattr(self, name))}" for name in shown)
        return f"{type(self).__name__}({values})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size <= _FEW:
            return "[" + ", ".join(_short(number) for number in value.tolist()) + "]"
        return f"<{'x'.join(map(str, value.shape))} {value.dtype}>"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > _FEW:
        return f"<{len(value)} items>"
    if isinstance(value, Mapping):
        return f"<{len(value)} items>"
    return repr(value)
