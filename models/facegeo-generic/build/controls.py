"""The average face as a drawing: named points in millimetres, each with its place on a flat chart.

A control is a point of the surface ``(x, y, z)`` together with its chart coordinates ``(u, v)``.
The chart is the face rolled out from the side, with the mouth held open and the base of the nose
folded down, so that no two parts of the surface share a place on it. The controls are the points
through which :mod:`surface` draws the smooth face.

Frame: x to the right in the picture (the person's left), y up, z to the viewer, millimetres; the
origin lies between the eyeballs. Only the side x >= 0 is written down; the other is its mirror
image. The coordinates were drawn from the averages in :mod:`measurements`.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from .ear import ear_controls

#: How loosely the surface holds the controls of each kind: rims, details, midline, broad forms.
SOFT_RIM, SOFT_DETAIL, SOFT_MIDLINE, SOFT_ROWS = 0.3, 1.5, 4.0, 80.0

EYE_CENTRE = np.array([31.3, 0.0, 0.0])
EYE_RADIUS = 12.0

#: (y, z) on the midline, hairline to the parting of the lips.
MIDLINE_UPPER = (
    (84, -7), (78, 0), (70, 9), (58, 17.5), (45, 22.8), (32, 25.0), (24, 25.6), (17, 25.2),
    (10, 22.6), (4, 20.2), (-2, 21.6), (-9, 26.0), (-17, 31.4), (-25, 37.0), (-31, 41.4),
)  # fmt: skip
#: (y, z) on the midline, upper lip to the free edge above the mouth.
MIDLINE_LIP = ((-50, 27.2), (-55, 27.4), (-58.8, 29.0), (-60.6, 30.2), (-64.2, 31.8))
#: (y, z) on the midline, lower lip to the throat; below the mouth in the chart.
MIDLINE_LOWER = (
    (-72.2, 30.4), (-77.2, 27.6), (-80.6, 23.0), (-85.5, 20.2), (-91, 21.2), (-97, 23.8),
    (-102, 24.4), (-108, 22.0), (-112.5, 17), (-115, 10),
)  # fmt: skip

#: Forehead, temples, cheeks, jaw: rows of (x, z) at a height y.
ROWS = (
    (84, ((20, -9), (38, -16), (52, -28), (62, -44))),
    (72, ((15, 5.8), (30, 1), (42, -8), (52, -21), (60, -36), (66, -52))),
    (60, ((15, 15.4), (30, 10.8), (42, 2.2), (52, -11), (60, -27), (65.5, -42), (69, -58))),
    (45, ((15, 21.6), (30, 17), (42, 8.6), (51.5, -4), (59, -20), (65, -38), (69.5, -58))),
    (31, ((12, 24.8), (24, 22.6), (36, 17.4), (46, 9), (53.5, -2.5), (59.5, -18), (65, -37),
          (70, -58))),
    (21.5, ((8, 25.5), (16, 24.7), (26, 22.6), (36, 18.6), (45, 12.4), (52, 4.4), (57, -8),
            (61.5, -22), (66, -40), (70.5, -60))),
    (13, ((4.5, 22.9), (9, 20.0), (13.5, 17.0))),
    (4.5, ((3.6, 19.2), (7.2, 15.2), (11, 11.4), (15, 9.4))),
    (-2.5, ((3.6, 20.4), (7.2, 15.4), (11, 10.8))),
    (-9.5, ((3.8, 24.9), (7.6, 19), (11, 13), (15, 9.6))),
    (-17, ((4, 29.9), (8, 23.2), (11.5, 15.9), (15.5, 11.0), (22, 10.2), (30, 10.8), (38, 10),
           (45, 7.6), (52, 2.4), (58, -6), (63, -18), (67, -34), (70, -50), (72, -66))),
    (-25, ((4.5, 35.0), (8.8, 28), (12.5, 18.8), (16.5, 13.2), (23, 12.6), (31, 13), (40, 11.2),
           (48, 7.1), (55.2, -0.8), (61.2, -12.4), (65.7, -27.5), (69, -44), (71, -58), (72, -70))),
    (-35, ((24, 14.4), (30, 14.6), (37, 12.3), (44, 7.9), (51, 0.8), (58, -10.8), (63.4, -24.5),
           (67.2, -42), (69, -57), (70, -70))),
    (-46, ((25, 16.4), (32, 14), (40, 8), (48, -1), (55, -13.5), (60.5, -28), (64.5, -44),
           (66.5, -60), (67.5, -72))),
    (-56, ((12, 25.4), (19, 21.2), (26, 16.8), (33, 11.2), (40, 4.0), (47, -6.5), (53.5, -19.5),
           (58, -34), (61, -50), (62.5, -66))),
    (-68, ((29.5, 13.6), (34, 9.4), (40, 2.4), (46, -7.5), (51.5, -20), (55.5, -34),
           (57.8, -48), (59, -64))),
    (-80, ((13, 20.4), (20, 16.8), (28, 11.2), (35, 4.3), (41, -4.5), (46.5, -17), (50.5, -30),
           (52.5, -41))),
    (-92, ((10, 20.3), (18, 16.6), (26, 10.2), (33, 1.8), (38.5, -8.5), (42.5, -20))),
    (-103, ((9, 22.4), (16, 18), (23, 10.6), (28.5, 2.4))),
    (-110, ((8, 18.8), (14.5, 13.4))),
)  # fmt: skip

#: Between brow, lids and cheek, (x, y, z).
ORBIT = (
    # Medial wall and side of the nasal root.
    (17, 14, 17.0), (14.2, 3.6, 9.6),
    # Overhang of the upper lid fold under the brow.
    (21, 14.2, 15.2), (27, 15.4, 16.2), (34, 15.6, 15.8), (40.5, 14, 13.2), (46.5, 10, 8.2),
    (51.5, 4, 0.8), (55.5, 12, -3.0),
    # Crease of the upper lid.
    (20, 8.6, 11.3), (25, 11.3, 12.9), (30.5, 12.3, 13.2), (36, 11.7, 12.2), (41, 9.5, 9.6),
    (45.5, 6.2, 5.6),
    # Upper lid over the eyeball.
    (20, 5.2, 10.1), (25, 8.2, 12.4), (30.5, 9.5, 13.0), (36, 8.9, 12.2), (41, 6.6, 9.2),
    # Lower lid, its crease, the rim of the orbit.
    (20.5, -6.8, 9.3), (25.5, -8.8, 10.8), (31, -9.8, 11.3), (36.5, -9.0, 10.5), (42, -6.0, 7.6),
    (18.5, -10.6, 9.0), (25, -13.2, 9.7), (31.5, -14.2, 10.1), (38.5, -12.8, 8.9),
    (46, -8, 4.6), (51, -4.5, -0.2), (59, -9.5, -10.8), (64, -8.5, -23), (67.5, -8, -38),
    (70.5, -8, -54), (72, -10, -66), (54.5, 3, -4.2), (59, 4, -12), (63.5, 5, -26),
    (67.5, 6, -42), (71, 6, -60),
)  # fmt: skip

#: Free edge of the lids (lash line), inner canthus, over the upper lid, back along the lower.
LID_MARGIN = (
    (16.2, -1.7, 8.3), (19.6, 1.5, 9.2), (23.6, 3.8, 11.2), (28.2, 5.0, 12.6), (32.8, 5.0, 12.7),
    (37.4, 4.1, 11.4), (41.6, 2.6, 8.6), (45.9, 0.7, 4.0),
    (41.8, -2.8, 7.9), (37.6, -4.6, 10.3), (32.8, -5.4, 11.6), (28.2, -5.3, 11.6),
    (23.8, -4.7, 10.4), (19.8, -3.5, 8.8),
)  # fmt: skip
#: Rows of LID_MARGIN at the corners of the eye.
CANTHI = (0, 7)
#: The lids' inner edge and the end of their lining: share of the lash line's distance from the
#: middle of the opening on the chart, distance from the eyeball's centre, slide behind the lid.
LID_LINING = ((0.84, EYE_RADIUS + 0.4, 0.0), (0.50, EYE_RADIUS + 0.5, 4.5))

#: Points of the nose below its bridge: chart (u, v), then (x, y, z).
NOSE = (
    # Midline: tip, infratip, columella, subnasale.
    ((0, -36), (0, -36, 44.6)), ((0, -40), (0, -39.6, 43.8)), ((0, -43.5), (0, -42.8, 40)),
    ((0, -47.5), (0, -45.2, 34)), ((0, -52), (0, -46.8, 28.6)),
    # Tip and side of the columella.
    ((4.6, -31), (4.6, -30.5, 39.6)), ((9.2, -31), (8.8, -31, 32.4)),
    ((5.0, -36), (4.8, -35.5, 43.0)), ((5.2, -40), (4.9, -39.4, 42.2)),
    ((9.4, -36), (8.8, -35.8, 37.6)), ((3.4, -44), (3.2, -42.8, 39)),
    ((2.8, -47.5), (2.8, -45.3, 33.6)), ((3.8, -52), (4.0, -46.9, 28)),
    # Lower edge of the wing, its base, the sill.
    ((9.2, -41.0), (8.6, -40.6, 37)), ((13.4, -43), (12.7, -42.6, 32.4)),
    ((16.2, -46.8), (15.2, -45.4, 27.6)), ((15.6, -50.4), (14.6, -47.2, 24.2)),
    ((12.6, -53.4), (11.8, -48.2, 23.6)), ((8, -54.8), (7.6, -48.4, 25)),
    # Bulge of the wing.
    ((13.8, -37), (13.0, -36.6, 31.4)), ((17, -37), (15.9, -36.6, 26.4)),
    ((18.3, -41), (17.2, -40.4, 26)), ((18.6, -45.5), (17.0, -44.2, 24.8)),
    # Groove between wing and cheek.
    ((15.4, -31), (14.0, -30.8, 22.2)), ((19.6, -36), (17.4, -35.8, 20.8)),
    ((21.2, -41), (18.6, -40.8, 19.2)), ((20.6, -47), (17.8, -45.4, 19.4)),
    ((17.2, -52), (15.2, -48.8, 21.4)),
    # Cheek beside the groove.
    ((19.5, -29.5), (17.4, -29.5, 15.6)), ((23.6, -35.5), (20.6, -36, 16.4)),
    ((25.4, -41.5), (22, -41.5, 16.8)), ((24.4, -48), (21.6, -47, 18.0)),
)  # fmt: skip
#: Rim of the nostril, from its front along the wing to the sill and the columella.
NOSTRIL_RIM = (
    ((6.4, -43.0), (6.2, -42.8, 37.0)), ((10.2, -43.8), (9.8, -43.6, 33.8)),
    ((13.2, -46.2), (12.6, -45.2, 29.2)), ((12.8, -50), (12.0, -46.9, 25.4)),
    ((9.2, -52), (8.6, -47.5, 25.6)), ((5.6, -51), (5.2, -46.9, 28)),
    ((4.4, -47.6), (4.2, -45.5, 33.2)), ((4.6, -44.6), (4.4, -44.0, 36.4)),
)  # fmt: skip
#: Inside of the nostril.
NOSTRIL_PIT = (
    ((6.6, -45.3), (5.6, -38.4, 34.4)), ((10.2, -46.4), (10, -39, 31)),
    ((10.4, -49.4), (10, -41, 26.4)), ((6.8, -49.4), (5.6, -41, 28.4)),
    ((8.4, -47.6), (7.4, -32, 29)),
)  # fmt: skip

#: Skin around the mouth, (x, y, z): philtrum and border of the red of the upper lip, then of the
#: lower lip.
LIP_SKIN_UPPER = (
    (4.8, -51, 27.9), (5.2, -55.5, 28.4), (6.2, -57.8, 28.8), (13, -58.6, 26.2),
    (19.5, -61.4, 21.8), (25.5, -64.8, 15.8), (28.6, -67.6, 13.4),
)  # fmt: skip
LIP_SKIN_LOWER = (
    (8, -81, 21.9), (15.5, -78.4, 19.4), (21, -75, 16.4), (25.6, -70.6, 14.4), (7, -86, 20.2),
)  # fmt: skip
LIP_BORDER_UPPER = (
    (6, -59.0, 30.0), (11.8, -60.9, 27.8), (17.6, -63.5, 23.8), (22.6, -66.1, 18),
)  # fmt: skip
LIP_BORDER_LOWER = (
    (6, -76.8, 27.0), (11.8, -75.3, 24.2), (17.6, -72.4, 20.4), (22.6, -69.4, 16.6),
)  # fmt: skip
#: Fullest part of the red.
LIP_BODY_UPPER = ((6, -63.2, 31.2), (11.8, -64.2, 28.8), (17.6, -65.7, 24.2))
LIP_BODY_LOWER = ((6, -72.2, 29.8), (11.8, -71.6, 27.0), (17.6, -70.0, 22.2))
#: Where the lips meet: corner of the mouth, then upper and lower edge from the midline out. The
#: lower edge tucks in behind the upper, so that nothing is seen between closed lips; subdivision
#: rounds both edges off by about half a millimetre.
MOUTH_CORNER = (25.8, -67.5, 14.8)
LIP_EDGE_UPPER = (
    (0, -68.1, 28.2), (6, -67.6, 27.6), (11.8, -67.5, 25.4), (17.6, -67.5, 20.9),
    (22.6, -67.6, 17.0),
)  # fmt: skip
LIP_EDGE_LOWER = (
    (0, -67.5, 27.2), (6, -66.9, 26.5), (11.8, -66.7, 24.3), (17.6, -66.8, 19.8),
    (22.6, -67.25, 16.3),
)  # fmt: skip
#: The bag of the mouth, ring by ring: share of the distance from its middle on the chart, how far
#: behind the edge (mm), how far it opens upwards and downwards (mm).
LIP_LINING = ((0.80, 3.5, 1.6), (0.60, 9.0, 6.0), (0.34, 16.0, 11.0))
#: Middle of the back of the bag, (y, z).
MOUTH_BACK = (-68.0, 6.0)

#: Border of the lower jaw, the floor of the mouth, the throat: (x, y, z) and the drop on the chart
#: below y that rolls the underside out.
UNDERSIDE = (
    ((10, -114.4, 7.4), 2), ((20, -111, -1.2), 3), ((28.5, -106.2, -12), 3),
    ((36, -99.8, -24), 3), ((42.5, -92, -36), 3), ((48, -83.4, -47), 3), ((53.5, -73, -58), 2),
    ((0, -117.2, 0), 8), ((0, -118.8, -12), 19), ((0, -121.5, -26), 31), ((11, -117.4, -7), 14),
    ((15, -120.6, -26), 29), ((23, -113.4, -16), 14), ((29, -114.6, -33), 21),
    ((38, -106.5, -44), 14), ((45.5, -97, -54), 10), ((52, -85, -63), 6),
    ((0, -131, -36), 38), ((18, -131, -38), 33), ((33, -127, -48), 20), ((44, -115, -61), 12),
    ((51.5, -99, -69), 9),
    ((0, -150, -42), 38), ((20, -150, -44), 33), ((36, -147, -54), 20), ((47, -138, -66), 12),
    ((53, -118, -76), 9),
)  # fmt: skip


def _bump(value: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-(((value - centre) / width) ** 2))


def _step(value: np.ndarray, start: float, end: float) -> np.ndarray:
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def chart(xyz: np.ndarray, below_mouth: np.ndarray | None = None) -> np.ndarray:
    """Chart coordinates ``(N, 2)`` of points of the outer surface, away from the nose's base.

    Parameters
    ----------
    xyz : (N, 3) float64
        Millimetres.
    below_mouth : (N,) float64, optional
        1 for the lower lip and what hangs on it, 0 for the upper; by default a smooth step in y.
    """
    x, y, z = xyz.T
    u = 85.0 * np.arctan2(np.abs(x), z + 75.0)
    # Room for the wings of the nose, which stand up from the face.
    u = u + 4.5 * _bump(y, -38, 14) * _step(u, 8, 22) * np.exp(-np.clip(u - 22, 0, None) / 30)
    if below_mouth is None:
        below_mouth = _step(-y, 62, 76)
    drop = 7.0 * _bump(u, 0, 28) * _step(-y, 44, 50) + 12.0 * _bump(u, 0, 19) * below_mouth
    return np.stack([u * np.sign(x), y - drop], -1)


def _inside(ring: np.ndarray, centre: np.ndarray, share: float) -> np.ndarray:
    return centre + share * (ring - centre)


def _lids() -> list[tuple[np.ndarray, np.ndarray]]:
    """Lash line, inner edge, end of the lining: the lids wrap around the eyeball."""
    margin = np.array(LID_MARGIN)
    flat = chart(margin)
    centre = flat.mean(0)
    outward = margin - EYE_CENTRE
    distance = np.linalg.norm(outward, axis=1, keepdims=True)
    outward /= distance
    away = np.zeros_like(margin)
    away[:, 1] = np.sign(margin[:, 1] + 0.4)
    away -= (away * outward).sum(1, keepdims=True) * outward
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    parts = [(flat, margin)]
    for share, radius, slide in LID_LINING:
        angle = np.full((len(margin), 1), slide / radius)
        length = np.full((len(margin), 1), radius)
        # The corners close in front of the ball, then dive into it.
        angle[list(CANTHI)] = 0.0
        length[list(CANTHI)] = EYE_RADIUS - 1.0 if slide else EYE_RADIUS + 1.6
        parts.append(
            (
                _inside(flat, centre, share),
                EYE_CENTRE + length * (outward * np.cos(angle) + away * np.sin(angle)),
            )
        )
    return parts


def _densely(curve: np.ndarray, count: int = 12) -> np.ndarray:
    """Points on a smooth curve through ``curve (n, 3)``: a seam needs more than a shape does."""
    step = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    at = np.append(0.0, np.cumsum(step))
    return np.asarray(CubicSpline(at, curve)(np.linspace(0, at[-1], count)))


def mouth_edge() -> tuple[np.ndarray, np.ndarray]:
    """Half of the closed curve where the lips meet: upper edge outwards, corner, lower edge back.

    Returns
    -------
    (n, 2) float64 and (n, 3) float64
        Chart coordinates and millimetres; n is odd and the corner in the middle.
    """
    corner = np.array([MOUTH_CORNER])
    upper = _densely(np.concatenate([np.array(LIP_EDGE_UPPER), corner]))[:-1]
    lower = _densely(np.concatenate([np.array(LIP_EDGE_LOWER), corner]))[:-1]
    flat = [
        chart(upper, np.zeros(len(upper))),
        chart(corner, np.full(1, 0.5)),
        chart(lower, np.ones(len(lower)))[::-1],
    ]
    return np.concatenate(flat), np.concatenate([upper, corner, lower[::-1]])


def _lips() -> list[tuple[np.ndarray, np.ndarray]]:
    parts = []
    for points, below in (
        (LIP_SKIN_UPPER, 0.0), (LIP_BORDER_UPPER, 0.0), (LIP_BODY_UPPER, 0.0),
        (LIP_SKIN_LOWER, 1.0), (LIP_BORDER_LOWER, 1.0), (LIP_BODY_LOWER, 1.0),
    ):  # fmt: skip
        xyz = np.array(points)
        parts.append((chart(xyz, np.full(len(xyz), below)), xyz))
    flat, edge = mouth_edge()
    parts.append((flat, edge))
    centre = np.array([0.0, (flat[0, 1] + flat[-1, 1]) / 2])
    side = len(edge) // 2
    opens = np.append(np.append(np.ones(side), 0.0), -np.ones(side)) * (1 - (edge[:, 0] / 26) ** 12)
    for share, behind, gape in LIP_LINING:
        back = edge.copy()
        back[:, 0] *= 1 - 0.008 * behind
        back[:, 1] += gape * opens
        back[:, 2] -= behind * (0.55 + 0.45 * (1 - (edge[:, 0] / 26) ** 2))
        parts.append((_inside(flat, centre, share), back))
    parts.append((centre[None], np.array([[0.0, *MOUTH_BACK]])))
    return parts


def average_controls() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every control of the side x >= 0.

    Returns
    -------
    chart : (C, 2) float64
    points : (C, 3) float64
        Millimetres. Controls on the midline have x = u = 0.
    softness : (C,) float64
        How loosely the surface holds each, see :func:`surface.fit_surface`.
    """
    midline = np.array([(0.0, y, z) for y, z in MIDLINE_UPPER])
    lip = np.array([(0.0, y, z) for y, z in MIDLINE_LIP])
    lower = np.array([(0.0, y, z) for y, z in MIDLINE_LOWER])
    rows = np.array([(x, y, z) for y, row in ROWS for x, z in row])
    under = np.array([point for point, _ in UNDERSIDE])
    drop = np.array([below for _, below in UNDERSIDE], float)
    under_chart = chart(under)
    under_chart[:, 1] -= drop
    parts = [
        (chart(midline), midline, SOFT_MIDLINE),
        (chart(lip, np.zeros(len(lip))), lip, SOFT_RIM),
        (chart(lower, np.ones(len(lower))), lower, SOFT_MIDLINE),
        (chart(rows), rows, SOFT_ROWS),
        (chart(np.array(ORBIT)), np.array(ORBIT), SOFT_DETAIL),
        (under_chart, under, SOFT_ROWS),
        (*ear_controls(), SOFT_MIDLINE),
        *((flat, xyz, SOFT_RIM) for flat, xyz in (*_lids(), *_lips())),
    ]
    for table in (NOSE, NOSTRIL_RIM, NOSTRIL_PIT):
        flat, xyz = (np.array([pair[i] for pair in table]) for i in (0, 1))
        parts.append((flat, xyz, SOFT_DETAIL))
    flat = np.concatenate([p for p, _, _ in parts]).astype(float)
    xyz = np.concatenate([q for _, q, _ in parts]).astype(float)
    softness = np.concatenate([np.full(len(p), soft) for p, _, soft in parts])
    flat[xyz[:, 0] == 0, 0] = 0.0
    return flat, xyz, softness
