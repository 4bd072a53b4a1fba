"""The dense mesh of an installed model, loaded when first asked for."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from facegeo.errors import MissingBasisError
from facegeo.geometry.params import split
from facegeo.morphable import MorphableModel
from facegeo.results import Mesh
from facegeo.zoo.store import InstalledModel


class ModelMesh:
    """Parameters to vertices by the morphable model of a network."""

    def __init__(self, model: InstalledModel) -> None:
        self._model = model

    @property
    def unit_mm(self) -> float:
        """Millimetres in one model unit."""
        return self._model.card.unit_mm

    @cached_property
    def morphable(self) -> MorphableModel:
        """The 3DMM. Raises MissingBasisError that names the missing file."""
        card = self._model.card
        if "morphable" not in card.files:
            raise MissingBasisError(
                f"model {card.name!r} has landmarks but no dense mesh: it was imported without "
                f"{card.missing.get('morphable', 'its dense bases')}; import it again from a "
                "folder that holds them, or fit facegeo-generic: "
                "facegeo.surface.dense.dense_faces(faces)"
            )
        self._model.read("morphable")  # compares the checksum
        return MorphableModel.load(self._model.path("morphable"))

    def vertices(
        self, params: np.ndarray, affine: np.ndarray, *, out: np.ndarray | None = None
    ) -> np.ndarray:
        """(N, 62) parameters placed by (N, 3, 4) matrices: (N, V, 3) float32, into ``out``."""
        _, shape, expression = split(params)
        return self.morphable.vertices(shape, expression, affine, out=out)

    def depths(self, params: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Depth, (N,) float32, of the eye corners' middle in meshes so placed."""
        _, shape, expression = split(params)
        return self.morphable.landmark_basis.depths(shape, expression, affine)

    def mesh(self, params: np.ndarray, affine: np.ndarray) -> Mesh:
        """The mesh of one face: (62,) parameters and (3, 4) matrix."""
        vertices = self.vertices(params[None], affine[None])[0]
        return Mesh(vertices, self.morphable.triangles)
