"""Declarations of the inputs and outputs of an ONNX Runtime session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from facegeo.backends.base import TensorSpec
from facegeo.errors import CorruptFileError

_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}


def tensor_specs(values: Sequence[Any]) -> dict[str, TensorSpec]:
    """Of ``session.get_inputs()`` or ``get_outputs()``, by name.

    Raises
    ------
    CorruptFileError
        For a type that no network of this package has.
    """
    specs = {}
    for value in values:
        if value.type not in _TYPES:
            raise CorruptFileError(
                f"network: {value.name!r} is a {value.type}; expected one of {', '.join(_TYPES)}"
            )
        # A free axis is a text or None, by whether the file names it.
        shape = tuple(length if isinstance(length, int) else None for length in value.shape)
        specs[value.name] = TensorSpec(_TYPES[value.type], shape)
    return specs
