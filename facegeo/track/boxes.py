"""Boxes of one frame against boxes of the next. Pure functions on ``(N, 4)`` ``xyxy`` arrays."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union.

    Parameters
    ----------
    a : (N, 4) float
    b : (M, 4) float

    Returns
    -------
    iou : (N, M) float64
        0..1.
    """
    shared, area_a, area_b = _areas(a, b)
    return shared / np.maximum(area_a + area_b - shared, 1e-9)


def shares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over the smaller box: 1 where one lies in the other; see :func:`overlaps`."""
    shared, area_a, area_b = _areas(a, b)
    return shared / np.maximum(np.minimum(area_a, area_b), 1e-9)


def _areas(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the intersections (N, M), and of the boxes (N, 1) and (1, M)."""
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(axis=2) for x in (a, b))
    return np.clip(high - low, 0, None).prod(axis=2), area_a, area_b


def assign(a: np.ndarray, b: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs of boxes with the largest sum of overlaps, each box in one pair at most.

    Parameters
    ----------
    least : float
        Pairs that overlap less are no pairs.

    Returns
    -------
    pairs : list of (index into a, index into b)
    """
    return assign_by(overlaps(a, b), least)


def assign_by(iou: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs as of :func:`assign`, from overlaps ``(N, M)``."""
    iou = np.where(iou < least, 0, iou)  # else a hopeless pair could cost a good one
    rows, columns = linear_sum_assignment(-iou)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if iou[i, j] >= least > 0]


def grow(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes scaled about their centres."""
    boxes = np.asarray(boxes, np.float32)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    return np.concatenate([centre - half, centre + half], axis=1)


def steady(new: np.ndarray, old: np.ndarray, slack: float) -> np.ndarray:
    """Regions that move only when they must.

    A region that follows its own landmarks feeds their noise back into the next crop: on a still
    photo it triples the jitter. The old region is kept while the new one differs little.

    Parameters
    ----------
    new, old : (N, 4) float
    slack : float
        Largest difference of a corner, as a part of the old region's side.

    Returns
    -------
    regions : (N, 4) float
    """
    side = (old[:, 2:] - old[:, :2]).max(axis=1, keepdims=True)
    keep = (np.abs(new - old) <= slack * side).all(axis=1, keepdims=True)
    return np.where(keep, old, new)


def sizes(boxes: np.ndarray) -> np.ndarray:
    """Mean of width and height, (N,)."""
    boxes = np.asarray(boxes)
    return (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)


def centres(boxes: np.ndarray) -> np.ndarray:
    """(N, 2)."""
    boxes = np.asarray(boxes)
    return (boxes[:, :2] + boxes[:, 2:]) / 2
