"""The shipped head, read without the library's reader: the tests see what is in the file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
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


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the area along the outward normal, (F, 3)."""
    corners = vertices[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


class Folds:
    """Finds triangles that are turned over.

    A triangle is, where its normal points against the rest face's and against the mean normal of
    the triangles at its corners: lips and lids roll by more than a right angle when they open, but
    with their surroundings.
    """

    def __init__(self, rest: np.ndarray, triangles: np.ndarray) -> None:
        self.triangles = triangles
        self.rest = normals(rest, triangles)
        number = np.repeat(np.arange(len(triangles)), 3)
        shape = (len(rest), len(triangles))
        self.around = sparse.csr_matrix(
            (np.ones(triangles.size), (triangles.ravel(), number)), shape
        )

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Mask (F,) of folded triangles."""
        normal = normals(vertices, self.triangles)
        surroundings = (self.around @ normal)[self.triangles].sum(axis=1)
        return ((normal * self.rest).sum(axis=1) < 0) & ((normal * surroundings).sum(axis=1) < 0)
