"""Small labelled faces, in files of the layouts that the readers take."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facegeo.geometry.crop import find_convention
from facegeo.morphable import MorphableModel
from facegeo.training.data.datasets import LabelledFaces, landmarks_of, read_labelled, write_labels
from facegeo.training.data.sample import Sample

CONVENTION = find_convention("exact")


def some_params(count: int, seed: int = 0) -> np.ndarray:
    """Faces in the middle of a crop, each of its own size, turn and shape."""
    from facegeo.geometry.pose import rotation_from_euler

    rng = np.random.default_rng(seed)
    rotation = rotation_from_euler(rng.uniform(-35, 35, (count, 3)))
    pose = np.zeros((count, 3, 4))
    pose[:, :, :3] = rng.uniform(0.38, 0.46, count)[:, None, None] * rotation
    pose[:, :, 3] = np.array([59.5, 59.5, 0]) + rng.normal(0, 2, (count, 3))
    coefficients = rng.normal(0, 0.7, (count, 50))
    return np.concatenate([pose.reshape(count, 12), coefficients], axis=1).astype(np.float32)


def painted(landmarks: np.ndarray) -> np.ndarray:
    """A crop with a bright dot at every landmark."""
    crop = np.full((120, 120, 3), 40, np.uint8)
    for x, y in np.rint(landmarks[:, :2]).astype(int).tolist():
        cv2.circle(crop, (x, y), 1, (200, 220, 240), -1)
    return crop


#: Grey value around the face of :func:`dotted_face`.
BACKGROUND = 60


def dotted_face(model: MorphableModel, euler_deg=(0.0, 0.0, 0.0), dots=()) -> Sample:
    """The mean face in the middle of a crop; a soft bright dot on each of these landmarks."""
    from facegeo.geometry.pose import rotation_from_euler

    pose = np.zeros((1, 3, 4))
    pose[:, :, :3] = 0.4 * rotation_from_euler(np.array([euler_deg]))
    pose[:, :, 3] = (60, 62, 0)
    params = np.concatenate([pose.reshape(1, 12), np.zeros((1, 50))], axis=1).astype(np.float32)
    landmarks = landmarks_of(params, model, CONVENTION)
    rows, columns = np.mgrid[0:120, 0:120]
    crop = np.full((120, 120), float(BACKGROUND))
    for x, y in landmarks[0, list(dots), :2]:
        crop += 190 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4)
    picture = np.repeat(np.clip(crop, 0, 255)[..., None], 3, axis=2).astype(np.uint8)
    return Sample(picture, params[0], landmarks[0])


def place_of_dot(crop: np.ndarray) -> np.ndarray:
    """Where the one dot of a :func:`dotted_face` is, (x, y)."""
    bright = np.clip(crop[..., 0].astype(float) - BACKGROUND - 60, 0, None)
    rows, columns = np.mgrid[0 : len(crop), 0 : len(crop)]
    return np.array([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()


def write_faces(folder: Path, model: MorphableModel, count: int = 16) -> LabelledFaces:
    """A folder of crops with labels, as photos labelled by another model are."""
    params = some_params(count)
    landmarks = landmarks_of(params, model, CONVENTION)
    (folder / "crops").mkdir(parents=True)
    names = [f"face{i:02d}.png" for i in range(count)]
    for name, points in zip(names, landmarks, strict=True):
        cv2.imwrite(str(folder / "crops" / name), painted(points))
    write_labels(folder / "labels.npz", names, params, landmarks, model.name)
    return read_labelled(folder / "labels.npz", folder / "crops")
