"""Crops without a well-placed face, for training and for judging ``presence``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CROP_SIZE
from facegeo.images.collections import Chosen, ImageCollection, open_images

#: Every so-many-th background photo, in the order of the names, is for evaluation only.
HELD_BACK_EVERY = 5

#: Smallest side of a square that is cut from a background, pixels.
_SMALLEST_SQUARE = 40


class Split(NamedTuple):
    """Numbers of the photos to train on, and of those that are held back."""

    training: list[int]
    held_back: list[int]


def split_backgrounds(names: Sequence[str], every: int = HELD_BACK_EVERY) -> Split:
    """The one division of background photos: the first of every five, by file name, is held back.

    It depends on the names alone, not on the order in which an archive has them.

    Parameters
    ----------
    names : sequence of str
        Paths; what precedes the file's name does not count.
    every : int

    Raises
    ------
    InvalidInputError
        If there are fewer than two photos, of which one part would be empty.
    """
    if len(names) < 2:
        raise InvalidInputError(
            f"backgrounds: expected at least 2 photos, got {len(names)}; one of every {every} is "
            "held back for evaluation"
        )
    order = sorted(range(len(names)), key=lambda index: PurePosixPath(names[index]).name)
    held_back = sorted(order[::every])
    kept = set(held_back)
    return Split([index for index in range(len(names)) if index not in kept], held_back)


def training_backgrounds(path: str | Path) -> ImageCollection:
    """The photos of a folder or tar archive that are not held back."""
    images = open_images(path)
    return Chosen(images, split_backgrounds(images.names).training)


def held_back_backgrounds(path: str | Path) -> ImageCollection:
    """The photos of a folder or tar archive that nothing is trained on."""
    images = open_images(path)
    return Chosen(images, split_backgrounds(images.names).held_back)


def background_crop(
    image: np.ndarray, rng: np.random.Generator, size: int = CROP_SIZE
) -> np.ndarray:
    """A random square of an image without faces."""
    height, width = image.shape[:2]
    smallest = min(_SMALLEST_SQUARE, height, width)
    side = int(rng.integers(smallest, min(height, width) + 1))
    x, y = (int(rng.integers(0, extent - side + 1)) for extent in (width, height))
    square = image[y : y + side, x : x + side]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size, size), interpolation=method))


def half_a_face(points: np.ndarray, rois: np.ndarray, seed: int = 0) -> np.ndarray:
    """Shifts by half of each face's size, each in a random direction of its own.

    Parameters
    ----------
    points : (N, K, 2) float
        Landmarks, photo pixels; a face is as large as sqrt(width x height) of their box.
    rois : (N, 4) float
        ``xyxy`` of the crops in the photos.

    Returns
    -------
    shift : (N, 2) float64
        Crop pixels, x right, y down.
    """
    face = np.sqrt(np.ptp(points, axis=1).prod(axis=1))
    face_px = CROP_SIZE * face / np.ptp(rois[:, [0, 2]], axis=1)
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(points))
    return 0.5 * face_px[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def shifted_crops(crops: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Crops ``(N, S, S, 3)`` moved by ``(N, 2)`` crop pixels; what comes in is black."""
    size = crops.shape[1]
    moved = np.empty_like(crops)
    for crop, (dx, dy), target in zip(crops, shift, moved, strict=True):
        matrix = np.array([[1, 0, dx], [0, 1, dy]])
        cv2.warpAffine(crop, matrix, (size, size), dst=target, flags=cv2.INTER_LINEAR)
    return moved
