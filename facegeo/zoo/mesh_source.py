"""The dense mesh of an installed model, loaded when first asked for."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from facegeo.errors import CorruptFileError, MissingBasisError
from facegeo.geometry.params import split
from facegeo.morphable import DEFAULT_FACE_MODEL, MorphableModel
from facegeo.results import Mesh
from facegeo.zoo.store import InstalledModel, find

_ROLE = "morphable"


class ModelMesh:
    """Parameters to vertices by the morphable model of a network.

    A pickle of it holds the model's name and the checksum of its bases, not the bases; where it is
    unpickled, the model is looked for when a mesh is first asked for.
    """

    def __init__(self, model: InstalledModel) -> None:
        self._model = model

    def __reduce__(self) -> tuple[Any, ...]:
        card = self._model.card
        bases = card.files.get(_ROLE)
        return _by_name, (card.name, card.unit_mm, None if bases is None else bases.sha256)

    @property
    def unit_mm(self) -> float:
        """Millimetres in one model unit."""
        return self._model.card.unit_mm

    @cached_property
    def morphable(self) -> MorphableModel:
        """The 3DMM. Raises MissingBasisError that names the missing file."""
        card = self._model.card
        if _ROLE not in card.files:
            raise MissingBasisError(
                f"model {card.name!r} has landmarks but no dense mesh: it was imported without "
                f"{card.missing.get('morphable', 'its dense bases')}; import it again from a "
                f"folder that holds them, or fit {DEFAULT_FACE_MODEL}: "
                "facegeo.surface.dense.dense_faces(faces)"
            )
        self._model.read(_ROLE)  # compares the checksum
        return MorphableModel.load(self._model.path(_ROLE))

    def vertices(
        self, params: np.ndarray, affine: np.ndarray, *, out: np.ndarray | None = None
    ) -> np.ndarray:
        """(N, P) parameters placed by (N, 3, 4) matrices: (N, V, 3) float32, into ``out``."""
        _, shape, expression = split(params, self.morphable.num_shape)
        return self.morphable.vertices(shape, expression, affine, out=out)

    def depths(self, params: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Depth, (N,) float32, of the eye corners' middle in meshes so placed."""
        _, shape, expression = split(params, self.morphable.num_shape)
        return self.morphable.landmark_basis.depths(shape, expression, affine)

    def mesh(self, params: np.ndarray, affine: np.ndarray) -> Mesh:
        """The mesh of one face: (P,) parameters and (3, 4) matrix."""
        vertices = self.vertices(params[None], affine[None])[0]
        return Mesh(vertices, self.morphable.triangles)


class _NamedMesh(ModelMesh):
    """The same in a process where only the model's name is known."""

    def __init__(self, name: str, unit_mm: float, sha256: str | None) -> None:
        self._name, self._unit_mm, self._sha256 = name, unit_mm, sha256

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self._name, self._unit_mm, self._sha256)

    @property
    def unit_mm(self) -> float:
        return self._unit_mm

    @cached_property
    def morphable(self) -> MorphableModel:
        """The 3DMM.

        Raises
        ------
        ModelNotFoundError
            If the model is not installed here.
        CorruptFileError
            If it is installed here with other bases.
        MissingBasisError
            If it has none.
        """
        model = find(self._name)
        bases = model.card.files.get(_ROLE)
        if self._sha256 is not None and bases is not None and bases.sha256 != self._sha256:
            raise CorruptFileError(
                f"model {self._name!r}: installed here with other dense bases than those of the "
                "faces that were unpickled; install the same version on both sides"
            )
        return ModelMesh(model).morphable


@lru_cache(maxsize=8)
def _by_name(name: str, unit_mm: float, sha256: str | None) -> _NamedMesh:
    """One for all faces that are unpickled in a process, whose bases are then loaded once."""
    return _NamedMesh(name, unit_mm, sha256)
