"""A small head kept as a cage: a ball of quads with smooth modes, as the file's arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.morphable.archive import encoded_basis
from facegeo.morphable.subdivision import subdivide

NUM_SHAPE, NUM_EXPRESSION = 5, 4


def ball(side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A cube of ``side`` quads an edge, blown up: vertices (C, 3) of length 1, quads (Q, 4)."""
    ticks = np.linspace(-1, 1, side + 1)
    corners, quads = [], []
    for axis in range(3):
        for sign in (-1, 1):
            a, b = np.meshgrid(ticks, ticks, indexing="ij")
            points = np.empty((side + 1, side + 1, 3))
            points[..., axis] = sign
            points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = a, b
            index = np.arange((side + 1) ** 2).reshape(side + 1, side + 1)
            index = index + sum(map(len, corners))
            quad = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1)
            quads.append(quad.reshape(-1, 4)[:, ::sign])
            corners.append(points.reshape(-1, 3))
    unique, inverse = np.unique(np.concatenate(corners).round(6), axis=0, return_inverse=True)
    faces = inverse.ravel()[np.concatenate(quads)]
    return unique / np.linalg.norm(unique, axis=1, keepdims=True), faces


def cage_arrays(side: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a file; the front is subdivided twice, and expressions move a part of it."""
    rng = np.random.default_rng(seed)
    unit, faces = ball(side)
    mirror = np.array(
        [int(np.abs(unit - point * (-1, 1, 1)).sum(axis=1).argmin()) for point in unit]
    )
    mean = (unit * (70, 100, 80)).astype(np.float32)
    modes, signs = [], []
    for mode in range(NUM_SHAPE + NUM_EXPRESSION):
        wave = np.sin(unit @ rng.normal(size=(3, 3)) * 2 + rng.normal(size=3)) * 5
        if mode >= NUM_SHAPE:
            wave *= (unit @ (0, np.cos(mode), np.sin(mode)) > 0.6)[:, None]
        sign = -1 if mode % 3 == 1 and mode < NUM_SHAPE else 1
        modes.append((wave + sign * wave[mirror] * (-1, 1, 1)) / 2)
        signs.append(sign)
    levels = np.where(unit[faces].mean(axis=1)[:, 2] > 0.2, 2, 1)
    points = subdivide(faces, levels, len(unit)).matrix
    arrays: dict[str, np.ndarray] = {
        "format": np.array("facegeo-morphable-model"),
        "format_version": np.array(2),
        "name": np.array("ball"),
        "unit_mm": np.array(1.0),
        "cage/mean": mean,
        "cage/faces": faces.astype(np.int32),
        "cage/part": (unit[faces].mean(axis=1)[:, 1] > 0.5).astype(np.uint8),
        "part_names": np.array(["lower", "cap"]),
        "subdivide": levels.astype(np.uint8),
        "cage/uv": ((unit[:, :2] + 1) / 2).astype(np.float32),
        "cage/uv_faces": faces.astype(np.int32),
        "regions/front": unit[:, 2] > 0,
        "mirror/vertices": mirror,
        "mirror/shape_index": np.arange(NUM_SHAPE),
        "mirror/shape_sign": np.array(signs[:NUM_SHAPE], np.float32),
        "mirror/expression_index": np.arange(NUM_EXPRESSION),
        "mirror/expression_sign": np.array(signs[NUM_SHAPE:], np.float32),
        "shape_names": np.array([f"shape{k}" for k in range(NUM_SHAPE)]),
        "expression_names": np.array([f"move{k}" for k in range(NUM_EXPRESSION)]),
        "shape_std": np.ones(NUM_SHAPE, np.float32),
        "expression_std": np.full(NUM_EXPRESSION, 0.35, np.float32),
    }
    for kind, part in (("shape", modes[:NUM_SHAPE]), ("expression", modes[NUM_SHAPE:])):
        basis = np.array(part, np.float32)
        stored = encoded_basis("basis", basis, "int16")
        arrays[f"cage/{kind}_basis"] = stored["basis"]
        arrays[f"cage/{kind}_scale"] = stored["basis_scale"]
    fine = points @ mean
    for name, rows in (("ibug68", _landmark_rows(fine, rng)), ("crown", fine[:, 1].argsort()[-9:])):
        stencils = points[rows].tocsr()
        arrays[f"landmarks/{name}/rows"] = np.asarray(rows, np.int32)
        arrays[f"landmarks/{name}/indptr"] = stencils.indptr.astype(np.int32)
        arrays[f"landmarks/{name}/indices"] = stencils.indices.astype(np.int32)
        arrays[f"landmarks/{name}/weights"] = stencils.data.astype(np.float32)
    return arrays


def _landmark_rows(fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """68 rows of the front in pairs, as a face's lie."""
    front = np.flatnonzero((fine[:, 2] > 20) & (fine[:, 0] > 3))
    rows = np.full(68, -1)
    pairs = np.flatnonzero(np.arange(68) < LANDMARK_MIRROR)
    rows[pairs] = rng.choice(front, len(pairs), replace=False)
    for a in pairs:
        rows[LANDMARK_MIRROR[a]] = np.abs(fine - fine[rows[a]] * (-1, 1, 1)).sum(axis=1).argmin()
    middle = np.flatnonzero((np.abs(fine[:, 0]) < 1e-3) & (fine[:, 2] > 20))
    alone = np.flatnonzero(rows < 0)
    rows[alone] = rng.choice(middle, len(alone), replace=False)
    return rows


def write_cage(path: Path, **changes: np.ndarray | None) -> Path:
    """The file, with other arrays, or without those that are None."""
    arrays = cage_arrays() | {key.replace("__", "/"): value for key, value in changes.items()}
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path
