"""Faces to dense surfaces: the network's own morphable model, else the default one, fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from facegeo.errors import InvalidInputError, MissingBasisError
from facegeo.geometry import params as parameters
from facegeo.geometry.axes import flip_rows
from facegeo.geometry.pose import decompose_affine
from facegeo.morphable import MorphableModel
from facegeo.morphable.following import follow_landmarks
from facegeo.render import (
    Raster,
    Texture,
    coarse_mesh,
    depth_map,
    rasterize,
    sample_texture,
)
from facegeo.results import Face
from facegeo.surface.eyes import with_whites
from facegeo.surface.mesh_files import Surface, model_surface, sample_vertex_colors

#: What turns millimetres into a mesh file's unit: GLB is in metres by its standard.
_FILE_UNIT = {"obj": 1.0, "ply": 1.0, "glb": 1e-3}

#: Coarse meshes of models in use: finding one takes as long as drawing twenty.
_coarse: WeakKeyDictionary[MorphableModel, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class DenseFaces:
    """N faces of one photo as instances of one morphable model.

    Attributes
    ----------
    model : MorphableModel
    shape : (N, Ns) float32
    expression : (N, Ne) float32
    affine : (N, 3, 4) float32
        Model units to photo pixels.
    fitted : bool
        Whether the model was fitted to the landmarks, for lack of the network's own.
    """

    model: MorphableModel
    shape: np.ndarray
    expression: np.ndarray
    affine: np.ndarray
    fitted: bool

    def __len__(self) -> int:
        return len(self.shape)

    @cached_property
    def vertices(self) -> np.ndarray:
        """(N, V, 3) float32, photo pixels."""
        return self.model.vertices(self.shape, self.expression, self.affine)

    @property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertex rows and triangles of a mesh that is coarse enough to draw its edges."""
        if self.model not in _coarse:
            _coarse[self.model] = coarse_mesh(self.model.mean, self.model.triangles)
        return _coarse[self.model]

    def raster(self, height: int, width: int) -> Raster:
        """All faces in one z-buffer, so that they hide each other."""
        return rasterize(self.vertices, self.model.triangles, height, width)

    @property
    def blendshapes(self) -> list[dict[str, float] | None]:
        """Weights of the model's expressions by name, as the meshes show them, one a face.

        None where the model names no expressions.
        """
        names = self.model.expression_names
        return [
            dict(zip(names, weights, strict=True)) if names else None
            for weights in self.expression.tolist()
        ]

    @property
    def mm_per_px(self) -> np.ndarray:
        """(N,) float64: millimetres of each face in a photo pixel, by its model's size."""
        scale, _, _ = decompose_affine(flip_rows(self.affine))
        millimetres: np.ndarray = self.model.unit_mm / scale
        return millimetres

    def depth(self, height: int, width: int) -> np.ndarray:
        """Depth of what is seen, (H, W) float32, millimetres, NaN where no face is.

        Larger towards the viewer, from each face's own origin of z: how far two people stand from
        each other, a photo does not show.
        """
        return depth_map(self.raster(height, width), self.mm_per_px)

    def texture(self, index: int, image: np.ndarray, size: int = 1024) -> Texture | None:
        """A face's UV texture from the photo; None where the model has no UV layout."""
        model = self.model
        if model.uv is None or model.uv_triangles is None:
            return None
        sampled = sample_texture(
            image,
            self.vertices[index],
            model.triangles,
            model.uv,
            model.uv_triangles,
            size=size,
            mirror=None if model.mirror is None else model.mirror.vertices,
        )
        return with_whites(sampled, model)

    def surface(self, index: int, image: np.ndarray, kind: str) -> Surface:
        """A face for a mesh file: looking straight ahead, coloured from the photo.

        Parameters
        ----------
        kind : {"obj", "ply", "glb"}
            All carry a texture where the model has a UV layout, PLY vertex colours as well; OBJ and
            PLY are in millimetres, GLB in metres.
        """
        texture, colours = self.texture(index, image), None
        if texture is None or kind == "ply":
            colours = sample_vertex_colors(image, self.vertices[index])
        return model_surface(
            self.model,
            self.shape[index],
            self.expression[index],
            scale=self.model.unit_mm * _FILE_UNIT[kind],
            texture=None if texture is None else texture.image,
            colors=colours,
        )


def dense_faces(
    faces: Sequence[Face], model: MorphableModel | None = None, *, coarse: bool = False
) -> DenseFaces:
    """Faces that came from one predictor as dense surfaces.

    Parameters
    ----------
    faces : sequence of Face
    model : MorphableModel, optional
        Fit this model to the landmarks. Without it the network's own parameters are used where its
        dense bases are installed, else the default model is fitted.
    coarse : bool
        Use these parameters as they are, as :attr:`Face.coarse_mesh`. By default they are moved
        onto the landmarks, as :attr:`Face.mesh`. What is fitted lies on the landmarks anyway.

    Raises
    ------
    InvalidInputError
        If ``coarse`` is asked of a model that is fitted.
    MissingBasisError
        If ``coarse`` is asked of a network without dense bases.
    """
    if coarse and model is not None:
        raise InvalidInputError("coarse: expected no model, whose parameters would be fitted")
    if model is None and faces:
        try:
            return _by_parameters(faces, coarse)
        except MissingBasisError:
            if coarse:
                raise
    model = model or MorphableModel.default()
    landmarks = np.stack([face.landmarks for face in faces]) if faces else np.zeros((0, 68, 3))
    fit = model.fit(landmarks)
    return DenseFaces(model, fit.shape, fit.expression, fit.pose, fitted=True)


def _by_parameters(faces: Sequence[Face], coarse: bool) -> DenseFaces:
    model = faces[0].mesh_source.morphable
    params = np.stack([face.params for face in faces])
    _, shape, expression = parameters.split(params, faces[0].num_shape)
    affine = np.stack([face.affine for face in faces])
    if not coarse:
        landmarks = np.stack([face.landmarks for face in faces])
        found = follow_landmarks(model.landmark_basis, landmarks, shape, expression, affine)
        shape, expression, affine = found.shape, found.expression, found.pose
    return DenseFaces(model, shape, expression, affine, fitted=False)
