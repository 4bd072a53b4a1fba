"""3DDFA_V2: ``bfm_noneck_v3.pkl`` and ``tri.pkl`` in the folder ``configs``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base import pickles
from facegeo.base.matlab import load_matlab
from facegeo.errors import CorruptFileError
from facegeo.morphable.model import MorphableModel
from facegeo.morphable.readers._arrays import (
    BASEL_UNIT_MM,
    BASEL_VERTICES,
    basis_from_flat,
    checked,
    entry,
    facing_outward,
    find_file,
    points_from_flat,
    read_npy,
    read_pickle,
    rows_from_flat,
)

NUM_SHAPE, NUM_EXPRESSION = 40, 10
_DEFAULT = "bfm_noneck_v3.pkl"
_WHITENING = "param_mean_std_62d_120x120.pkl"


def read_3ddfa_v2(path: Path) -> MorphableModel:
    """Mean, the first 40 + 10 modes, triangles and landmark rows; micrometres.

    Parameters
    ----------
    path : path
        A ``bfm_*.pkl``, or the folder of ``bfm_noneck_v3.pkl``. Its triangles are its own ``tri``
        or ``tri.pkl`` beside it; ``BFM_UV.mat`` with ``indices.npy`` beside it give UV, and
        ``param_mean_std_62d_120x120.pkl`` the standard deviations of the coefficients.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If a file is missing or holds something else; the message names file and key.
    """
    path = find_file(path, _DEFAULT) if path.is_dir() else path
    arrays = read_pickle(path)
    mean = _mean(path, arrays)
    shape = _leading_modes(path, arrays, "w_shp", mean.size, NUM_SHAPE)
    expression = _leading_modes(path, arrays, "w_exp", mean.size, NUM_EXPRESSION)
    keypoints = entry(path, arrays, "keypoints", (204,), "iu")
    shape_std, expression_std = _standard_deviations(path.parent)
    return MorphableModel(
        name="3ddfa_v2",
        unit_mm=BASEL_UNIT_MM,
        mean=mean,
        shape_basis=shape,
        expression_basis=expression,
        triangles=facing_outward(mean, _triangles(path, arrays, len(mean))),
        landmark_rows=rows_from_flat(f"{path}: key 'keypoints'", keypoints),
        uv=_texture_coordinates(path.parent, len(mean)),
        shape_std=shape_std,
        expression_std=expression_std,
    )


def _mean(path: Path, arrays: Mapping[str, Any]) -> np.ndarray:
    flat = entry(path, arrays, "u", ("3V", 1))
    if len(flat) % 3:
        raise CorruptFileError(f"{path}: key 'u': expected 3 numbers a vertex, got {len(flat)}")
    return points_from_flat(flat)


def _leading_modes(
    path: Path, arrays: Mapping[str, Any], key: str, rows: int, count: int
) -> np.ndarray:
    modes = entry(path, arrays, key, (rows, "M"))
    if modes.shape[1] < count:
        raise CorruptFileError(
            f"{path}: key '{key}': expected at least {count} columns, got {modes.shape[1]}"
        )
    return basis_from_flat(modes[:, :count])


def _triangles(path: Path, arrays: Mapping[str, Any], num_vertices: int) -> np.ndarray:
    if "tri" in arrays:
        place, tri = f"{path}: key 'tri'", np.asarray(arrays["tri"])
    else:
        place = str(find_file(path.parent, "tri.pkl"))
        tri = np.asarray(pickles.load(place))
    # One file of the project has a triangle a column, another a triangle a row.
    triangles = checked(place, tri.T if tri.shape[:1] == (3,) else tri, ("F", 3), "iu")
    if triangles.min(initial=0) < 0 or triangles.max(initial=0) >= num_vertices:
        raise CorruptFileError(
            f"{place}: expected indices 0 to {num_vertices - 1}, "
            f"got {triangles.min()} to {triangles.max()}"
        )
    return triangles


def _texture_coordinates(folder: Path, num_vertices: int) -> np.ndarray | None:
    """UV of the whole Basel face, cut to this mesh's vertices."""
    uv_path, index_path = folder / "BFM_UV.mat", folder / "indices.npy"
    if not (uv_path.is_file() and index_path.is_file()):
        return None
    uv = entry(uv_path, load_matlab(uv_path, keys=("UV",)), "UV", (BASEL_VERTICES, 2))
    indices = read_npy(index_path, ("V",), "iu")
    if len(indices) != num_vertices:  # the indices of another mesh of the project
        return None
    if indices.min() < 0 or indices.max() >= BASEL_VERTICES:
        raise CorruptFileError(
            f"{index_path}: expected indices 0 to {BASEL_VERTICES - 1}, "
            f"got {indices.min()} to {indices.max()}"
        )
    return uv[indices]


def _standard_deviations(folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    path = folder / _WHITENING
    if not path.is_file():
        return None, None
    std = entry(path, read_pickle(path), "std", (62,))
    return std[12 : 12 + NUM_SHAPE], std[12 + NUM_SHAPE :]
