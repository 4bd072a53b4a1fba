"""The cage: the base mesh cut at the neck, with its parts, exactly symmetric, and own eyeballs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .eyeballs import EYE_QUADS, EYE_VERTICES, eyeball
from .source import BaseMesh, Source

PARTS = (
    "skin",
    "mouth_inside",
    "lid_lining",
    "eye_left",
    "eye_right",
    "teeth_upper",
    "teeth_lower",
    "tongue",
)
#: Size of the eyeballs in parts of the base mesh's, which stick through the lids.
EYE_SIZE = 0.835
#: How far they lie lower, in radii of the base mesh's: these look out from under the upper lid.
EYE_DROP = 0.047
FLIP = np.array([-1.0, 1.0, 1.0])
#: Two vertices of the closed loop of edges around the neck at which the head is cut.
NECK_LOOP = (857, 7724)

_HELPERS = {
    "teeth_upper": "helper-upper-teeth",
    "teeth_lower": "helper-lower-teeth",
    "tongue": "helper-tongue",
}


@dataclass(frozen=True, eq=False)
class Cage:
    """Quads of the head and how points of the base mesh become its vertices.

    Attributes
    ----------
    rows : (S,) int64
        Vertices of the base mesh that are vertices of the cage, the first S of its C.
    faces, uv_faces : (Q, 4) int64
        ``uv_faces`` are rows of the base mesh's texture points; -1 in the eyeballs.
    part : (Q,) uint8
        Index into :data:`PARTS`.
    mirror : (C,) int64
    eye_rows : (2, n) int64
        Vertices of the base mesh's own eyeballs, left and right.
    """

    rows: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray
    part: np.ndarray
    mirror: np.ndarray
    eye_rows: np.ndarray

    def points(self, base: np.ndarray) -> np.ndarray:
        """Cage vertices ``(..., C, 3)`` of points or offsets ``(..., N, 3)`` of the base mesh.

        Linear. An eyeball keeps its own form: it follows the middle and the size of the base
        mesh's eyeball.
        """
        return np.concatenate([base[..., self.rows, :], *self._eyes(base)], axis=-2)

    def of_part(self, *names: str) -> np.ndarray:
        """Cage vertices in the quads of some parts, (C,) bool."""
        chosen = np.isin(self.part, [PARTS.index(name) for name in names])
        mask = np.zeros(len(self.mirror), bool)
        mask[self.faces[chosen]] = True
        return mask

    def reflected(self, field: np.ndarray) -> np.ndarray:
        """Points or offsets ``(..., C, 3)`` of the face in the mirror."""
        return np.asarray(field[..., self.mirror, :] * FLIP)

    def symmetric(self, field: np.ndarray) -> np.ndarray:
        """The symmetric part of points or offsets."""
        return 0.5 * (field + self.reflected(field))

    def _eyes(self, base: np.ndarray) -> list[np.ndarray]:
        shape, _ = eyeball()
        eyes = []
        for rows, form in zip(self.eye_rows, (shape, shape * FLIP), strict=True):
            ball = base[..., rows, :]
            centre = ball.mean(axis=-2, keepdims=True)
            rest = self._rest_ball(rows)
            outward = rest / np.linalg.norm(rest, axis=1, keepdims=True)
            radius = ((ball - centre) * outward).sum(-1).mean(-1)[..., None, None]
            eyes.append(centre + radius * (EYE_SIZE * form - [0, EYE_DROP, 0]))
        return eyes

    def _rest_ball(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._rest[rows] - self._rest[rows].mean(axis=0))

    _rest: np.ndarray = None  # type: ignore[assignment]


def build_cage(source: Source) -> Cage:
    """Cut the head out of the base mesh."""
    mesh = source.mesh
    faces, uv_faces, part = _head_quads(mesh)
    rows = np.unique(faces)
    place = np.full(len(mesh.points), -1)
    place[rows] = np.arange(len(rows))
    mirror = place[mesh.mirror[rows]]
    if (mirror < 0).any() or not np.array_equal(mirror[mirror], np.arange(len(rows))):
        raise ValueError("the mirror table does not map the head onto itself")
    count = len(rows)
    left = count + np.arange(EYE_VERTICES)
    right = left + EYE_VERTICES
    _, eye_faces = eyeball()
    none = np.full((EYE_QUADS, 4), -1)
    balls = [np.unique(mesh.faces[mesh.groups == f"helper-{side}-eye"]) for side in "lr"]
    balls[1] = mesh.mirror[balls[0]]
    cage = Cage(
        rows=rows,
        faces=np.concatenate(
            [place[faces], eye_faces + count, eye_faces[:, ::-1] + count + EYE_VERTICES]
        ),
        uv_faces=np.concatenate([uv_faces, none, none]),
        part=np.concatenate(
            [
                part,
                np.full(EYE_QUADS, PARTS.index("eye_left")),
                np.full(EYE_QUADS, PARTS.index("eye_right")),
            ]
        ).astype(np.uint8),
        mirror=np.concatenate([mirror, right, left]),
        eye_rows=np.stack(balls),
        _rest=mesh.points,
    )
    return _with_symmetric_quads(cage)


def _head_quads(mesh: BaseMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads, texture corners and part of everything but the eyeballs."""
    body = np.flatnonzero(mesh.groups == "body")
    head = body[_above_neck(mesh.faces[body], mesh.points)]
    part = _parts_by_island(mesh, head)
    chosen, parts = [head], [part]
    for name, group in _HELPERS.items():
        quads = np.flatnonzero(mesh.groups == group)
        chosen.append(quads)
        parts.append(np.full(len(quads), PARTS.index(name)))
    order = np.concatenate(chosen)
    return mesh.faces[order], mesh.uv_faces[order], np.concatenate(parts)


