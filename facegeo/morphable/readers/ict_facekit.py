"""ICT-FaceKit: ``ict_facekit_light.npz``, or the folder ``FaceXModel`` of OBJ files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.json_files import load_json
from facegeo.base.npz import load_npz
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.morphable.model import MorphableModel
from facegeo.morphable.readers._arrays import checked, entry, find_file, triangulated
from facegeo.morphable.readers._obj import read_obj, read_obj_vertices

NUM_SHAPE, NUM_EXPRESSION = 100, 53
_UNIT_MM = 10.0
#: Leading vertices: the face with the ears' front and the neck's top, and its narrow part.
FACE_VERTICES, NARROW_FACE_VERTICES = 9409, 6706
_NEUTRAL, _CONFIG = "generic_neutral_mesh.obj", "vertex_indices.json"
_LIGHT = "ict_facekit_light.npz"
#: Where the project's own folder has the OBJ files.
_INSIDE = "FaceXModel"


def read_ict_facekit(path: Path) -> MorphableModel:
    """Neutral face, 100 identity and 53 expression modes, UV and landmark rows; centimetres.

    Identity coefficients are in standard deviations, expressions in 0..1. The UDIM tiles of the
    texture are laid side by side into one square.

    Parameters
    ----------
    path : path
        ``ict_facekit_light.npz`` or its folder, ``generic_neutral_mesh.obj`` or its folder, or the
        folder of the project. Where both are there, the OBJ files, of full precision, are read.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If a file is missing or holds something else; the message names file and key.
    """
    if path.is_file():
        return _read_folder(path.parent) if path.name == _NEUTRAL else _read_npz(path)
    for folder in (path, path / _INSIDE):
        if (folder / _NEUTRAL).is_file() and (folder / _CONFIG).is_file():
            return _read_folder(folder)
    # The neutral mesh alone, which many keep beside other files, is no model.
    if (path / _LIGHT).is_file():
        return _read_npz(path / _LIGHT)
    inside = path / _INSIDE
    return _read_folder(inside if (inside / _NEUTRAL).is_file() else path)


def _read_npz(path: Path) -> MorphableModel:
    arrays = load_npz(path)
    neutral = entry(path, arrays, "neutral", ("V", 3))
    rows = len(neutral)
    identity = entry(path, arrays, "identity", (NUM_SHAPE, rows, 3))
    expression = entry(path, arrays, "expression", (NUM_EXPRESSION, rows, 3))
    uv = entry(path, arrays, "uv", ("U", 2))
    quads = _quads(path, arrays, "faces", rows)
    uv_quads = _quads(path, arrays, "faces_uv", len(uv))
    if not np.array_equal(quads < 0, uv_quads < 0):
        raise CorruptFileError(f"{path}: keys 'faces' and 'faces_uv' have different polygons")
    return _model(
        path,
        neutral=neutral,
        identity=identity,
        expression=expression,
        quads=quads,
        uv=uv,
        uv_quads=uv_quads,
        landmark_rows=entry(path, arrays, "landmarks68", (68,), "iu"),
        identity_names=_names(path, arrays, "identity_names", NUM_SHAPE),
        expression_names=_names(path, arrays, "expression_names", NUM_EXPRESSION),
    )


def _read_folder(folder: Path) -> MorphableModel:
    config_path = find_file(folder, _CONFIG)
    config = _read_config(config_path)
    identity_names = [f"identity{index:03d}" for index in range(NUM_SHAPE)]
    expression_names = [str(name) for name in config["expressions"]]
    paths = {n: find_file(folder, f"{n}.obj") for n in (*identity_names, *expression_names)}
    neutral_path = find_file(folder, _NEUTRAL)
    mesh = read_obj(neutral_path)

    def offsets(names: list[str]) -> np.ndarray:
        return np.stack(
            [read_obj_vertices(paths[n], len(mesh.vertices)) - mesh.vertices for n in names]
        )

    return _model(
        config_path,
        neutral=mesh.vertices,
        identity=offsets(identity_names),
        expression=offsets(expression_names),
        quads=mesh.quads,
        uv=mesh.uv,
        uv_quads=mesh.uv_quads,
        landmark_rows=checked(
            f"{config_path}: key 'idx_to_landmark_verts'",
            config["idx_to_landmark_verts"],
            (68,),
            "iu",
        ),
        identity_names=tuple(identity_names),
        expression_names=tuple(expression_names),
    )


def _model(
    path: Path,
    *,
    neutral: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    quads: np.ndarray,
    uv: np.ndarray,
    uv_quads: np.ndarray,
    landmark_rows: np.ndarray,
    identity_names: tuple[str, ...],
    expression_names: tuple[str, ...],
) -> MorphableModel:
    row = np.arange(len(neutral))
    try:
        return MorphableModel(
            name="ict-facekit",
            unit_mm=_UNIT_MM,
            mean=neutral,
            shape_basis=identity,
            expression_basis=expression,
            # The head is closed but for the neck, so its quads need no turning round: a reader
            # that turned them by the sign of a volume would be misled by teeth and eyeballs.
            triangles=triangulated(quads),
            landmark_rows=landmark_rows,
            uv=_one_tile(uv),
            uv_triangles=triangulated(uv_quads),
            shape_names=identity_names,
            expression_names=expression_names,
            regions={"face": row < FACE_VERTICES, "narrow_face": row < NARROW_FACE_VERTICES},
        )
    except InvalidInputError as error:
        raise CorruptFileError(f"{path}: {error}") from error


def _one_tile(uv: np.ndarray) -> np.ndarray:
    """UDIM coordinates (tile t spans u from t to t + 1) packed row by row into the unit square."""
    tile = np.floor(uv)
    count = int(tile.max(initial=0)) + 1
    side = int(np.ceil(np.sqrt(count)))
    column, row = tile[:, 0] % side, tile[:, 0] // side
    packed = (uv - tile + np.stack([column, side - 1 - row], axis=1)) / side
    return packed.astype(np.float32)


def _quads(path: Path, arrays: dict[str, Any], key: str, size: int) -> np.ndarray:
    quads = entry(path, arrays, key, ("F", 4), "iu")
    if quads.min(initial=0) < -1 or quads.max(initial=0) >= size or (quads[:, :3] < 0).any():
        raise CorruptFileError(
            f"{path}: key '{key}': expected indices 0 to {size - 1} (-1 in the last column of a "
            f"triangle), got {quads.min()} to {quads.max()}"
        )
    return quads


def _names(path: Path, arrays: dict[str, Any], key: str, count: int) -> tuple[str, ...]:
    names = arrays.get(key)
    if names is None or names.dtype.kind != "U" or names.shape != (count,):
        raise CorruptFileError(f"{path}: key '{key}': expected {count} texts")
    return tuple(names.tolist())


def _read_config(path: Path) -> dict[str, Any]:
    config = load_json(path)
    for key in ("expressions", "idx_to_landmark_verts"):
        if not isinstance(config, dict) or not isinstance(config.get(key), list):
            raise CorruptFileError(f"{path}: key '{key}': expected a list")
    return config
