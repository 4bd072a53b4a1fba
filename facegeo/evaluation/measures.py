"""Error measures. Pure functions on arrays."""

from __future__ import annotations

import numpy as np

from facegeo.conventions import AFLW21_FROM_68, NUM_LANDMARKS

#: Ranges of |yaw| in degrees that the papers report: upper ends, each belongs to its range.
YAW_BINS: dict[str, tuple[float, float]] = {
    "0-30": (-1, 30),
    "30-60": (30, 60),
    "60-90": (60, np.inf),
}

#: Photos with an angle beyond this are left out of orientation errors.
LARGEST_ANGLE_DEG = 99.0


def normalised_mean_error(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """NME of 2D points, in percent.

    Parameters
    ----------
    predicted, truth : (N, K, 2) float
        Photo pixels.

    Returns
    -------
    nme : (N,) float64
        Mean distance / sqrt(width x height) of the box around the true points, times 100.
    """
    truth = np.asarray(truth, np.float64)
    distance = np.linalg.norm(predicted - truth, axis=2).mean(axis=1)
    return np.asarray(100 * distance / box_size(truth))


def box_size(points: np.ndarray) -> np.ndarray:
    """sqrt(width x height), ``(N,)`` float64, of the boxes around ``(N, K, 2)`` points."""
    extent = np.ptp(np.asarray(points, np.float64), axis=1)
    return np.sqrt(extent.prod(axis=1))


def visible_error(
    predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """NME, in percent, over the points that are visible.

    Parameters
    ----------
    predicted, truth : (N, K, 2) float
        Photo pixels.
    visible : (N, K) bool
        At least one a face.
    size : (N,) float
        What the mean distance is divided by, photo pixels.

    Returns
    -------
    nme : (N,) float64
    """
    distance = np.linalg.norm(np.asarray(predicted, np.float64) - truth, axis=2)
    mean = np.where(visible, distance, 0).sum(axis=1) / visible.sum(axis=1)
    return np.asarray(100 * mean / size)


def points_21(points: np.ndarray) -> np.ndarray:
    """AFLW's 21 points of 68, along the last axis but one."""
    mix = np.zeros((len(AFLW21_FROM_68), NUM_LANDMARKS))
    for row, members in zip(mix, AFLW21_FROM_68, strict=True):
        row[list(members)] = 1 / len(members)
    return mix @ points


def in_range(yaw_deg: np.ndarray, name: str) -> np.ndarray:
    """Mask of the faces that belong to a range of :data:`YAW_BINS`, ``(N,)`` bool."""
    low, high = YAW_BINS[name]
    yaw = np.abs(yaw_deg)
    return np.asarray((yaw > low) & (yaw <= high))


def by_yaw(errors: np.ndarray, yaw_deg: np.ndarray) -> dict[str, float]:
    """Mean error of each range of |yaw|, and the mean of the ranges (the papers' "All").

    A range without photos is NaN, and so is then the mean.
    """
    means = {}
    for name in YAW_BINS:
        chosen = errors[in_range(yaw_deg, name)]
        means[name] = float(chosen.mean()) if len(chosen) else float("nan")
    return means | {"mean_of_bins": float(np.mean(list(means.values())))}


def spread_of_bins(means: dict[str, float]) -> float:
    """Standard deviation of the three ranges' means, from what :func:`by_yaw` returns."""
    return float(np.std([means[name] for name in YAW_BINS]))


def cumulative(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Cumulative error distribution: for each threshold the part of the errors not above it.

    Parameters
    ----------
    errors : (N,) float
        One that is no number counts, and is above every threshold.
    thresholds : (T,) float

    Returns
    -------
    part : (T,) float64
        In 0..1; NaN where there are no errors.
    """
    if len(errors) == 0:
        return np.full(len(thresholds), np.nan)
    finite = np.sort(errors[~np.isnan(errors)])
    return np.searchsorted(finite, thresholds, "right") / len(errors)


def pose_errors(predicted_deg: np.ndarray, truth_deg: np.ndarray) -> dict[str, float]:
    """Mean absolute error of yaw, pitch, roll, as SynergyNet's Table 8 has it.

    Parameters
    ----------
    predicted_deg, truth_deg : (N, 3) float
        Yaw, pitch, roll. Photos whose truth has any angle beyond 99 degrees are left out.

    Returns
    -------
    errors : dict
        ``n`` (photos counted), ``yaw``, ``pitch``, ``roll``, ``mean``; degrees.
    """
    counted = (np.abs(truth_deg) <= LARGEST_ANGLE_DEG).all(axis=1)
    error = np.abs(predicted_deg[counted] - truth_deg[counted]).mean(axis=0)
    yaw, pitch, roll = map(float, error)
    return {
        "n": int(counted.sum()),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "mean": float(error.mean()),
    }


def eye_aspect_ratio(points: np.ndarray) -> np.ndarray:
    """Opening of both eyes over their width (Soukupova and Cech 2016, equation 1).

    Parameters
    ----------
    points : (N, 68, 2 or more) float

    Returns
    -------
    ratio : (N, 2) float64
        The eye of points 36 to 41, and that of 42 to 47; about 0.3 where open, below 0.15 shut.
    """
    eyes = np.asarray(points, np.float64)[:, 36:48, :2].reshape(-1, 2, 6, 2)

    def apart(one: int, other: int) -> np.ndarray:
        return np.asarray(np.linalg.norm(eyes[:, :, one] - eyes[:, :, other], axis=2))

    return (apart(1, 5) + apart(2, 4)) / (2 * np.maximum(apart(0, 3), 1e-9))


def within_ellipse(errors: np.ndarray, covariance: np.ndarray, part: float = 0.9) -> np.ndarray:
    """Mask ``(...)`` of errors that lie in the ellipse which holds a part of a normal distribution.

    Parameters
    ----------
    errors : (..., 2) float
    covariance : (..., 3) float
        xx, xy, yy, in the errors' unit squared.
    part : float
        Between 0 and 1: the squared Mahalanobis distance is at most -2 log(1 - part).
    """
    xx, xy, yy = np.moveaxis(np.asarray(covariance, np.float64), -1, 0)
    x, y = np.moveaxis(np.asarray(errors, np.float64), -1, 0)
    distance = (yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy)
    return np.asarray(distance <= -2 * np.log(1 - part))


def roc_area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties as a half.

    Parameters
    ----------
    positive, negative : (N,), (M,) float
        Scores; neither may be empty.
    """
    order = np.sort(np.asarray(negative, np.float64))
    below = np.searchsorted(order, positive, "left")
    not_above = np.searchsorted(order, positive, "right")
    return float((below + not_above).mean() / (2 * len(order)))
