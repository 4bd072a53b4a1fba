"""The texture layout: the head unrolled so that the face has most of the square; parts below it.

The skin is cut from the nape to the crown and spanned over a rectangle like a net of springs
(Tutte 1963): with its border on a convex outline and every spring pulling, no quad can turn over.
Springs that come out too long or too short for their length in space are made stiffer or softer,
some rounds of it, and those of the face are meant to be longer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.interpolate import PchipInterpolator
from scipy.sparse.linalg import spsolve

from .cage import PARTS, Cage, neck_loop_rows
from .eyeballs import BACK_RING
from .source import Source

#: Height of the strip of small parts at the bottom of the square, and space around everything.
_STRIP = 0.115
_MARGIN = 0.004
#: How much larger the face is drawn than the rest, less 1.
_ENLARGED = 1.6
#: Middle of the small disc of an eyeball's back, radians from the middle of the large one.
_BACK_DISC = 2.4
_NET_ROUNDS = 22
_STIFFENING = 0.5
#: Where the face's bounds are drawn to at the end: left, bottom, right, top.
_FACE_BOUNDS = ((0.135, 0.19), (0.865, 0.93))


@dataclass(frozen=True, eq=False)
class Layout:
    """Texture points ``uv`` (U, 2) in the unit square, v up, and their rows per quad (Q, 4)."""

    uv: np.ndarray
    faces: np.ndarray


def texture_layout(source: Source, cage: Cage, points: np.ndarray, face: np.ndarray) -> Layout:
    """Lay out all parts.

    Parameters
    ----------
    points : (C, 3) float64
        The mean face's vertices on its surface.
    face : (C,) bool
        The vertices that get most of the area.
    """
    uv_faces = np.full(cage.faces.shape, -1)
    pieces: list[np.ndarray] = []
    offset = 0

    def add(quads: np.ndarray, uv: np.ndarray, corners: np.ndarray) -> None:
        nonlocal offset
        uv_faces[quads] = corners + offset
        pieces.append(uv)
        offset += len(uv)

    skin = np.flatnonzero(cage.part == PARTS.index("skin"))
    add(skin, *_unrolled_skin(cage, skin, points, face))
    small = [number for number in range(len(PARTS)) if PARTS[number] != "skin"]
    cells = [(name, side) for name in small for side in _sides(PARTS[name])]
    width = 1 / len(cells)
    for place, (number, side) in enumerate(cells):
        quads = np.flatnonzero(cage.part == number)
        if side:
            quads = quads[np.sign(points[cage.faces[quads]][:, :, 0].mean(axis=1)) == side]
        if PARTS[number].startswith("eye"):
            uv, corners = _disc(points, cage.faces[quads], cage.of_part(PARTS[number]))
        else:
            rows, corners = np.unique(cage.uv_faces[quads], return_inverse=True)
            uv = source.mesh.uv[rows]
        add(quads, _in_cell(uv, place * width, width), corners.reshape(-1, 4))
    return Layout(np.concatenate(pieces), uv_faces)


def _sides(part: str) -> tuple[int, ...]:
    return (-1, 1) if part == "lid_lining" else (0,)


def _in_cell(uv: np.ndarray, left: float, width: float) -> np.ndarray:
    """Points fitted into a cell of the bottom strip, keeping their proportions."""
    low, size = uv.min(axis=0), np.ptp(uv, axis=0)
    room = np.array([width, _STRIP]) - 2 * _MARGIN
    scale = (room / size).min()
    corner = np.array([left, 0.0]) + _MARGIN + 0.5 * (room - scale * size)
    return np.asarray(corner + scale * (uv - low))


def _disc(points: np.ndarray, faces: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An eyeball as a disc about its pupil, distance from the middle the angle; its back as a
    small disc of its own in the corner."""
    rows = np.flatnonzero(eye)
    ball = points[rows] - 0.5 * (points[rows].min(axis=0) + points[rows].max(axis=0))
    # The cornea stands out in front: the middle is half a width from the back.
    ball[:, 2] -= ball[:, 2].min() + 0.5 * np.ptp(ball[:, 0])
    angle = np.arctan2(np.hypot(ball[:, 0], ball[:, 1]), ball[:, 2])
    turn = np.arctan2(ball[:, 1], ball[:, 0])
    front = np.stack([angle * np.cos(turn), angle * np.sin(turn)], axis=1)
    spread = 0.45 * (np.pi - angle) / np.radians(180 - BACK_RING)
    back = _BACK_DISC + np.stack([-spread * np.cos(turn), spread * np.sin(turn)], axis=1)
    place = np.full(len(points), -1)
    place[rows] = np.arange(len(rows))
    corners = place[faces]
    behind = (angle > np.radians(BACK_RING + 1))[corners].any(axis=1)
    corners[behind] += len(rows)
    used, local = np.unique(corners, return_inverse=True)
    return np.concatenate([front, back])[used], local.reshape(-1, 4)


