"""Landmarks of the mean face, picked by eye from renders, as rows of the fine mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.morphable.subdivision import Subdivision

from .cage import PARTS, Cage
from .eyeballs import EYE_VERTICES, IRIS_RIM, PUPIL
from .lids import LeftLids
from .lips import lip_rim

#: iBUG points of the midline and of the person's left (x > 0), millimetres in the model frame.
#: Features were picked by eye from renders. Points of the jaw, brows, bridge of the nose and lids
#: were then spaced evenly and moved along them by what stayed, in the mean, between fits and the
#: points that 3DDFA_V2's mb05 gives for 1,060 of AFLW's training crops. The tip of the nose and
#: the point above it lie lower than that, where the surface of other models' faces is met better.
PICKED = {
    # Jaw: chin to the front of the ear.
    8: (0, -114.4, 17.4), 9: (20.1, -111.8, 11.1), 10: (36.9, -105.2, -5.6),
    11: (49.7, -96.7, -23.0), 12: (60.1, -82.3, -37.4), 13: (67.3, -61.0, -47.1),
    14: (71.5, -43.0, -53.4), 15: (74.2, -26.0, -56.3), 16: (75.8, -5.1, -58.8),
    # Brow, inner to outer end.
    22: (19.2, 16.7, 28.1), 23: (28.3, 19.1, 26.8), 24: (39.1, 19.6, 22.7),
    25: (48.6, 16.8, 15.9), 26: (57.2, 12.0, 3.6),
    # Bridge and base of the nose.
    27: (0, -5.0, 26.4), 28: (0, -18.9, 33.5), 29: (0, -31.9, 42.2), 30: (0, -40.7, 46.4),
    33: (0, -51.6, 34.2), 34: (8.3, -48.4, 31.6), 35: (12.8, -46.5, 28.5),
    # Eye: inner corner, upper lid, outer corner, lower lid.
    42: (20.5, -2.8, 13.2), 43: (28.1, 3.8, 15.4), 44: (39.0, 3.3, 14.9), 45: (44.3, -2.0, 8.1),
    46: (39.4, -4.9, 14.7), 47: (28.5, -5.3, 15.8),
    # Lips: outline, then the line where they meet.
    51: (0, -64.5, 36.8), 52: (5.1, -61.9, 35.6), 53: (16.5, -64.9, 31.1),
    54: (23.5, -73.6, 21.1), 55: (16.0, -82.1, 27.7), 56: (8.3, -85.1, 29.9),
    57: (0, -85.8, 31.0),
    62: (0, -73.4, 29.0), 63: (8.4, -72.7, 28.2), 64: (21.8, -73.6, 21.2),
    65: (5.9, -72.9, 28.2), 66: (0, -73.1, 29.0),
}  # fmt: skip
#: A point belongs to a rim within this distance of its vertices, millimetres.
_RIM_WIDTH = 1.3

#: MediaPipe's first 468 points: places on the mean face. Regions that MediaPipe names (oval, lips,
#: eyes, brows, nose) were put on ours by hand; the others hang between them in its net of edges.
_MEDIAPIPE = Path(__file__).parents[1] / "mediapipe468.csv"
#: Of them, those on the inner rims of the lips, which touch: place alone does not tell them apart.
_UPPER_RIM = (13, 80, 81, 82, 191, 310, 311, 312, 415)
_LOWER_RIM = (14, 87, 88, 95, 178, 317, 318, 324, 402)
#: An iris' right side in the picture, top, left side and bottom among its 8 points. These start
#: at the side towards the ear and go by way of the top.
_IRIS_SIDES = {"right": (4, 2, 0, 6), "left": (0, 2, 4, 6)}

#: Points between two of the jaw's in the contour.
_CONTOUR_STEPS = 4

#: Ends of the rows that cross the jaw at points 8 to 16: on the face (beside mouth, nose and eye,
#: which hide the far cheek where they stand out more), and beyond the jaw, under the chin, on the
#: neck and before the ear, whose rim is no outline of the face.
_ROW_ENDS = {
    8: ((0, -94.7, 30.5), (0, -116.2, -14.0)),
    9: ((11.5, -92.7, 28.5), (14.5, -115.2, -20.0)),
    10: ((21.0, -88.2, 24.5), (29.0, -113.2, -30.0)),
    11: ((26.0, -82.2, 21.5), (42.0, -110.2, -41.0)),
    12: ((29.0, -74.2, 20.0), (55.0, -98.2, -53.0)),
    13: ((27.0, -61.2, 25.0), (64.0, -66.2, -66.0)),
    14: ((24.5, -45.2, 25.5), (74.0, -42.2, -62.5)),
    15: ((26.0, -24.2, 22.0), (75.5, -21.2, -62.5)),
    16: ((50.5, -2.7, 6.0), (76.5, -0.7, -65.0)),
}
#: Middle of the head: outwards is away from it at a point's height, but not below the jaw's.
_DEPTH, _JAW_HEIGHT = -40.0, -79.2
#: How many times farther a vertex beside a row counts, beyond once.
_STRAIGHT = 1.5
_EVENING_ROUNDS = 3
#: Points of a row on the face's side of the jaw, and on the other side.
ROW_STEPS = (11, 3)


def landmark_rows(
    cage: Cage,
    fine: Subdivision,
    mirror: np.ndarray,
    mean: np.ndarray,
    lids: LeftLids,
    below: np.ndarray,
) -> dict[str, np.ndarray]:
    """Rows of every layout by its name.

    Parameters
    ----------
    mirror : (V,) int64
        The fine mesh's mirror permutation.
    mean : (C, 3) float64
        The mean face's cage.
    below : (C,) bool
        Vertices nearer to the lower lip than to the upper.
    """
    surface = fine.matrix @ mean
    outside = _outside(cage, fine)
    lips = _lips(cage, fine, surface, outside, below)
    ibug = _ibug(surface, outside, mirror, lids, lips)
    irises = _irises(cage)
    return {
        "ibug68": ibug,
        "iris": irises,
        "mediapipe478": _mediapipe(surface, outside, irises, lips),
        "contour": _contour(surface, outside, ibug[:17], mirror),
        "silhouette": _silhouette(surface, outside, ibug[:17], mirror),
    }


def _outside(cage: Cage, fine: Subdivision) -> np.ndarray:
    """Rows of the fine mesh on the outer skin."""
    part = cage.part[fine.sources]
    skin = fine.triangles[part == PARTS.index("skin")]
    return np.setdiff1d(skin, fine.triangles[part != PARTS.index("skin")])


def _lips(
    cage: Cage, fine: Subdivision, surface: np.ndarray, outside: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows along the inner rims of the upper and of the lower lip."""
    rim = lip_rim(cage)
    lower_share = fine.matrix @ below.astype(float)
    upper = _near_rim(surface, outside[lower_share[outside] < 0.5], rim[~below[rim]])
    lower = _near_rim(surface, outside[lower_share[outside] > 0.5], rim[below[rim]])
    return upper, lower


