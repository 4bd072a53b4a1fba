"""Wavefront OBJ as ICT-FaceKit writes it: vertices, texture coordinates, polygons of 3 or 4."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError


class ObjMesh(NamedTuple):
    """``vertices`` (V, 3) and ``uv`` (U, 2) float32; ``quads`` and ``uv_quads`` (F, 4) int64 with
    -1 at the end of a triangle."""

    vertices: np.ndarray
    uv: np.ndarray
    quads: np.ndarray
    uv_quads: np.ndarray


def read_obj(path: Path) -> ObjMesh:
    """Everything that a textured mesh needs. Raises UnreadableFileError or CorruptFileError."""
    lines = _lines(path)
    corners = [line.split()[1:] for line in lines if line.startswith(b"f ")]
    if not corners or not {len(corner) for corner in corners} <= {3, 4}:
        raise CorruptFileError(f"{path}: expected faces of 3 or 4 corners")
    padded = [corner if len(corner) == 4 else [*corner, b"0/0"] for corner in corners]
    try:
        index = np.array([[c.split(b"/")[:2] for c in face] for face in padded]).astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise CorruptFileError(
            f"{path}: expected face corners as vertex/texture ({error})"
        ) from error
    vertices, uv = _table(path, lines, b"v ", 3), _table(path, lines, b"vt ", 2)
    for name, part, size in (("vertex", 0, len(vertices)), ("texture", 1, len(uv))):
        used = index[..., part]
        if used.min() < 0 or (used[:, :3] < 1).any() or used.max() > size:
            raise CorruptFileError(f"{path}: a face asks for a {name} that is not in 1 to {size}")
    return ObjMesh(vertices, uv, index[..., 0] - 1, index[..., 1] - 1)


def read_obj_vertices(path: Path, count: int) -> np.ndarray:
    """The ``count`` vertices of a file, (count, 3) float32; its faces are not looked at."""
    vertices = _table(path, _lines(path), b"v ", 3)
    if len(vertices) != count:
        raise CorruptFileError(f"{path}: expected {count} vertices, got {len(vertices)}")
    return vertices


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _table(path: Path, lines: list[bytes], keyword: bytes, columns: int) -> np.ndarray:
    """The first ``columns`` numbers of every line that begins with ``keyword``."""
    rows = [line for line in lines if line.startswith(keyword)]
    word = keyword.decode().strip()
    try:
        table = (
            np.loadtxt(rows, usecols=range(1, 1 + columns), ndmin=2)
            if rows
            else np.zeros((0, columns))
        )
        return array_of(f"{path}: lines '{word}'", table, ("V", columns))
    except InvalidInputError as error:
        raise CorruptFileError(str(error)) from error
    except ValueError as error:
        raise CorruptFileError(f"{path}: lines '{word}': expected {columns} numbers") from error
