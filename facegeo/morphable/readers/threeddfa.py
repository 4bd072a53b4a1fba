"""3DDFA (first version): the folder ``train.configs`` and ``visualize/tri.mat``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegeo.base.matlab import load_matlab
from facegeo.errors import UnreadableFileError
from facegeo.morphable.model import MorphableModel
from facegeo.morphable.readers._arrays import (
    BASEL_TRIANGLES,
    BASEL_UNIT_MM,
    BASEL_VERTICES,
    basis_from_flat,
    entry,
    facing_outward,
    find_file,
    one_based,
    points_from_flat,
    read_npy,
    read_pickle,
    rows_from_flat,
)

NUM_SHAPE, NUM_EXPRESSION = 40, 10
_FLAT = 3 * BASEL_VERTICES


def read_3ddfa(
    folder: Path, *, name: str = "3ddfa", uv: np.ndarray | None = None
) -> MorphableModel:
    """Mean, 40 + 10 bases, triangles and landmark rows; micrometres, 53,215 vertices.

    Parameters
    ----------
    folder : path
        ``train.configs``. The triangles are ``tri.mat`` in it or ``../visualize/tri.mat``. With
        ``param_whitening.pkl`` the standard deviations of the coefficients are known.
    uv : (V, 2) float32, optional

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If a file is missing or holds something else; the message names file and key.
    """
    mean_shape = read_npy(find_file(folder, "u_shp.npy"), (_FLAT, 1))
    mean_expression = read_npy(find_file(folder, "u_exp.npy"), (_FLAT, 1))
    shape = read_npy(find_file(folder, "w_shp_sim.npy"), (_FLAT, NUM_SHAPE))
    expression = read_npy(find_file(folder, "w_exp_sim.npy"), (_FLAT, NUM_EXPRESSION))
    keypoints_path = find_file(folder, "keypoints_sim.npy")
    keypoints = read_npy(keypoints_path, (204,), "iu")
    mean = points_from_flat(mean_shape + mean_expression)
    path = _triangles_path(folder)
    tri = one_based(
        path, load_matlab(path, keys=("tri",)), "tri", (3, BASEL_TRIANGLES), BASEL_VERTICES
    )
    shape_std, expression_std = _standard_deviations(folder)
    return MorphableModel(
        name=name,
        unit_mm=BASEL_UNIT_MM,
        mean=mean,
        shape_basis=basis_from_flat(shape),
        expression_basis=basis_from_flat(expression),
        triangles=facing_outward(mean, tri.T),
        landmark_rows=rows_from_flat(str(keypoints_path), keypoints),
        uv=uv,
        shape_std=shape_std,
        expression_std=expression_std,
    )


def _triangles_path(folder: Path) -> Path:
    for path in (folder / "tri.mat", folder.parent / "visualize" / "tri.mat"):
        if path.is_file():
            return path
    raise UnreadableFileError(
        f"{folder}: file tri.mat is missing (looked here and in {folder.parent / 'visualize'})"
    )


def _standard_deviations(folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    path = folder / "param_whitening.pkl"
    if not path.is_file():
        return None, None
    std = entry(path, read_pickle(path), "param_std", (62,))
    return std[12 : 12 + NUM_SHAPE], std[12 + NUM_SHAPE :]
