"""Outputs of a landmark network as faces: points in photo pixels, parameters of the face model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegeo.backends.base import Backend
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry import crop
from facegeo.geometry.depth import from_eyes
from facegeo.geometry.params import split
from facegeo.morphable.bridge import ParameterBridge
from facegeo.results import FaceBatch
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import InstalledModel

_BRIDGE = "bridge"


class NetworkOutputs:
    """Meaning of a network's outputs, as its card states it.

    Where the card has a bridge, the network's parameters are taken to those of the card's face
    model, and the coarse landmarks are that model's.

    Parameters
    ----------
    installed : InstalledModel
    mesh_source : ModelMesh
        Of the same model.
    network : Backend

    Raises
    ------
    CorruptFileError
        If the bridge is damaged, or leads elsewhere than the card says.
    InvalidInputError
        If the network gives another number of parameters than the card says.
    """

    def __init__(self, installed: InstalledModel, mesh_source: ModelMesh, network: Backend) -> None:
        self._convention = crop.find_convention(installed.card.crop_convention)
        self._num_shape = installed.card.num_shape
        self._mesh_source = mesh_source
        self._bridge: ParameterBridge | None = None
        expected = installed.card.num_params
        if _BRIDGE in installed.card.files:
            self._bridge = _opened_bridge(installed)
            expected = self._bridge.num_params
        given = network.output_metadata["params"].shape[1]
        if isinstance(given, int) and given != expected:
            raise InvalidInputError(
                f"network: expected {expected} parameters a face, as model "
                f"{installed.card.name!r} has them, this network gives {given}"
            )

    def __call__(
        self, values: Mapping[str, np.ndarray], rois: np.ndarray, rotations: np.ndarray
    ) -> FaceBatch:
        """Faces of N crops: the network's outputs, ``(N, 4)`` regions and ``(N,)`` degrees."""
        convention = self._convention
        turns = rotations if rotations.any() else None

        def placed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return from_eyes(crop.crop_to_photo(points, rois, convention, rotations=turns))

        params, coarse_in_crop = values["params"], values.get("coarse_landmarks")
        if self._bridge is not None:
            params = self._bridge(params)
            coarse_in_crop = self._landmarks(params)
        refined, depths = placed(values["landmarks"])
        coarse = refined
        if coarse_in_crop is not None:
            coarse, depths = placed(coarse_in_crop)
        presence = values.get("presence", np.full(len(params), np.nan, np.float32))
        told = {}
        if "visibility" in values:
            told["visibility"] = values["visibility"]
        if "covariance" in values:
            told["covariance"] = crop.covariance_to_photo(
                values["covariance"], rois, convention, turns
            )
        return FaceBatch(
            params,
            refined,
            coarse,
            presence,
            rois,
            convention,
            rotations,
            depths,
            self._num_shape,
            **told,
        )

    def _landmarks(self, params: np.ndarray) -> np.ndarray:
        """The face model's own landmarks, crop pixels."""
        pose, shape, expression = split(params, self._num_shape)
        affine = crop.pose_to_crop(pose, self._convention)
        return self._mesh_source.morphable.landmarks(shape, expression, affine)


def _opened_bridge(installed: InstalledModel) -> ParameterBridge:
    name = str(installed.path(_BRIDGE))
    bridge = ParameterBridge.parse(installed.read(_BRIDGE), name)
    card = installed.card
    found = (bridge.target_num_shape, bridge.target_num_expression)
    if found != (card.num_shape, card.num_expression):
        raise CorruptFileError(
            f"{name}: expected a bridge to {card.num_shape} shape and {card.num_expression} "
            f"expression modes, as the card says, got one to {found[0]} and {found[1]}"
        )
    return bridge
