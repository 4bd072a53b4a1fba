"""68 points that people set, with what they saw of each: readers of MERL-RAV's and iBUG's files.

Points are exact pixels of the crops (x right, y down, 0 is the centre of the first pixel). What is
kept for validation is told by the names alone, so that every file agrees about it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from facegeo.base.arrays import array_of
from facegeo.base.npz import load_npz
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.crop import (
    CROP_SIZE,
    crop_faces,
    find_convention,
    photo_to_crop,
    rois_from_landmarks,
)
from facegeo.images import decode_photo
from facegeo.images.collections import ImageCollection, TarImages
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN

#: The states that annotators can give, in the numbers of both MERL-RAV's file and the labels.
_STATES: Final = (SEEN, COVERED, TURNED_AWAY)

_EXACT: Final = find_convention("exact")


@dataclass(frozen=True, eq=False)
class Manual68:
    """68 points of N faces, as far as people set them.

    Attributes
    ----------
    points : (N, 68, 2) float64
        Exact crop pixels; NaN where nobody set one.
    state : (N, 68) uint8
        ``SEEN``, ``COVERED`` (the place is estimated), ``TURNED_AWAY``, or ``UNKNOWN``.
    """

    points: np.ndarray
    state: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    @property
    def is_set(self) -> np.ndarray:
        """(N, 68) bool: somebody set the point."""
        return np.asarray(np.isfinite(self.points).all(axis=2))

    def some(self, chosen: np.ndarray) -> Manual68:
        """The points of some faces."""
        return Manual68(self.points[chosen], self.state[chosen])


@dataclass(frozen=True, eq=False)
class MerlRav:
    """MERL-RAV's points of the crops of AFLW, a row for every crop.

    Attributes
    ----------
    manual : Manual68
        Nothing is set in crops that it does not know, or not with certainty.
    recommended : (N,) bool
        It has points that fit the crop.
    validation : (N,) bool
        Nothing is trained on these: MERL-RAV's test set, of it the even half by the checksum of the
        name; those that are not recommended are among them.
    """

    manual: Manual68
    recommended: np.ndarray
    validation: np.ndarray


def read_merl_rav(path: str | Path, names: Sequence[str], rois: np.ndarray) -> MerlRav:
    """MERL-RAV's 68 points (Kumar et al. 2020) for crops of AFLW.

    Parameters
    ----------
    path : path
        ``.npz`` with ``index`` and ``names`` (rows and names of the crops), ``pts68`` (crop pixels
        at the crop's width, NaN where turned away), ``state``, ``recommended`` and ``split``.
    names : sequence of str
        Of all crops.
    rois : (N, 4) float
        Of all crops in their photos: of a crop that is no square the file has y at x's scale.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the file is none, or is not of these crops.
    """
    path = Path(path)
    arrays = load_npz(path, ("index", "names", "pts68", "state", "recommended", "split"))
    count = arrays["index"].size
    try:
        index = array_of("index", arrays["index"], (count,), np.int64)
        given = array_of("pts68", arrays["pts68"], (count, NUM_LANDMARKS, 2), float, finite=False)
        state = array_of("state", arrays["state"], (count, NUM_LANDMARKS), np.int64)
        good = array_of("recommended", arrays["recommended"], (count,), bool)
        if arrays["names"].shape != (count,) or arrays["split"].shape != (count,):
            raise InvalidInputError("names and split: expected as many as there are in index")
        if len(np.unique(index)) != count or (count and not index.min() >= 0):
            raise InvalidInputError("index: expected a different row for each face")
        if not np.isin(state, _STATES).all():
            raise InvalidInputError(f"state: expected {_STATES}, got {np.unique(state).tolist()}")
        known = np.array([str(name) for name in names])
        if count and (index.max() >= len(known) or (known[index] != arrays["names"]).any()):
            raise InvalidInputError("index and names: expected the rows and names of these crops")
    except InvalidInputError as error:
        raise CorruptFileError(f"{path}: not MERL-RAV's points of these crops ({error})") from error
    size = np.asarray(rois, np.float64)[:, 2:] - np.asarray(rois, np.float64)[:, :2]
    given[..., 1] = (given[..., 1] + 0.5) * (size[index, 0] / size[index, 1])[:, None] - 0.5
    given[state == TURNED_AWAY] = np.nan
    test = np.zeros(len(known), bool)
    test[index] = arrays["split"] == "test"
    recommended = np.zeros(len(known), bool)
    recommended[index] = good
    points = np.full((len(known), NUM_LANDMARKS, 2), np.nan)
    states = np.full((len(known), NUM_LANDMARKS), UNKNOWN, np.uint8)
    points[index[good]], states[index[good]] = given[good], state[good]
    return MerlRav(Manual68(points, states), recommended, test & one_in(2, known))


def one_in(parts: int, names: Iterable[str]) -> np.ndarray:
    """Mask ``(N,)`` of the names whose CRC-32 is a multiple of ``parts``."""
    return np.array([zlib.crc32(str(name).encode()) % parts == 0 for name in names], bool)


@dataclass(frozen=True, eq=False)
class PointFaces:
    """Photos of one face each, with 68 manual points.

    Attributes
    ----------
    pictures : ImageCollection
        Crops with some surroundings, of any size.
    points : (N, 68, 2) float64
        Pixels of the pictures; 0 is the centre of the first one.
    rois : (N, 4) float32
        ``xyxy`` of the crops in the pictures, as :func:`rois_from_landmarks` places them around the
        manual points.
    """

    pictures: ImageCollection
    points: np.ndarray
    rois: np.ndarray

    @classmethod
    def open(cls, folder: str | Path) -> PointFaces:
        """A folder with ``crops.tar`` and ``annotations.npz`` (``names``, ``pts68``).

        Raises
        ------
        UnreadableFileError, CorruptFileError
            The message names the file, and the array whose shape is wrong.
        """
        path = Path(folder) / "annotations.npz"
        arrays = load_npz(path, ("names", "pts68"))
        names = [str(name) for name in arrays["names"].ravel()]
        try:
            points = array_of("pts68", arrays["pts68"], (len(names), NUM_LANDMARKS, 2), float)
        except InvalidInputError as error:
            raise CorruptFileError(f"{path}: {error}") from error
        pictures = TarImages(Path(folder) / "crops.tar", names)
        return cls(pictures, points, rois_from_landmarks(points))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def validation(self) -> np.ndarray:
        """(N,) bool: nothing is trained on these; one in ten, by the checksum of the name."""
        return one_in(10, self.pictures.names)

    def crop(self, index: int, size: int = CROP_SIZE) -> np.ndarray:
        """The face cut out, ``(size, size, 3)`` uint8.

        Raises
        ------
        UnreadableFileError, CorruptFileError
            If the picture is missing or damaged.
        """
        name = self.pictures.names[index]
        picture = decode_photo(self.pictures.read(index), name)
        return np.asarray(crop_faces(picture, self.rois[index : index + 1], size)[0])

    def manual(self, size: int = CROP_SIZE) -> Manual68:
        """The points in the crops. Nobody said which of them are seen."""
        lifted = np.concatenate([self.points, np.zeros_like(self.points[..., :1])], axis=2)
        points = photo_to_crop(lifted, self.rois, _EXACT, size)[..., :2].astype(np.float64)
        return Manual68(points, np.full(points.shape[:2], UNKNOWN, np.uint8))


def jpeg(crop: np.ndarray, quality: int = 95) -> bytes:
    """A crop as a JPEG file."""
    return bytes(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