def _ibug(
    surface: np.ndarray,
    outside: np.ndarray,
    mirror: np.ndarray,
    lids: LeftLids,
    lips: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    middle = outside[mirror[outside] == outside]
    upper_lip, lower_lip = lips
    along = {
        **dict.fromkeys((42, 43, 44, 45), _near_rim(surface, outside, lids.upper)),
        **dict.fromkeys((46, 47), _near_rim(surface, outside, lids.lower)),
        **dict.fromkeys((8, 27, 28, 29, 30, 33, 51, 57), middle),
        62: np.intersect1d(upper_lip, middle),
        63: upper_lip,
        64: np.union1d(upper_lip, lower_lip),
        65: lower_lip,
        66: np.intersect1d(lower_lip, middle),
    }
    rows = np.full(68, -1, np.int64)
    for index, place in PICKED.items():
        rows[index] = _nearest(surface, along.get(index, outside), np.array(place))
    missing = np.flatnonzero(rows < 0)
    rows[missing] = mirror[rows[LANDMARK_MIRROR[missing]]]
    return rows


def _near_rim(surface: np.ndarray, allowed: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Rows at most the rim's width away from a rim's vertices."""
    distance = np.linalg.norm(surface[allowed][:, None] - surface[rim], axis=2).min(axis=1)
    return np.asarray(allowed[distance < _RIM_WIDTH])


def _nearest(surface: np.ndarray, allowed: np.ndarray, place: np.ndarray) -> int:
    distance = np.linalg.norm(surface[allowed] - place, axis=1)
    return int(allowed[np.argmin(distance)])


def _irises(cage: Cage) -> np.ndarray:
    """Right pupil and 8 points around its iris, then the left's, (18,)."""
    start = len(cage.rows)
    left = start + np.array([PUPIL, *IRIS_RIM])
    return np.concatenate([left + EYE_VERTICES, left])


def _mediapipe(
    surface: np.ndarray,
    outside: np.ndarray,
    irises: np.ndarray,
    lips: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Rows of MediaPipe's 478 points: its face mesh, then middle and four sides of each iris."""
    places = np.loadtxt(_MEDIAPIPE, delimiter=",", skiprows=1)[:, 1:]
    along = dict.fromkeys(_UPPER_RIM, lips[0]) | dict.fromkeys(_LOWER_RIM, lips[1])
    rows = [_nearest(surface, along.get(n, outside), place) for n, place in enumerate(places)]
    right, left = irises.reshape(2, 9)
    for iris, sides in ((right, _IRIS_SIDES["right"]), (left, _IRIS_SIDES["left"])):
        rows += [int(iris[0]), *(int(iris[1 + side]) for side in sides)]
    return np.array(rows)


def _contour(
    surface: np.ndarray, outside: np.ndarray, jaw: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """The jaw's curve from ear to ear, the 17 points and some between each two, (65,)."""
    left = jaw[8:]
    places = [surface[left[0]]]
    for start, end in zip(surface[left[:-1]], surface[left[1:]], strict=True):
        share = np.arange(1, _CONTOUR_STEPS + 1)[:, None] / _CONTOUR_STEPS
        places += list(start + share * (end - start))
    rows = np.array([_nearest(surface, outside, place) for place in places])
    return np.concatenate([mirror[rows[:0:-1]], rows])


def _silhouette(
    surface: np.ndarray, outside: np.ndarray, jaw: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """Rows across the jaw, along which the outline of the turned face may pass each jaw point.

    Returns (17 * 15,), row after row in the order of the jaw points. Each row runs from the face
    outwards; its twelfth point is the jaw's.
    """
    rows = np.empty((17, sum(ROW_STEPS) + 1), np.int64)
    for point, (inner, outer) in _ROW_ENDS.items():
        before = _across(surface, outside, np.array(inner), surface[jaw[point]], ROW_STEPS[0])
        after = _across(surface, outside, surface[jaw[point]], np.array(outer), ROW_STEPS[1])
        rows[point] = [*before, *after[1:]]
        rows[16 - point] = mirror[rows[point]]
    return rows.ravel()


def _across(
    surface: np.ndarray, outside: np.ndarray, start: np.ndarray, end: np.ndarray, steps: int
) -> list[int]:
    """Rows of the fine mesh near even steps over the surface between two places, ends included.

    A vertex beside the way counts as farther than one as far along it, so that rows stay straight.
    """
    places = start + np.linspace(0, 1, steps + 1)[:, None] * (end - start)
    middle = (start + end) / 2
    aside = np.cross(end - start, middle - (0, max(middle[1], _JAW_HEIGHT), _DEPTH))
    stretch = np.eye(3) + _STRAIGHT * np.outer(aside, aside) / (aside @ aside)
    for _ in range(_EVENING_ROUNDS):
        rows = [_nearest(surface @ stretch, outside, place) for place in places @ stretch]
        way = surface[rows]
        length = np.cumsum([0, *np.linalg.norm(np.diff(way, axis=0), axis=1)])
        even = np.linspace(0, length[-1], steps + 1)
        places = np.stack([np.interp(even, length, way[:, axis]) for axis in range(3)], axis=1)
    return rows
