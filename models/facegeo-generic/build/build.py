"""From the drawing to the file: surface, cage, modes, subdivision, eyeballs, landmarks, archive."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from facegeo.base.files import write_bytes
from facegeo.morphable.archive import encoded_basis

from . import controls, regions
from .cage import Cage, build_cage
from .expression_modes import EXPRESSION_MODES
from .eyeballs import eyeball
from .fields import Canvas
from .landmarks import LANDMARKS_LEFT, complete_by_mirror, landmark_rows
from .shape_modes import SHAPE_MODES
from .subdivision import loop_matrix, mirror_of_edges
from .surface import fit_surface

NAME = "facegeo-generic"
FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class _Skin:
    """The subdivided skin: everything without the eyeballs."""

    points: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    chart: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    cage: Cage


def _reflected(field: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return field[..., mirror, :] * FLIP


def _fields(canvas: Canvas, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape ``(40, C, 3)`` and expression ``(10, C, 3)`` on the cage, exactly mirrored."""
    shape = []
    for mode in SHAPE_MODES:
        field = mode.field(canvas)
        sign = -1.0 if mode.odd else 1.0
        shape.append(0.5 * (field + sign * _reflected(field, mirror)))
    named = {mode.name: mode.field(canvas) for mode in EXPRESSION_MODES}
    expression = [
        0.5 * (named[mode.name] + mode.sign * _reflected(named[mode.twin], mirror))
        for mode in EXPRESSION_MODES
    ]
    return np.stack(shape), np.stack(expression)


def _spread(matrix: sparse.csr_matrix, stack: np.ndarray) -> np.ndarray:
    """Apply a subdivision to ``(n, C, 3)``."""
    count, points, _ = stack.shape
    flat = matrix @ stack.transpose(1, 0, 2).reshape(points, count * 3)
    return np.asarray(flat.reshape(-1, count, 3).transpose(1, 0, 2))


def _build_skin() -> _Skin:
    surface = fit_surface(*controls.average_controls())
    cage = build_cage(surface)
    points = surface(cage.chart)
    points = 0.5 * (points + _reflected(points, cage.mirror))
    shape, expression = _fields(Canvas(cage.chart, points), cage.mirror)
    matrix, triangles = loop_matrix(cage.triangles, len(points))
    return _Skin(
        points=matrix @ points,
        shape=_spread(matrix, shape),
        expression=_spread(matrix, expression),
        chart=matrix @ cage.chart,
        triangles=triangles,
        mirror=mirror_of_edges(cage.triangles, cage.mirror),
        cage=cage,
    )


def _landmarks(skin: _Skin) -> np.ndarray:
    """Rows of the 68 points. Those on a rim or border are sought along it only."""
    rows, count = skin.cage.rows, len(skin.cage.chart)
    masks = regions.skin_regions(skin.cage, skin.chart)
    old = np.arange(len(skin.points)) < count
    outer = np.flatnonzero(masks["face"] & old & (skin.chart[:, 0] >= 0))
    middle = np.flatnonzero(old & (np.abs(skin.chart[:, 0]) < 1e-9))
    edge = rows["lip_edge"]
    half = (len(edge) + 1) // 2
    along = {
        **dict.fromkeys(range(42, 48), rows["lid_margin"]),
        **dict.fromkeys((52, 53), rows["upper_red"]),
        **dict.fromkeys((55, 56), rows["lower_red"]),
        54: edge[half - 1 : half],
        **dict.fromkeys((63, 64), edge[: half - 1]),
        65: edge[half:],
        **dict.fromkeys((8, 27, 28, 29, 30, 33), middle),
        51: rows["upper_red"][:1],
        57: rows["lower_red"][:1],
        62: edge[:1],
        66: edge[-1:],
    }
    candidates = {index: along.get(index, outer) for index in LANDMARKS_LEFT}
    return complete_by_mirror(landmark_rows(skin.points, candidates), skin.mirror)


