"""Faces drawn with a face model, and their labels: training data that anybody has.

Shape, expression, pose and light are random; the skin is that of the sample photo, recoloured. The
labels are exact, but a network that has seen nothing else knows no hair, no glasses and one person.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from facegeo.backends import REFERENCE
from facegeo.base.files import replacing
from facegeo.base.progress import ProgressLine
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import (
    CROP_SIZE,
    find_convention,
    pose_from_crop,
    rois_from_landmarks,
)
from facegeo.geometry.pose import rotation_from_euler
from facegeo.images.demo import sample_photo
from facegeo.morphable import MorphableModel
from facegeo.predictor import FaceGeometry
from facegeo.render import interpolate, rasterize, vertex_normals
from facegeo.render.texture import texel_positions
from facegeo.surface.dense import dense_faces
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of, write_labels

#: Of the labels, as of every network that is trained here.
CONVENTION: Final = find_convention("exact")

#: Files of :func:`write_synthetic` in its folder.
CROPS, LABELS = "crops.tar", "labels.npz"

#: Largest yaw, pitch and roll, in degrees.
_MOST_DEG = (60.0, 25.0, 25.0)

#: Standard deviation of shape and expression, as a part of the model's.
_SPREAD = 0.8

#: Blendshapes of a face that are not 0, on average.
_EXPRESSIONS = 5

#: A face's box fills this part of the crop, as :func:`facegeo.geometry.crop.rois_from_landmarks`
#: places it; by how much size and middle vary, as parts of the crop.
_FILLED, _SIZE_SPREAD, _SHIFT_SPREAD = 2**-0.5, 0.06, 0.03

_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SyntheticFaces:
    """Crops with their labels.

    Attributes
    ----------
    crops : (N, 120, 120, 3) uint8
        BGR.
    params : (N, P) float32
        Of the crop convention ``exact``.
    landmarks : (N, 68, 3) float32
        Crop pixels.
    """

    crops: np.ndarray
    params: np.ndarray
    landmarks: np.ndarray


class FacePainter:
    """Draws random faces of a model.

    Parameters
    ----------
    model : MorphableModel
        With texture coordinates.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self._face = CoarseFace(model, CONVENTION)
        self._colors = _skin(model)[self._face.rows]

    def draw(self, count: int, seed: int = 0) -> SyntheticFaces:
        """Random faces; the k-th of a seed is the same whatever the count."""
        if count < 1:
            raise InvalidInputError(f"count: expected at least 1, got {count}")
        generators = [np.random.default_rng((seed, k)) for k in range(count)]
        params = np.stack([random_params(rng, self.model) for rng in generators])
        vertices = self._face.vertices(params)
        crops = np.empty((count, CROP_SIZE, CROP_SIZE, 3), np.uint8)
        with ProgressLine("faces", count) as progress:
            for crop, face, rng in zip(crops, vertices, generators, strict=True):
                crop[:] = self._picture(face, rng)
                progress.update()
        return SyntheticFaces(crops, params, landmarks_of(params, self.model, CONVENTION))

    def _picture(self, vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        triangles = self._face.triangles
        # Smooth fields of light and colour: a face in the sun, in a room, before a screen.
        light = rotation_from_euler(rng.uniform(-60, 60, (1, 3)))[0] @ (0, 0, 1)
        shade = np.clip(vertex_normals(vertices, triangles) @ light, 0, 1)[:, None]
        strength = rng.uniform(0.2, 0.9)
        colors = self._colors * rng.uniform(0.55, 1.25) * rng.uniform(0.85, 1.15, 3)
        colors = colors * (1 - strength + strength * shade)
        raster = rasterize(vertices, triangles, CROP_SIZE, CROP_SIZE, threads=1)
        drawn = interpolate(raster, triangles, colors.astype(np.float32))
        border = cv2.GaussianBlur(raster.covered.astype(np.float32), (0, 0), 0.7)[..., None]
        mixed = _background(rng) * (1 - border) + drawn * border
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def random_params(rng: np.random.Generator, model: MorphableModel) -> np.ndarray:
    """A random face in the middle of a crop: ``(P,)`` float32."""
    most = np.array(_MOST_DEG)
    rotation = rotation_from_euler(rng.uniform(-most, most)[None])[0]
    basis = model.landmark_basis
    deviations = np.concatenate([basis.shape_std, basis.expression_std])
    coefficients = _SPREAD * deviations * rng.normal(size=len(deviations))
    if basis.expression_range is not None:  # blendshapes: a few of them at a time
        count = model.num_expression
        chosen = rng.random(count) < _EXPRESSIONS / max(count, 1)
        low, high = basis.expression_range
        coefficients[model.num_shape :] = np.where(chosen, rng.uniform(low, high, count), 0)
    affine = np.zeros((1, 3, 4))
    affine[0, :, :3] = np.diag([1, -1, 1]) @ rotation
    shape, expression = np.split(coefficients[None].astype(np.float32), [model.num_shape], axis=1)
    points = model.landmarks(shape, expression, affine.astype(np.float32))
    # Scaled and moved to where a tracker would have cut the crop, more or less.
    x0, y0, x1, y1 = rois_from_landmarks(1000 * points)[0] / 1000
    scale = CROP_SIZE / (x1 - x0) * np.exp(rng.normal(0, _SIZE_SPREAD))
    middle = CROP_SIZE * (0.5 + rng.normal(0, _SHIFT_SPREAD, 2)) - 0.5
    affine[0, :, :3] *= scale
    affine[0, :2, 3] = middle - scale * np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    pose = pose_from_crop(affine, CONVENTION).reshape(12)
    return np.concatenate([pose, coefficients]).astype(np.float32)


def write_synthetic(folder: str | Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Draw faces and write them as :func:`facegeo.training.data.datasets.read_labelled` reads them.

    Parameters
    ----------
    folder : path
        ``crops.tar`` and ``labels.npz`` are written there.

    Returns
    -------
    report : dict
        ``faces``, ``pictures`` and ``labels``.
    """
    folder = Path(folder)
    model = MorphableModel.default()
    faces = FacePainter(model).draw(count, seed)
    names = [f"{k:06d}.jpg" for k in range(count)]
    with replacing(folder / CROPS) as temporary, tarfile.open(temporary, "w") as archive:
        for name, crop in zip(names, faces.crops, strict=True):
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            data = cv2.imencode(".jpg", crop, quality)[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    write_labels(folder / LABELS, names, faces.params, faces.landmarks, model.name)
    return {
        "faces": count,
        "pictures": str(folder / CROPS),
        "labels": str(folder / LABELS),
    }


def _skin(model: MorphableModel) -> np.ndarray:
    """Colours of the vertices in the sample photo, ``(V, 3)`` float32 BGR; unseen: by symmetry."""
    image = sample_photo()
    predictor = FaceGeometry(backend=REFERENCE, device="cpu", precision="fp32")
    texture = dense_faces(predictor(image), model).texture(0, image)
    if texture is None or model.uv is None or model.uv_triangles is None:
        raise InvalidInputError("model: expected a face model with texture coordinates")
    size = len(texture.image)
    # Along the seams of the layout a vertex has several places: any of them will do.
    places = np.zeros((model.num_vertices, 2), np.float32)
    places[model.triangles] = model.uv[model.uv_triangles]
    column, row, _ = np.clip(np.rint(texel_positions(places, size)), 0, size - 1).astype(int).T
    return texture.image[row, column].astype(np.float32)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Blurred noise between two colours, ``(120, 120, 3)`` float32."""
    cells = int(rng.integers(2, 12))
    blocks = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    noise = cv2.resize(blocks, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
    plain = rng.uniform(0, 255, 3).astype(np.float32)
    part = np.float32(rng.uniform(0, 1))
    return np.asarray(plain + part * (noise - plain), np.float32)
