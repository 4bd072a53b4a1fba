"""Checks at the public boundary: each returns the value in canonical form or raises an error that
says what was expected and what came."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeo.errors import InvalidInputError

Shape = Sequence[int | str]


def describe(value: object) -> str:
    """A value in a few words, for error messages: shape and dtype of arrays, type of the rest."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"{type(value).__name__} {str(value)[:60]!r}"


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int of at least ``least``; InvalidInputError for 2.5, True and texts."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InvalidInputError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise InvalidInputError(f"{name}: expected at least {least}, got {value}")
    return int(value)


def positive_number(name: str, value: Any, most: float = math.inf) -> float:
    """``value`` as a finite float above zero, of at most ``most``; InvalidInputError for others."""
    if not _is_number(value) or not 0 < value <= most or value == math.inf:
        bounds = "" if most == math.inf else f", at most {most:g}"
        raise InvalidInputError(f"{name}: expected a number above 0{bounds}, got {value!r}")
    return float(value)


def number_in(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """``value`` as a float from ``low`` to ``high``; InvalidInputError for NaN, texts and None."""
    if not _is_number(value) or not low <= value <= high:
        bounds = f"of at least {low:g}" if high == math.inf else f"in {low:g}..{high:g}"
        raise InvalidInputError(f"{name}: expected a number {bounds}, got {value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool; InvalidInputError for all that is none, such as 1 and "no"."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInputError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def _matches(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        isinstance(want, str) or have == want for have, want in zip(shape, expected, strict=True)
    )


def _is_number(value: Any) -> bool:
    """True for whole and other numbers of Python and NumPy, and fractions such as PyAV's rates."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_array(name: str, value: Any, wanted: str) -> np.ndarray:
    """``value`` as whatever array NumPy makes of it; ``wanted`` is the shape for messages."""
    try:
        return np.asarray(value)
    except ValueError as error:  # a ragged list
        raise InvalidInputError(
            f"{name}: expected numbers of shape {wanted}, got a list whose rows differ in length"
        ) from error
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one that has a gradient
        raise InvalidInputError(
            f"{name}: expected numbers of shape {wanted}, got {describe(value)}, of which NumPy "
            f"makes no array ({error})"
        ) from error


def array_of(
    name: str,
    value: Any,
    shape: Shape,
    dtype: npt.DTypeLike = np.float32,
    *,
    finite: bool = True,
) -> np.ndarray:
    """``value`` as a C-contiguous array of a shape and dtype; numbers are converted, nothing else.

    Parameters
    ----------
    shape : sequence of int or str
        Wanted shape; a string names an axis of any length, as in ``("N", 68, 3)``.
    finite : bool
        Refuse NaN and infinity.

    Raises
    ------
    InvalidInputError
        If shape or kind of dtype differ, or a number is not finite.
    """
    wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    array = as_array(name, value, wanted)
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"{name}: expected numbers of shape {wanted}, got {describe(value)}"
        )
    if not _matches(array.shape, shape):
        raise InvalidInputError(f"{name}: expected shape {wanted}, got {array.shape}")
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise InvalidInputError(
            f"{name}: expected finite numbers, got {bad} NaN or infinite values"
        )
    return np.ascontiguousarray(array, dtype=dtype)


def boxes_xyxy(value: Any, name: str = "boxes") -> np.ndarray:
    """Boxes as ``(N, 4)`` float32, each with positive width and height.

    An empty sequence gives ``(0, 4)``; a single box of four numbers gives ``(1, 4)``.
    """
    if isinstance(value, Sequence) and len(value) == 0:
        return np.zeros((0, 4), np.float32)
    boxes = as_array(name, value, "(N, 4)")
    boxes = array_of(name, boxes[None] if boxes.ndim == 1 else boxes, ("N", 4))
    flat = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if flat.any():
        index = int(np.argmax(flat))
        raise InvalidInputError(
            f"{name}: expected x0 < x1 and y0 < y1, got {boxes[index].tolist()} at index {index}; "
            "boxes of another form, such as x, y, width, height: facegeo.detect.boxes_from"
        )
    return boxes
