"""Basel Face Model 2009 with FaceWarehouse expressions, cut to 3DDFA's 53,215 vertices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.matlab import load_matlab
from facegeo.morphable.basis import VertexTexture
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
)

NUM_SHAPE, NUM_EXPRESSION, NUM_TEXTURE = 199, 29, 199
_FULL_VERTICES = 53490
_TEXTURE = ("texMU", "texPC", "texEV")
_REGIONS = ("nose", "eyes", "mouth", "rest")


def read_basel2009(
    folder: Path, num_shape: int = NUM_SHAPE, num_expression: int = NUM_EXPRESSION
) -> MorphableModel:
    """Mean, 199 + 29 bases, triangles, landmark rows, regions and texture; micrometres.

    Coefficients are in micrometres, as in 3DDFA's and 300W-LP's ``Shape_Para`` and ``Exp_Para``;
    ``shape_std`` and ``expression_std`` hold the models' standard deviations. The texture has 199
    modes, in colour values of 0 to 255.

    Parameters
    ----------
    folder : path
        Holds ``01_MorphableModel.mat``, ``model_info.mat`` and ``Model_Exp.mat`` or
        ``Model_Expression.mat``.
    num_shape, num_expression : int
        Modes to keep; 40 and 10 are what the 62 parameters have.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If a file is missing or holds something else; the message names file and key.
    """
    info_path = find_file(folder, "model_info.mat")
    info = load_matlab(info_path, keys=("trimIndex", "tri", "keypoints", "segbin"))
    trim = one_based(info_path, info, "trimIndex", (BASEL_VERTICES, 1), _FULL_VERTICES).ravel()
    triangles = one_based(info_path, info, "tri", (3, BASEL_TRIANGLES), BASEL_VERTICES).T
    keypoints = one_based(info_path, info, "keypoints", (1, 68), BASEL_VERTICES).ravel()

    path = find_file(folder, "01_MorphableModel.mat")
    basel = load_matlab(path, keys=("shapeMU", "shapePC", "shapeEV", *_TEXTURE))
    flat = 3 * _FULL_VERTICES
    mean = points_from_flat(entry(path, basel, "shapeMU", (flat, 1)))[trim]
    shape = entry(path, basel, "shapePC", (flat, NUM_SHAPE))[:, :num_shape]
    shape_std = entry(path, basel, "shapeEV", (NUM_SHAPE, 1)).ravel()
    texture = _texture(path, basel, trim)

    path = find_file(folder, "Model_Exp.mat", "Model_Expression.mat")
    warehouse = load_matlab(path, keys=("mu_exp", "w_exp", "sigma_exp"))
    flat = 3 * BASEL_VERTICES
    mean = mean + points_from_flat(entry(path, warehouse, "mu_exp", (flat, 1)))
    expression = entry(path, warehouse, "w_exp", (flat, NUM_EXPRESSION))[:, :num_expression]
    expression_std = entry(path, warehouse, "sigma_exp", (NUM_EXPRESSION, 1)).ravel()
    return MorphableModel(
        name="basel2009",
        unit_mm=BASEL_UNIT_MM,
        mean=mean,
        shape_basis=basis_from_flat(shape)[:, trim],
        expression_basis=basis_from_flat(expression),
        triangles=facing_outward(mean, triangles),
        landmark_rows=keypoints,
        regions=_regions(info_path, info, trim),
        shape_std=shape_std[:num_shape],
        expression_std=expression_std[:num_expression],
        texture=texture,
    )


def _texture(path: Path, basel: Mapping[str, Any], trim: np.ndarray) -> VertexTexture | None:
    """Colours of the vertices, where the file has them; cut copies of it often do not."""
    if not any(key in basel for key in _TEXTURE):
        return None
    flat = 3 * _FULL_VERTICES
    return VertexTexture(
        mean=points_from_flat(entry(path, basel, "texMU", (flat, 1)))[trim],
        basis=basis_from_flat(entry(path, basel, "texPC", (flat, NUM_TEXTURE)))[:, trim],
        std=entry(path, basel, "texEV", (NUM_TEXTURE, 1)).ravel(),
    )


def _regions(path: Path, info: Mapping[str, Any], trim: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of nose, eyes, mouth and rest, where the file has them."""
    if "segbin" not in info:
        return {}
    masks = entry(path, info, "segbin", (_FULL_VERTICES, len(_REGIONS)), "iufb")
    return {name: masks[trim, column] > 0 for column, name in enumerate(_REGIONS)}
