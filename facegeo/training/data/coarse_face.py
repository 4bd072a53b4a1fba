"""A face model cut down to what a crop of 120 pixels can show of it."""

from __future__ import annotations

import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import CropConvention, pose_to_crop
from facegeo.geometry.params import split
from facegeo.morphable import MorphableModel
from facegeo.render import coarse_mesh

#: Vertices: a few for every ten pixels.
_VERTICES = 3000


class CoarseFace:
    """Faces of a model as coarse meshes in their crops.

    Parameters
    ----------
    model : MorphableModel
    convention : CropConvention
        Of the parameters that will be given.

    Attributes
    ----------
    convention : CropConvention
    rows : (V,) integers
        The model's vertices that are left.
    triangles : (F, 3) integers
    skin : (F, 3) integers
        Those of them that belong to the region ``face``, where the model has it.
    """

    def __init__(self, model: MorphableModel, convention: CropConvention) -> None:
        # Plain arrays: they travel to worker processes.
        rows, self.triangles = coarse_mesh(model.mean, model.triangles, _VERTICES)
        self.rows = rows
        self._mean = model.mean[rows]
        modes = np.concatenate([model.shape_basis, model.expression_basis])[:, rows]
        self._modes = modes.reshape(len(modes), -1)
        self.convention = convention
        self.skin = self.triangles
        if "face" in model.regions:
            self.skin = self.triangles[model.regions["face"][rows][self.triangles].all(axis=1)]

    def vertices(self, params: np.ndarray) -> np.ndarray:
        """``(N, P)`` to ``(N, V, 3)`` float32, crop pixels."""
        affine = pose_to_crop(split(params).pose, self.convention)
        moved = (params[:, NUM_POSE:] @ self._modes).reshape(len(params), -1, 3) + self._mean
        placed = moved @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
        return np.asarray(placed, np.float32)
