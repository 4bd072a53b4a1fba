"""Places of the 68 iBUG points on the average face."""

from __future__ import annotations

import numpy as np

from facegeo.conventions import LANDMARK_MIRROR

#: Points on the midline and on the person's left (x > 0), ``index: (x, y, z)`` in millimetres.
LANDMARKS_LEFT = {
    # Contour: chin to the front of the ear.
    8: (0, -113.5, 15.0), 9: (17, -110.6, 6), 10: (33, -102, -12), 11: (46, -88, -33),
    12: (55, -71, -47), 13: (61.5, -54, -54), 14: (66, -37, -57), 15: (69, -20, -58),
    16: (70, -2, -58),
    # Brow, inner to outer end.
    22: (14, 20.0, 25), 23: (22.5, 23.8, 23.2), 24: (32.5, 25.4, 19.8), 25: (43.5, 23.6, 13),
    26: (53, 17.5, 2.6),
    # Bridge and base of the nose.
    27: (0, 4, 20.2), 28: (0, -10, 26.7), 29: (0, -23, 35.6), 30: (0, -36, 44.6),
    33: (0, -46.6, 29.4), 34: (7, -48.3, 25.2), 35: (13.2, -47.8, 23.4),
    # Eye: inner corner, upper lid, outer corner, lower lid.
    42: (16.4, -1.6, 8.3), 43: (25.6, 4.6, 12.0), 44: (35.6, 4.7, 12.2), 45: (45.4, 0.7, 4.4),
    46: (36, -5.0, 10.9), 47: (26, -5.1, 11.2),
    # Lips: outline, then the edge where they meet.
    51: (0, -60.6, 30.2), 52: (6, -59.0, 30.0), 53: (15.5, -62.6, 25.4),
    54: (25.8, -67.5, 14.8), 55: (16, -73.2, 21.6), 56: (7.5, -76.5, 26.4), 57: (0, -77.2, 27.6),
    62: (0, -68.1, 28.2), 63: (8.5, -67.4, 26.7), 64: (23.4, -67.5, 16.6),
    65: (8.5, -67.9, 26.1), 66: (0, -68.4, 27.6),
}  # fmt: skip


def landmark_rows(points: np.ndarray, candidates: dict[int, np.ndarray]) -> np.ndarray:
    """Rows of the left half's landmarks: the vertex nearest to each target.

    Parameters
    ----------
    points : (V, 3) float64
        The average face.
    candidates : dict of int to (n,) int64
        The rows among which a landmark is chosen.
    """
    rows = np.full(68, -1, np.int64)
    for index, target in LANDMARKS_LEFT.items():
        allowed = candidates[index]
        distance = np.linalg.norm(points[allowed] - target, axis=1)
        rows[index] = allowed[int(np.argmin(distance))]
    return rows


def complete_by_mirror(rows: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Fill the right half's landmarks with the mirror images of the left half's."""
    missing = np.flatnonzero(rows < 0)
    full = rows.copy()
    full[missing] = mirror[rows[LANDMARK_MIRROR[missing]]]
    return full
