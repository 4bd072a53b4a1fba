"""face3d: ``BFM.mat``, the Basel model with FaceWarehouse expressions in one MATLAB struct."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegeo.base.arrays import describe
from facegeo.base.matlab import load_matlab
from facegeo.errors import CorruptFileError
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

_FLAT = 3 * BASEL_VERTICES


def read_face3d(path: Path) -> MorphableModel:
    """Mean, 199 + 29 bases, triangles and landmark rows; micrometres.

    Parameters
    ----------
    path : path
        ``BFM.mat`` or its folder.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the file is missing or holds something else; the message names file and key.
    """
    path = find_file(path, "BFM.mat") if path.is_dir() else path
    model = _struct(path, load_matlab(path, keys=("model",)))
    mean = points_from_flat(
        entry(path, model, "shapeMU", (_FLAT, 1)) + entry(path, model, "expMU", (_FLAT, 1))
    )
    shape = entry(path, model, "shapePC", (_FLAT, "M"))
    expression = entry(path, model, "expPC", (_FLAT, "M"))
    tri = one_based(path, model, "tri", (3, BASEL_TRIANGLES), BASEL_VERTICES)
    keypoints = one_based(path, model, "kpt_ind", (1, 68), BASEL_VERTICES)
    return MorphableModel(
        name="face3d",
        unit_mm=BASEL_UNIT_MM,
        mean=mean,
        shape_basis=basis_from_flat(shape),
        expression_basis=basis_from_flat(expression),
        triangles=facing_outward(mean, tri.T),
        landmark_rows=keypoints.ravel(),
        shape_std=entry(path, model, "shapeEV", (shape.shape[1], 1)).ravel(),
        expression_std=entry(path, model, "expEV", (expression.shape[1], 1)).ravel(),
    )


def _struct(path: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the 1x1 struct ``model``."""
    if "model" not in arrays:
        raise CorruptFileError(f"{path}: key 'model' is missing")
    struct = arrays["model"]
    if struct.shape != (1, 1) or struct.dtype.names is None:
        raise CorruptFileError(f"{path}: key 'model': expected one struct, got {describe(struct)}")
    return {field: struct[field][0, 0] for field in struct.dtype.names}