def _eye_modes(skin: _Skin, rim: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """Shape modes ``(40, n, 3)`` of an eyeball ``(n, 3)`` behind the lash line of rows ``rim``.

    It moves with its lids' mean and widens with their length, so that no gap opens at a corner.
    """
    moved = skin.shape[:, rim]
    mean = moved.mean(1, keepdims=True)
    x = skin.points[rim, 0] - skin.points[rim, 0].mean()
    widening = (moved[..., 0] @ x) / (x @ x)
    modes = np.repeat(mean, len(ball), axis=1)
    modes[..., 0] += widening[:, None] * (ball[:, 0] - 0.5 * (ball[:, 0].min() + ball[:, 0].max()))
    return modes


def _eyes(skin: _Skin) -> dict[str, np.ndarray]:
    """Both eyeballs, the right the mirror image of the left."""
    points, triangles = eyeball()
    rim = skin.cage.rows["lid_margin"]
    n = len(points)
    left = _eye_modes(skin, rim, points)
    right = _eye_modes(skin, skin.cage.mirror[rim], points * FLIP)
    chart = regions.eyeball_chart(points)
    return {
        "points": np.concatenate([points, points * FLIP]),
        "shape": np.concatenate([left, right], axis=1),
        "triangles": np.concatenate([triangles, triangles[:, [0, 2, 1]] + n]),
        "chart": np.concatenate([chart, chart * [-1, 1]]),
        "mirror": np.concatenate([np.arange(n, 2 * n), np.arange(n)]),
    }


def _mirror_modes() -> dict[str, np.ndarray]:
    names = [mode.name for mode in EXPRESSION_MODES]
    return {
        "mirror/shape_index": np.arange(len(SHAPE_MODES), dtype=np.int64),
        "mirror/shape_sign": np.array([-1 if m.odd else 1 for m in SHAPE_MODES], np.float32),
        "mirror/expression_index": np.array([names.index(m.twin) for m in EXPRESSION_MODES]),
        "mirror/expression_sign": np.array([m.sign for m in EXPRESSION_MODES], np.float32),
    }


def _regions(skin: _Skin, per_eye: int) -> dict[str, np.ndarray]:
    masks = regions.skin_regions(skin.cage, skin.chart)
    none = np.zeros(2 * per_eye, bool)
    found = {f"region/{name}": np.concatenate([mask, none]) for name, mask in masks.items()}
    count = len(skin.points)
    for name, first in (("left_eyeball", count), ("right_eyeball", count + per_eye)):
        mask = np.zeros(count + 2 * per_eye, bool)
        mask[first : first + per_eye] = True
        found[f"region/{name}"] = mask
    return found


def build_generic() -> dict[str, Any]:
    """Compute the default model from the drawing and the mode tables of this package.

    Deterministic: the same arrays, bit for bit, each time on one machine. Takes about 15 s.

    Returns
    -------
    dict of str to array
        The arrays of a facegeo morphable-model archive, bases in float32. Model frame: x to the
        right in the picture, y up, z to the viewer; millimetres; origin between the eyeballs.
    """
    skin = _build_skin()
    eyes = _eyes(skin)
    per_eye = len(eyes["points"]) // 2
    still = np.zeros((len(EXPRESSION_MODES), 2 * per_eye, 3))
    count = len(skin.points)
    mirror = np.concatenate([skin.mirror, eyes["mirror"] + count])
    return {
        "format": np.array("facegeo-morphable-model"),
        "format_version": np.array(1),
        "name": np.array(NAME),
        "unit_mm": np.array(1.0),
        "mean": np.concatenate([skin.points, eyes["points"]]).astype(np.float32),
        "shape_basis": np.concatenate([skin.shape, eyes["shape"]], axis=1).astype(np.float32),
        "expression_basis": np.concatenate([skin.expression, still], axis=1).astype(np.float32),
        "triangles": np.concatenate([skin.triangles, eyes["triangles"] + count]).astype(np.int32),
        "landmark_rows": _landmarks(skin),
        "uv": regions.texture_coordinates(np.concatenate([skin.chart, eyes["chart"]])).astype(
            np.float32
        ),
        "shape_names": np.array([mode.name for mode in SHAPE_MODES]),
        "expression_names": np.array([mode.name for mode in EXPRESSION_MODES]),
        **_regions(skin, per_eye),
        "mirror/vertices": mirror.astype(np.int64),
        **_mirror_modes(),
    }


def write_generic(path: str | Path) -> Path:
    """Build the default model and write its archive; an existing file is replaced in one step.

    Raises
    ------
    OutputError
        If the file cannot be written; one that was there before is unchanged.
    """
    arrays = build_generic()
    for name in ("shape_basis", "expression_basis"):
        arrays |= encoded_basis(name, arrays[name], "int16")
    path = Path(path)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())
    return path