def _unrolled_skin(
    cage: Cage, quads: np.ndarray, points: np.ndarray, face: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Texture points of the skin and its corners' rows."""
    faces = cage.faces[quads]
    path = _back_seam(cage, faces, points)
    count = len(points)
    # Right of the cut, its vertices are doubled; the crown, its end, is one point.
    twin = np.arange(count)
    twin[path[:-1]] = count + np.arange(len(path) - 1)
    right = points[faces][:, :, 0].mean(axis=1) < 0
    corners = np.where(right[:, None], twin[faces], faces)
    mirror = np.concatenate([cage.mirror, path[:-1]])
    mirror[path[:-1]] = twin[path[:-1]]
    solid = np.concatenate([points, points[path[:-1]]])
    soft = np.concatenate([face, face[path[:-1]]]).astype(float)
    outline, places = _outline(cage, path, twin, points)
    uv = _spring_net(corners, solid, _softened(corners, soft), outline, places)
    uv = _widened(0.5 * (uv + uv[mirror] * [-1, 1] + [1, 0]), uv[:count][face])
    rows, local = np.unique(corners, return_inverse=True)
    return uv[rows], local.reshape(-1, 4)


def _widened(uv: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Columns and rows of the square moved so that the face reaches its bounds."""
    ends = np.array([[_MARGIN, _STRIP + _MARGIN], [1 - _MARGIN, 1 - _MARGIN]])
    low, high = face.min(axis=0), face.max(axis=0)
    widened = uv.copy()
    for axis in range(2):
        old = [ends[0, axis], low[axis], high[axis], ends[1, axis]]
        new = [ends[0, axis], *(bound[axis] for bound in _FACE_BOUNDS), ends[1, axis]]
        widened[:, axis] = PchipInterpolator(old, new)(uv[:, axis])
    return widened


def _back_seam(cage: Cage, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Vertices on the midline from the nape's end up to the crown."""
    middle = cage.mirror == np.arange(len(points))
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    pairs = pairs[middle[pairs].all(axis=1)]
    joined: dict[int, set[int]] = {}
    for a, b in pairs.tolist():
        joined.setdefault(a, set()).add(b)
        joined.setdefault(b, set()).add(a)
    loop = neck_loop_rows(cage)
    nape = loop[middle[loop]]
    path = [int(nape[np.argmin(points[nape, 2])])]
    path += [n for n in joined[path[0]] if n not in set(loop.tolist())]
    while True:
        (following,) = joined[path[-1]] - {path[-2]}
        if points[following, 1] < points[path[-1], 1]:
            return np.array(path)
        path.append(following)


def _outline(
    cage: Cage, path: np.ndarray, twin: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows on the border and their places on the rectangle."""
    bottom, top, left, right = _STRIP + _MARGIN, 1 - _MARGIN, _MARGIN, 1 - _MARGIN
    up = np.array([[right, bottom], [right, top], [0.5, top]])
    back = _along(up, _arc(points[path]))
    loop = neck_loop_rows(cage)
    start = int(np.flatnonzero(loop == path[0])[0])
    loop = np.roll(loop, -start)
    if points[loop[1], 0] < 0:
        loop = np.roll(loop[::-1], 1)
    around = _arc(points[np.append(loop, loop[0])])[1:-1]
    neck = _along(np.array([[right, bottom], [left, bottom]]), around)
    mirrored = back[:-1] * [-1, 1] + [1, 0]
    rows = np.concatenate([path, twin[path[:-1]], loop[1:]])
    return rows, np.concatenate([back, mirrored, neck])


def _arc(points: np.ndarray) -> np.ndarray:
    """Share of the way, 0 to 1, at each point of a line."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0], np.cumsum(steps)]) / steps.sum()


def _along(line: np.ndarray, share: np.ndarray) -> np.ndarray:
    at = _arc(line)
    return np.stack([np.interp(share, at, line[:, i]) for i in range(2)], axis=1)


def _softened(corners: np.ndarray, face: np.ndarray) -> np.ndarray:
    """1 in the face, falling off over some rings of quads outside it."""
    value = face
    for _ in range(6):
        mean = value[corners].mean(axis=1)
        total = np.bincount(corners.ravel(), np.repeat(mean, 4), len(value))
        value = total / np.maximum(np.bincount(corners.ravel(), minlength=len(value)), 1)
    return value


def _spring_net(
    corners: np.ndarray,
    points: np.ndarray,
    soft: np.ndarray,
    outline: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """Places of all vertices of a net whose outline is fixed."""
    pairs = np.sort(np.stack([corners, np.roll(corners, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    pairs, uses = np.unique(pairs, axis=0, return_counts=True)
    wanted = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    wanted = np.maximum(wanted, 0.3) * (1 + _ENLARGED * soft[pairs].mean(axis=1))
    # Open rims within, of lids and lips, are held by their own edges: twice as stiff.
    stiffness = np.where(uses == 1, 2.0, 1.0) / wanted
    count = len(points)
    fixed = np.zeros(count, bool)
    fixed[outline] = True
    free = np.zeros(count, bool)
    free[corners] = True
    free &= ~fixed
    uv = np.zeros((count, 2))
    uv[outline] = places
    for _ in range(_NET_ROUNDS):
        net = sparse.csr_matrix((stiffness, pairs.T), (count, count))
        net = net + net.T
        laplacian = sparse.diags(np.asarray(net.sum(axis=1)).ravel()) - net
        system = laplacian[free][:, free].tocsc()
        uv[free] = spsolve(system, -laplacian[free][:, fixed] @ uv[fixed])
        # A spring that came out longer than its share is made stiffer, a shorter one softer.
        length = np.linalg.norm(uv[pairs[:, 0]] - uv[pairs[:, 1]], axis=1) / wanted
        stiffness *= np.maximum(length / np.median(length), 1e-3) ** _STIFFENING
    return uv
