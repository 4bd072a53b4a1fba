"""Requirements on a morphable model's arrays; each check returns the value in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from facegeo.base.arrays import array_of, describe
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError


def checked_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model in canonical form; raises InvalidInputError on the first that does not
    fit."""
    if not isinstance(given["name"], str) or not given["name"]:
        raise InvalidInputError(f"name: expected a text, got {describe(given['name'])}")
    unit_mm = positive("unit_mm", given["unit_mm"])
    mean = array_of("mean", given["mean"], ("V", 3))
    num_vertices = len(mean)
    shape_basis = array_of("shape_basis", given["shape_basis"], ("Ns", num_vertices, 3))
    expression_basis = array_of(
        "expression_basis", given["expression_basis"], ("Ne", num_vertices, 3)
    )
    num_shape, num_expression = len(shape_basis), len(expression_basis)
    triangles = index_array("triangles", given["triangles"], ("F", 3), num_vertices, np.int32)
    rows = index_array("landmark_rows", given["landmark_rows"], (NUM_LANDMARKS,), num_vertices)
    uv, uv_triangles = _checked_uv(given["uv"], given["uv_triangles"], triangles, num_vertices)
    mirror = given["mirror"]
    return {
        "unit_mm": unit_mm,
        "mean": frozen(mean),
        "shape_basis": frozen(shape_basis),
        "expression_basis": frozen(expression_basis),
        "triangles": frozen(triangles),
        "landmark_rows": frozen(rows),
        "uv": uv,
        "uv_triangles": uv_triangles,
        "shape_names": checked_names("shape_names", given["shape_names"], num_shape),
        "expression_names": checked_names(
            "expression_names", given["expression_names"], num_expression
        ),
        "layout_rows": {
            name: frozen(index_array(f"layout/{name}", value, ("K",), num_vertices))
            for name, value in given["layout_rows"].items()
        },
        "regions": _checked_masks("region", given["regions"], num_vertices),
        "parts": _checked_masks("part", given["parts"], len(triangles)),
        "mirror": mirror and mirror.checked(num_vertices, num_shape, num_expression),
        "shape_std": checked_std("shape_std", given["shape_std"], num_shape),
        "expression_std": checked_std("expression_std", given["expression_std"], num_expression),
        "expression_range": checked_range(given["expression_range"]),
        "eyes": given["eyes"] and given["eyes"].checked(num_vertices, num_shape, num_expression),
        "texture": given["texture"] and given["texture"].checked(num_vertices),
    }


def checked_range(value: Any) -> tuple[float, float] | None:
    """The limits of expression coefficients, or :class:`InvalidInputError`."""
    if value is None:
        return None
    low, high = array_of("expression_range", value, (2,), np.float64).tolist()
    if not low <= 0 < high:
        raise InvalidInputError(
            f"expression_range: expected limits about 0, the neutral face, got {low:g} to {high:g}"
        )
    return low, high


def positive(field: str, value: Any) -> float:
    """A finite number above 0 as a float, or :class:`InvalidInputError`."""
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "fiu" or not 0 < number < np.inf:
        raise InvalidInputError(f"{field}: expected a positive number, got {describe(value)}")
    return float(number)


def _checked_uv(
    uv: Any, uv_triangles: Any, triangles: np.ndarray, num_vertices: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if uv is None:
        if uv_triangles is not None:
            raise InvalidInputError("uv_triangles: given without uv")
        return None, None
    uv = array_of("uv", uv, ("U", 2))
    if uv.size and (uv.min() < 0 or uv.max() > 1):
        raise InvalidInputError(f"uv: expected numbers in [0, 1], got {uv.min()} to {uv.max()}")
    if uv_triangles is None:
        if len(uv) != num_vertices:
            raise InvalidInputError(
                f"uv_triangles: needed, since uv has {len(uv)} rows for {num_vertices} vertices"
            )
        uv_triangles = triangles
    corners = index_array("uv_triangles", uv_triangles, triangles.shape, len(uv), np.int32)
    return frozen(uv), frozen(corners)


def checked_names(field: str, names: Any, count: int) -> tuple[str, ...]:
    """``count`` texts or none, or :class:`InvalidInputError`."""
    names = tuple(str(name) for name in names)
    if names and len(names) != count:
        raise InvalidInputError(f"{field}: expected {count} names or none, got {len(names)}")
    return names


def _checked_masks(field: str, masks: Mapping[str, Any], count: int) -> Mapping[str, np.ndarray]:
    checked = {}
    for name, mask in masks.items():
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (count,):
            raise InvalidInputError(
                f"{field}/{name}: expected booleans of shape ({count},), got {describe(mask)}"
            )
        checked[name] = frozen(mask)
    return checked


def checked_std(field: str, value: Any, count: int) -> np.ndarray | None:
    """Standard deviations, (count,) float32, or :class:`InvalidInputError`."""
    if value is None:
        return None
    std = array_of(field, value, (count,))
    if not (std > 0).all():
        raise InvalidInputError(f"{field}: expected positive numbers, got {std.min()}")
    return frozen(std)


def index_array(
    name: str,
    value: Any,
    shape: tuple[int | str, ...],
    size: int,
    dtype: type[np.integer] = np.int64,
) -> np.ndarray:
    """Whole numbers in 0..size-1 of a shape, or :class:`InvalidInputError`."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise InvalidInputError(f"{name}: expected whole numbers, got {describe(array)}")
    array = array_of(name, array, shape, np.int64)
    if array.size and (array.min() < 0 or array.max() >= size):
        raise InvalidInputError(
            f"{name}: expected indices 0 to {size - 1}, got {array.min()} to {array.max()}"
        )
    return array.astype(dtype, copy=False)


def permutation(name: str, value: Any, size: int) -> np.ndarray:
    """Every index 0..size-1 once, as (size,) int64, or :class:`InvalidInputError`."""
    index = index_array(name, value, (size,), size)
    if not np.array_equal(np.sort(index), np.arange(size)):
        raise InvalidInputError(f"{name}: expected every index 0 to {size - 1} once")
    return frozen(index)


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view


class ReadOnlyArrays:
    """Base of dataclasses whose arrays stay read-only in copies and pickles."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(_read_only(state))


def _read_only(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return frozen(value)
    return {k: _read_only(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def check_modes(wanted: tuple[int, int], have: tuple[int, int]) -> None:
    """Refuse numbers of shape and expression modes of which a model has fewer."""
    for name, count, most in zip(("num_shape", "num_expression"), wanted, have, strict=True):
        if not 0 <= count <= most:
            raise InvalidInputError(f"{name}: expected 0 to {most}, got {count}")
