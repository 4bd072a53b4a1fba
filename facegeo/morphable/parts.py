"""Named parts of a mesh, such as teeth and tongue: found by name, and left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from facegeo.errors import InvalidInputError
from facegeo.morphable.validation import frozen


def parts_named(known: Iterable[str], name: str) -> tuple[str, ...]:
    """The parts that a name means: the one of that name, or those that begin with it and "_".

    Raises
    ------
    InvalidInputError
        If there is none; it lists those that there are.
    """
    known = tuple(known)
    found = tuple(part for part in known if part == name or part.startswith(f"{name}_"))
    if not found:
        have = ", ".join(known) if known else "none, the model has no parts"
        raise InvalidInputError(f"part: expected one of {have}, got {name!r}")
    return (name,) if name in found else found


def without_parts(fields: Mapping[str, Any], left_out: Iterable[str]) -> dict[str, Any]:
    """``triangles``, ``uv_triangles`` and ``parts`` of a model without some of its parts.

    Parameters
    ----------
    fields : mapping
        At least these three fields of a model.
    left_out : iterable of str
        Names in ``parts``.
    """
    names = set(left_out)
    kept = np.ones(len(fields["triangles"]), bool)
    for name in names:
        kept &= ~fields["parts"][name]
    corners = fields["uv_triangles"]
    return {
        "triangles": frozen(fields["triangles"][kept]),
        "uv_triangles": None if corners is None else frozen(corners[kept]),
        "parts": {n: frozen(mask[kept]) for n, mask in fields["parts"].items() if n not in names},
    }
