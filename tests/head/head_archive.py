"""The shipped head, read without the library's reader: the tests see what is in the file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from helpers.morphable_data import face_normals
from scipy import sparse

import facegeo
from facegeo.morphable.subdivision import mirror_of_vertices, subdivide

ASSET = Path(facegeo.__file__).parent / "assets" / "facegeo-head.npz"
FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class ShippedHead:
    """The file's arrays and the fine mesh that they stand for."""

    arrays: dict[str, np.ndarray]

    @cached_property
    def fine(self):
        faces, levels = self.arrays["cage/faces"], self.arrays["subdivide"]
        return subdivide(faces, levels, len(self.arrays["cage/mean"]))

    @cached_property
    def mirror(self) -> np.ndarray:
        arrays = self.arrays
        return mirror_of_vertices(
            arrays["cage/faces"], arrays["subdivide"], arrays["mirror/vertices"]
        )

    @cached_property
    def mean(self) -> np.ndarray:
        return self.fine.matrix @ self.arrays["cage/mean"].astype(np.float64)

    @cached_property
    def shape(self) -> np.ndarray:
        return self.basis("shape")

    @cached_property
    def expression(self) -> np.ndarray:
        return self.basis("expression")

    @cached_property
    def part(self) -> np.ndarray:
        """Name of the part of each triangle."""
        names = self.arrays["part_names"]
        return names[self.arrays["cage/part"][self.fine.sources]]

    def basis(self, kind: str) -> np.ndarray:
        """Offsets ``(n, V, 3)`` float32 of the fine mesh."""
        scale = self.arrays[f"cage/{kind}_scale"].astype(np.float64) / 32767
        cage = self.arrays[f"cage/{kind}_basis"] * scale[:, None, None]
        return np.stack([self.fine.matrix @ mode for mode in cage]).astype(np.float32)

    def vertices(self, **expressions: float) -> np.ndarray:
        """The mean face with some expressions."""
        names = self.arrays["expression_names"].tolist()
        moved = self.mean.copy()
        for name, value in expressions.items():
            moved += value * self.expression[names.index(name)]
        return moved

    def region(self, name: str) -> np.ndarray:
        mask = self.arrays[f"regions/{name}"].astype(np.float64)
        return np.asarray(self.fine.matrix @ mask >= 0.5)

    def cage_ring(self, part: str) -> np.ndarray:
        """Vertices of the skin one edge outside the seam to another part."""
        faces = self.arrays["cage/faces"]
        names = self.arrays["part_names"][self.arrays["cage/part"]]
        inside, skin = np.zeros((2, len(self.arrays["cage/mean"])), bool)
        inside[faces[names == part]] = True
        skin[faces[names == "skin"]] = True
        seam = inside & skin
        a, b = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
        beside = np.concatenate([b[seam[a]], a[seam[b]]])
        return np.unique(beside[~inside[beside]])


@cache
def shipped() -> ShippedHead:
    with np.load(ASSET, allow_pickle=False) as file:
        return ShippedHead({name: file[name] for name in file.files})


class Flips:
    """Finds triangles of a face that are turned over, or have shrunk to nothing.

    A triangle is flipped

    - where its normal points against the mean normal of the triangles at its corners; or
    - where it points against its normal at rest, once that is turned with its surroundings: by the
      rotation that fits the vertices within two edges best. Lips and lids roll by more than a
      right angle when they open, but with their surroundings. A triangle that lies flat among the
      triangles within an edge of its corners, at most 60 degrees from their mean normal, is none:
      a slit that opens unfolds, and has no one rotation.

    It is degenerate where its area is less than 1 % of that at rest.
    """

    LEAST_AREA = 0.01
    FLAT = 0.5  # cosine

    def __init__(self, rest: np.ndarray, triangles: np.ndarray) -> None:
        self.triangles, self.rest = triangles, rest
        self.rest_normal = face_normals(rest, triangles)
        self.rest_size = np.sqrt(_dot(self.rest_normal, self.rest_normal))
        number = np.repeat(np.arange(len(triangles)), 3)
        ones = np.ones(triangles.size)
        corners = sparse.csr_matrix(
            (ones, (number, triangles.ravel())), (len(triangles), len(rest))
        )
        beside = (corners.T @ corners).astype(bool).astype(float)
        self.corners, self.at_vertex = corners, corners.T.tocsr()
        self.within_one = (corners @ beside).tocsr()
        self.within_two = (self.within_one @ beside).astype(bool).astype(float).tocsr()

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Mask (F,) of flipped and degenerate triangles."""
        normal = face_normals(vertices, self.triangles)
        at_vertex = self.at_vertex @ normal
        bad = _dot(normal, self.corners @ at_vertex) < 0
        size, rest_size = np.sqrt(_dot(normal, normal)), self.rest_size
        # Only these can be turned by more than a right angle against a rotation of their own.
        doubtful = np.flatnonzero(_dot(normal, self.rest_normal) < 0.3 * size * rest_size)
        around = self.within_one[doubtful] @ at_vertex
        flat = self.FLAT * size[doubtful] * np.linalg.norm(around, axis=1)
        doubtful = doubtful[_dot(normal[doubtful], around) < flat]
        if len(doubtful):
            turned = np.einsum(
                "kij,kj->ki", self._rotations(vertices, doubtful), self.rest_normal[doubtful]
            )
            bad[doubtful] |= _dot(turned, normal[doubtful]) < 0
        return bad | (size < self.LEAST_AREA * rest_size)

    def _rotations(self, vertices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Rotation (k, 3, 3) of the surroundings of some triangles since rest."""
        near = self.within_two[chosen]
        count = np.asarray(near.sum(axis=1)).reshape(-1, 1)
        before, after = near @ self.rest / count, near @ vertices / count
        products = (self.rest[:, :, None] * vertices[:, None, :]).reshape(-1, 9)
        moments = (near @ products / count).reshape(-1, 3, 3)
        moments -= before[:, :, None] * after[:, None, :]
        u, _, vt = np.linalg.svd(moments)
        vt[:, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        return np.swapaxes(u @ vt, 1, 2)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b)