def _parts_by_island(mesh: BaseMesh, head: np.ndarray) -> np.ndarray:
    """Part of each quad of the head, told by the islands of the base mesh's texture.

    Head and neck have one each, the bag of the mouth has one, and so has the lining of either lid.
    """
    island = _islands(mesh.uv_faces[head])
    corners = mesh.faces[head]
    on_neck = np.isin(corners, NECK_LOOP).any(axis=1)
    outer = {np.argmax(np.bincount(island)), *island[on_neck]}
    part = np.full(len(head), PARTS.index("skin"))
    for number in set(island.tolist()) - outer:
        inside = island == number
        aside = np.abs(mesh.points[corners[inside], 0].mean()) > 10
        part[inside] = PARTS.index("lid_lining" if aside else "mouth_inside")
    return part


def ring_outside(cage: Cage, seam: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Vertices that share an edge with a seam and are not of the part ``inside``, (C,) bool."""
    on_seam = np.isin(np.arange(len(inside)), seam)
    a, b = cage.faces.ravel(), np.roll(cage.faces, -1, axis=1).ravel()
    beside = np.concatenate([b[on_seam[a]], a[on_seam[b]]])
    return np.unique(beside[~inside[beside]])


def mesh_graph(cage: Cage, points: np.ndarray) -> sparse.csr_matrix:
    """Lengths of the cage's edges, (C, C) sparse, each edge in both directions."""
    pairs = np.unique(_quad_edges(cage.faces).reshape(-1, 2), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    once = sparse.csr_matrix((length, pairs.T), (len(points), len(points)))
    return once + once.T


def _quad_edges(faces: np.ndarray) -> np.ndarray:
    """Ascending ends of edge i of each quad, corners i and i + 1, (Q, 4, 2)."""
    return np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1), axis=-1)


def neck_loop(faces: np.ndarray) -> np.ndarray:
    """Vertices of the loop of edges at which the neck is cut, in order.

    At each vertex it goes on along the edge that shares no quad with the last one.
    """
    quads_at: dict[int, list[int]] = {}
    for number, quad in enumerate(faces.tolist()):
        for vertex in quad:
            quads_at.setdefault(vertex, []).append(number)
    loop = list(NECK_LOOP)
    while True:
        last, here = loop[-2:]
        straight = set()
        beside = set()
        for number in quads_at[here]:
            quad = faces[number].tolist()
            i = quad.index(here)
            ends = {quad[(i + 1) % 4], quad[i - 1]}
            (beside if last in ends else straight).update(ends)
        (following,) = straight - beside
        if following == loop[0]:
            return np.array(loop)
        loop.append(following)


def neck_loop_rows(cage: Cage) -> np.ndarray:
    """Vertices of the cage at which the neck ends, in order around it."""
    pairs, uses = np.unique(_quad_edges(cage.faces).reshape(-1, 2), axis=0, return_counts=True)
    beside: dict[int, list[int]] = {}
    for a, b in pairs[uses == 1].tolist():
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    start = int(np.searchsorted(cage.rows, NECK_LOOP[0]))
    loop = [start, beside[start][0]]
    while True:
        (following,) = set(beside[loop[-1]]) - {loop[-2]}
        if following == start:
            return np.array(loop)
        loop.append(following)


def _above_neck(faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Quads on the head's side of the neck loop, (Q,) bool."""
    on_loop = np.zeros(len(points), bool)
    on_loop[neck_loop(faces)] = True
    pairs = _quad_edges(faces).reshape(-1, 2)
    edges, number = np.unique(pairs, axis=0, return_inverse=True)
    free = ~on_loop[edges].all(axis=1)
    owner = np.arange(len(faces)).repeat(4)
    uses = sparse.csr_matrix(
        (free[number].astype(float), (owner, number)), (len(faces), len(edges))
    )
    _, label = connected_components(uses @ uses.T, directed=False)
    crown = np.argmax(points[faces, 1].mean(axis=1))
    return np.asarray(label == label[crown])


def _islands(uv_faces: np.ndarray) -> np.ndarray:
    """Number of the connected piece of the texture layout that each quad is in."""
    owner = np.arange(len(uv_faces)).repeat(4)
    corners = sparse.csr_matrix((np.ones(uv_faces.size), (owner, uv_faces.ravel())))
    _, label = connected_components(corners @ corners.T, directed=False)
    return np.asarray(label)


def _with_symmetric_quads(cage: Cage) -> Cage:
    """The cage with each right quad written as the mirror image of its left one.

    So the diagonals of split quads mirror too, and triangles are mirror images exactly.
    """
    place = {tuple(sorted(quad)): number for number, quad in enumerate(cage.faces.tolist())}
    faces, uv_faces = cage.faces.copy(), cage.uv_faces.copy()
    done = np.zeros(len(faces), bool)
    for number, quad in enumerate(cage.faces):
        twin = place[tuple(sorted(cage.mirror[quad].tolist()))]
        if done[number] or twin == number:
            continue
        wanted = cage.mirror[quad][::-1]
        shift = [np.array_equal(np.roll(cage.faces[twin], k), wanted) for k in range(4)].index(True)
        faces[twin] = wanted
        uv_faces[twin] = np.roll(cage.uv_faces[twin], shift)
        done[[number, twin]] = True
    return Cage(cage.rows, faces, uv_faces, cage.part, cage.mirror, cage.eye_rows, _rest=cage._rest)
