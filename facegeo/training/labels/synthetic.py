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
    crop_faces,
    find_convention,
    photo_to_crop,
    pose_from_crop,
    rois_from_landmarks,
)
from facegeo.geometry.params import join
from facegeo.images.demo import sample_photo
from facegeo.morphable import DEFAULT_FACE_MODEL, MorphableModel
from facegeo.morphable.fitting import fit_landmarks
from facegeo.predictor import FaceGeometry
from facegeo.synthetic.head import HeadTables
from facegeo.synthetic.rendered import FaceRenderer, random_params
from facegeo.synthetic.skins import Skin, with_bare_head
from facegeo.training.data.datasets import write_labels
from facegeo.zoo.face_models import load_face_model

#: Of the labels, as of every network that is trained here.
CONVENTION: Final = find_convention("exact")

#: Files of :func:`write_synthetic` in its folder.
CROPS, LABELS = "crops.tar", "labels.npz"

#: Largest yaw: what a network that has seen nothing else can learn in ten minutes.
_MOST_YAW_DEG = 60.0

#: Side of the crop that the skin comes from.
_SKIN_SIZE = 360

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
        With texture coordinates; a coarse mesh is enough.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self._renderer = FaceRenderer(HeadTables(model, CONVENTION))
        self._skin = _skin(model, self._renderer)

    def draw(self, count: int, seed: int = 0) -> SyntheticFaces:
        """Random faces; the k-th of a seed is the same whatever the count."""
        if count < 1:
            raise InvalidInputError(f"count: expected at least 1, got {count}")
        faces = []
        with ProgressLine("faces", count) as progress:
            for number in range(count):
                rng = np.random.default_rng((seed, number))
                params = random_params(rng, self._renderer.head, _MOST_YAW_DEG)
                faces.append(self._renderer.alone(params, self._skin, _background(rng), rng))
                progress.update()
        return SyntheticFaces(
            np.stack([face.crop for face in faces]),
            np.stack([face.params for face in faces]),
            np.stack([face.landmarks for face in faces]),
        )


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
    model = load_face_model(DEFAULT_FACE_MODEL, detail="low")
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


def sample_face(
    model: MorphableModel, size: int = CROP_SIZE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The person in the sample photo as a labelled crop.

    Parameters
    ----------
    size : int
        Side of the crop.

    Returns
    -------
    crop : (size, size, 3) uint8
    params : (P,) float32
    landmarks : (68, 3) float32
        Of a crop of side 120, whatever its size is.
    """
    image = sample_photo()
    predictor = FaceGeometry(backend=REFERENCE, device="cpu", precision="fp32")
    landmarks = np.stack([face.landmarks for face in predictor(image)])[:1]
    rois = rois_from_landmarks(landmarks)
    points = photo_to_crop(landmarks, rois, CONVENTION)
    fit = fit_landmarks(model.landmark_basis, points)
    params = join(pose_from_crop(fit.pose, CONVENTION), fit.shape, fit.expression)
    return crop_faces(image, rois, size)[0], params[0].astype(np.float32), points[0]


def _skin(model: MorphableModel, renderer: FaceRenderer) -> Skin:
    crop, params, _ = sample_face(model, _SKIN_SIZE)
    return with_bare_head(renderer.skin(crop, params, np.random.default_rng(0)), renderer.head)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Blurred noise between two colours, ``(120, 120, 3)`` float32."""
    cells = int(rng.integers(2, 12))
    blocks = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    noise = cv2.resize(blocks, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
    plain = rng.uniform(0, 255, 3).astype(np.float32)
    part = np.float32(rng.uniform(0, 1))
    return np.asarray(plain + part * (noise - plain), np.float32)
