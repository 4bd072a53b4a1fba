"""Functions that every reader needs: files to arrays, each error naming the file and the key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base import pickles
from facegeo.base.arrays import array_of, describe
from facegeo.base.npz import load_npy
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError

#: Basel geometry is in micrometres.
BASEL_UNIT_MM = 0.001
#: Vertices and triangles of the Basel face without neck and ears' backs, as 3DDFA cuts it.
BASEL_VERTICES = 53215
BASEL_TRIANGLES = 105840


def find_file(folder: Path, *names: str) -> Path:
    """The first of ``names`` that exists in ``folder``.

    Raises
    ------
    UnreadableFileError
        If there is none; the message says which were looked for, and where.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UnreadableFileError(f"{folder}: file {' or '.join(names)} is missing")


def read_npy(path: Path, shape: tuple[int | str, ...], kinds: str = "f") -> np.ndarray:
    """A ``.npy`` array of a shape and kind of dtype ("f" floating point, "iu" whole numbers)."""
    return checked(str(path), load_npy(path), shape, kinds)


def read_pickle(path: Path) -> Mapping[str, Any]:
    """The dictionary in a pickle; nothing in it is executed."""
    value = pickles.load(path)
    if not isinstance(value, Mapping):
        raise CorruptFileError(f"{path}: expected a dictionary of arrays, got {describe(value)}")
    return value


def entry(
    path: Path,
    arrays: Mapping[str, Any],
    key: str,
    shape: tuple[int | str, ...],
    kinds: str = "f",
) -> np.ndarray:
    """``arrays[key]``, of a shape and kind of dtype."""
    if key not in arrays:
        raise CorruptFileError(f"{path}: key '{key}' is missing")
    return checked(f"{path}: key '{key}'", arrays[key], shape, kinds)


def checked(place: str, value: Any, shape: tuple[int | str, ...], kinds: str = "f") -> np.ndarray:
    """``value`` as float32 or int64, or a :class:`CorruptFileError` that begins with ``place``."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # a pickle may hold lists whose rows differ in length
        raise CorruptFileError(f"{place}: expected an array ({error})") from error
    if array.dtype.kind not in kinds:
        wanted = "whole numbers" if kinds == "iu" else "floating-point numbers"
        raise CorruptFileError(f"{place}: expected {wanted}, got {describe(array)}")
    try:
        return array_of(place, array, shape, np.float32 if "f" in kinds else np.int64)
    except InvalidInputError as error:
        raise CorruptFileError(str(error)) from error


def one_based(
    path: Path, arrays: Mapping[str, Any], key: str, shape: tuple[int | str, ...], size: int
) -> np.ndarray:
    """MATLAB's indices 1..size in ``arrays[key]``, as int64 in 0..size-1.

    They may be stored as doubles: MATLAB's numbers are, unless someone chose otherwise.
    """
    value = entry(path, arrays, key, shape, "iuf")
    index = value.astype(np.int64)
    if not np.array_equal(index, value) or index.min(initial=1) < 1 or index.max(initial=1) > size:
        raise CorruptFileError(
            f"{path}: key '{key}': expected indices 1 to {size}, got {value.min()} to {value.max()}"
        )
    return index - 1


def points_from_flat(flat: np.ndarray) -> np.ndarray:
    """x0 y0 z0 x1 y1 z1 ... in one column, (3 V, 1), to (V, 3)."""
    return flat.reshape(-1, 3)


def basis_from_flat(flat: np.ndarray) -> np.ndarray:
    """Modes in columns, (3 V, M), to (M, V, 3)."""
    return np.ascontiguousarray(flat.T).reshape(flat.shape[1], -1, 3)


def rows_from_flat(place: str, flat: np.ndarray) -> np.ndarray:
    """Flat rows x, y, z of each landmark, (204,), to vertex rows, (68,)."""
    rows = flat.reshape(-1, 3)
    if not np.array_equal(rows, rows[:, :1] // 3 * 3 + np.arange(3)):
        raise CorruptFileError(f"{place}: expected the rows 3v, 3v + 1, 3v + 2 of each landmark")
    return rows[:, 0] // 3


def facing_outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles counter-clockwise seen from outside: all turned round if most face inward.

    Parameters
    ----------
    vertices : (V, 3) float32
    triangles : (F, 3) int
        All wound the same way.

    Notes
    -----
    The volume between the surface and the mean of its vertices is positive for outward normals; for
    an open face that point lies behind the surface, so the sign holds too.
    """
    a, b, c = (vertices - vertices.mean(axis=0)).astype(np.float64)[triangles.T]
    volume = np.einsum("fi,fi->", a, np.cross(b, c))
    return triangles if volume >= 0 else triangles[:, ::-1]


def triangulated(quads: np.ndarray) -> np.ndarray:
    """Quads (F, 4), a triangle padded with -1 at the end, to triangles: first all first halves."""
    second = quads[quads[:, 3] >= 0][:, [0, 2, 3]]
    return np.concatenate([quads[:, :3], second])
