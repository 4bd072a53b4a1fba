"""Jaw points where a photo shows the face's outline: the silhouette of the posed model.

Annotators of 2D points put the jaw's 17 on the outline that they see. On a turned head that is the
far cheek, before the jaw. A model that knows such outlines has a layout ``silhouette``: for each
jaw point a row of points that runs across the cheek to the jaw point, and beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.errors import InvalidInputError, MissingBasisError
from facegeo.morphable.basis import IBUG68, LandmarkBasis

#: The layout of rows across the jaw.
SILHOUETTE = "silhouette"

Contour = Literal["surface", "silhouette"]

_JAW = slice(LANDMARK_REGIONS["jaw"].start, LANDMARK_REGIONS["jaw"].stop)
#: The outline's direction says which points are on it, and they say its direction: it begins as it
#: is seen from the front.
_ROUNDS = 3
_COUNT = _JAW.stop - _JAW.start


def check_contour(name: str, layouts: Sequence[str], layout: str, contour: str) -> None:
    """Refuse an outline that a layout, or a model of that name and with these layouts, has not.

    Raises
    ------
    InvalidInputError
        If ``contour`` is not "silhouette", or the layout is not that of the 68 landmarks.
    MissingBasisError
        If the model has no rows across its jaw.
    """
    if contour != "silhouette" or layout != IBUG68:
        raise InvalidInputError(
            f"contour: expected 'surface', or 'silhouette' with layout {IBUG68!r}, "
            f"got {contour!r} with {layout!r}"
        )
    if SILHOUETTE not in layouts:
        raise MissingBasisError(
            f"model {name!r} has no layout {SILHOUETTE!r}, rows across its jaw, of which "
            "contour='silhouette' picks points; MorphableModel.default() has it"
        )


def outline_landmarks(
    basis: LandmarkBasis,
    rows: LandmarkBasis,
    shape: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
) -> np.ndarray:
    """The 68 landmarks with the jaw's on the silhouette.

    Parameters
    ----------
    basis : LandmarkBasis
        At the 68 landmarks.
    rows : LandmarkBasis
        At the points of the layout ``silhouette``, row after row.
    shape : (N, Ns) float32
    expression : (N, Ne) float32
    pose : (N, 3, 4) float32
        Model units to a frame whose x and y are the image's.

    Returns
    -------
    landmarks : (N, 68, 3) float32

    Raises
    ------
    InvalidInputError
        If there are not 17 rows of as many points.
    """
    own = _own_columns(basis, rows)
    landmarks = basis.points(shape, expression, pose)
    candidates = rows.points(shape, expression, pose)
    candidates = candidates.reshape(len(shape), _COUNT, len(rows.mean) // _COUNT, 3)
    # What lies beyond a jaw point is neck, or the head before the ear: no outline of the face.
    beyond = np.arange(candidates.shape[2]) > own[:, None]
    picked = np.repeat(basis.mean[None, _JAW], len(shape), axis=0)
    outline = picked[..., :2] @ _upright(pose)
    for _ in range(_ROUNDS):
        reach = np.einsum("nkcd,nkd->nkc", candidates[..., :2], _outward(outline, pose))
        columns = np.where(beyond, -np.inf, reach).argmax(axis=2)[:, :, None, None]
        picked = np.take_along_axis(candidates, columns, axis=2)[:, :, 0]
        outline = picked[..., :2]
    landmarks[:, _JAW] = picked
    return landmarks


def _own_columns(basis: LandmarkBasis, rows: LandmarkBasis) -> np.ndarray:
    """Column of each jaw point in its own row, (17,)."""
    if not len(rows.mean) or len(rows.mean) % _COUNT:
        raise InvalidInputError(
            f"layout {SILHOUETTE!r}: expected {_COUNT} rows of as many points, "
            f"got {len(rows.mean)} points"
        )
    apart = rows.mean.reshape(_COUNT, -1, 3) - basis.mean[_JAW, None]
    columns: np.ndarray = np.linalg.norm(apart, axis=2).argmin(axis=1)
    return columns


def _upright(pose: np.ndarray) -> np.ndarray:
    """Image directions, (N, 2, 2), of right and up as the head leans: they do not turn with yaw."""
    up = pose[:, :2, 1].astype(np.float64)
    up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), np.finfo(float).tiny)
    right = _hand(pose)[:, None] * np.stack([up[:, 1], -up[:, 0]], axis=1)
    return np.stack([right, up], axis=1)


def _outward(outline: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Normals (N, 17, 2) of a curve (N, 17, 2) in the image, from ear to ear over the chin."""
    x, y = np.moveaxis(np.gradient(outline, axis=1), -1, 0)
    return _hand(pose)[:, None, None] * np.stack([y, -x], axis=-1)


def _hand(pose: np.ndarray) -> np.ndarray:
    """(N,): -1 where y is down in the image, 1 where it is up."""
    return np.asarray(np.sign(np.linalg.det(pose[:, :, :3].astype(np.float64))))
