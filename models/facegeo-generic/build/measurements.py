"""Facial measurements of adults: the averages the face is drawn to, the spreads of its modes.

Source of every number in :data:`MEASUREMENTS`: from memory. They are rounded figures for adult men
and women taken together, of the size that textbooks of facial anthropometry give for European
faces; they were written down by heart and not checked against a table, so no work is cited for
them. The same holds for the sphere of the eyeball (radius 12 mm) in
:mod:`controls`. Nothing here was measured on scans, photographs or another model.

Names of points are those of anthropometry: sn subnasale, n nasion, gn gnathion, prn pronasale,
zy zygion, go gonion, en and ex the inner and outer corners of the eye, al alare, ch cheilion,
sto stomion, t the front of the ear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FROM_MEMORY = "from memory, not checked against a table"

#: Places of the points on the average face, millimetres; ``_l`` is the person's left.
POINTS: dict[str, tuple[float, float, float]] = {
    "n": (0, 5.5, 20.4),
    "prn": (0, -36, 44.6),
    "sn": (0, -46.8, 28.6),
    "sto": (0, -68.1, 28.2),
    "gn": (0, -113, 16),
    "zy_l": (67.6, -24, -36),
    "go_l": (51.5, -78, -46),
    "en_l": (16.3, -1.6, 8.3),
    "ex_l": (45.8, 0.7, 4.2),
    "al_l": (17.2, -41, 25.6),
    "ch_l": (25.8, -67.5, 14.8),
    "t_l": (70.6, -14, -68),
    "lid_upper_l": (30.5, 5.1, 12.8),
    "lid_lower_l": (30.5, -5.4, 11.7),
}


@dataclass(frozen=True)
class Measurement:
    """A distance between two points.

    Attributes
    ----------
    between : (str, str)
        Names in :data:`POINTS`; ``_r`` is the mirror image of ``_l``.
    mean_mm, spread_mm : float
        Average and standard deviation over adults.
    source : str
        Where the two numbers come from.
    """

    name: str
    between: tuple[str, str]
    mean_mm: float
    spread_mm: float
    source: str = FROM_MEMORY


MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("face width, zy-zy", ("zy_l", "zy_r"), 135, 6.0),
    Measurement("jaw width, go-go", ("go_l", "go_r"), 103, 6.5),
    Measurement("face height, n-gn", ("n", "gn"), 118, 6.5),
    Measurement("lower face height, sn-gn", ("sn", "gn"), 67, 5.0),
    Measurement("nose height, n-sn", ("n", "sn"), 52, 3.6),
    Measurement("nose width, al-al", ("al_l", "al_r"), 34, 2.8),
    Measurement("nose protrusion, sn-prn", ("sn", "prn"), 19.5, 2.0),
    Measurement("between the eyes, en-en", ("en_l", "en_r"), 32.5, 2.7),
    Measurement("across the eyes, ex-ex", ("ex_l", "ex_r"), 91, 4.2),
    Measurement("length of the eye, en-ex", ("en_l", "ex_l"), 30.5, 1.6),
    Measurement("opening of the eye", ("lid_upper_l", "lid_lower_l"), 10.5, 1.2),
    Measurement("mouth width, ch-ch", ("ch_l", "ch_r"), 51, 3.8),
    Measurement("upper lip, sn-sto", ("sn", "sto"), 21.5, 2.3),
    Measurement("chin, sto-gn", ("sto", "gn"), 46.5, 3.8),
    Measurement("depth, t-n", ("t_l", "n"), 116, 5.5),
    Measurement("depth, t-sn", ("t_l", "sn"), 125, 6.0),
    Measurement("depth, t-gn", ("t_l", "gn"), 147, 7.0),
)


def point_rows(mean: np.ndarray, mirror: np.ndarray) -> dict[str, int]:
    """The vertex nearest to each point, and the mirror images of the left ones as ``_r``.

    Parameters
    ----------
    mean : (V, 3) float
        The average face, millimetres.
    mirror : (V,) int
        Row of each vertex's mirror image.
    """
    rows: dict[str, int] = {}
    for name, place in POINTS.items():
        rows[name] = int(np.argmin(((mean - np.array(place)) ** 2).sum(1)))
        if name.endswith("_l"):
            rows[name[:-2] + "_r"] = int(mirror[rows[name]])
    return rows


def measure(vertices: np.ndarray, rows: dict[str, int]) -> np.ndarray:
    """All measurements of faces ``(..., V, 3)``: ``(..., M)`` millimetres."""
    first = [rows[m.between[0]] for m in MEASUREMENTS]
    second = [rows[m.between[1]] for m in MEASUREMENTS]
    return np.asarray(np.linalg.norm(vertices[..., first, :] - vertices[..., second, :], axis=-1))
