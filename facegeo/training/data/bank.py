"""Crops of a training set, decoded once, with variants of them made beforehand.

A run reads every crop some hundred times, and a swapped, reshaped or turned face takes a processor
milliseconds. Both are done once and kept in one folder of plain arrays that are mapped into memory.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegeo.base.files import replacing_folder
from facegeo.base.progress import ProgressLine
from facegeo.errors import CorruptFileError
from facegeo.geometry.crop import CROP_SIZE
from facegeo.images import decode_photo
from facegeo.images.collections import ImageCollection
from facegeo.morphable import MorphableModel
from facegeo.synthetic.negatives import background_crop
from facegeo.training.core.workers import each
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.datasets import LabelledFaces
from facegeo.training.data.sample import Sample
from facegeo.training.data.variants import VariantMaker, labelled
from facegeo.training.data.views import Labels
from facegeo.training.data.visibility import UNKNOWN, unknown

_log = logging.getLogger(__name__)

#: Changes when the same settings give other crops.
_VERSION = 1

#: Crops that are cut from each background photo.
_A_BACKGROUND = 24

#: Faces that a worker makes at a time.
_CHUNK = 32

_ARRAYS = ("crops", "params", "landmarks", "visibility", "backgrounds")


@dataclass(frozen=True, eq=False)
class CropBank:
    """Crops and labels, the faces first, then the variants of each.

    Attributes
    ----------
    crops : (N + N V, 120, 120, 3) uint8
    labels : Labels
        A row a crop.
    backgrounds : (B, 120, 120, 3) uint8
        Squares of photos without faces.
    faces, variants : int
        N and V. Variant v of face i is row N + i V + v.
    """

    crops: np.ndarray
    labels: Labels
    backgrounds: np.ndarray
    faces: int
    variants: int

    def rows(self, faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Rows of these variants of faces; -1 is the face itself."""
        variant = self.faces + faces * self.variants + chosen
        return np.where(chosen < 0, faces, variant)


@dataclass(frozen=True, eq=False)
class BankSource:
    """Source of a bank.

    Attributes
    ----------
    faces : LabelledFaces
    model : MorphableModel
    augment : AugmentConfig
    backgrounds : ImageCollection or None
    variants : int
        Of each face; none are made where ``augment`` asks for none.
    """

    faces: LabelledFaces
    model: MorphableModel
    augment: AugmentConfig
    backgrounds: ImageCollection | None = None
    variants: int = 2
    seed: int = 0

    @property
    def made(self) -> int:
        """Variants that are made of each face."""
        return self.variants if self.augment.made_beforehand else 0

    def key(self) -> str:
        """A name that is another one as soon as a crop or label would be."""
        digest = hashlib.sha256()
        augment = self.augment
        settings = (_VERSION, self.made, self.seed, augment.swap, augment.reshape, augment.turn)
        backgrounds = self.backgrounds.names if self.backgrounds is not None else []
        for text in (settings, self.faces.pictures.names, backgrounds):
            digest.update(repr(list(text)).encode())
        model = self.model
        rows = model.landmark_basis
        arrays = [self.faces.params, self.faces.landmarks]
        arrays += [rows.mean, rows.shape_basis, rows.expression_basis]
        if self.faces.visibility is not None:
            arrays.append(self.faces.visibility)
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        for images in (self.faces.pictures, self.backgrounds):
            for index in range(len(images.names) if images is not None else 0):
                digest.update(images.read(index))  # type: ignore[union-attr]
        return digest.hexdigest()[:16]


def open_bank(source: BankSource, folder: Path, workers: int = 0, shown: bool = True) -> CropBank:
    """The bank of this source below a folder, made if it is not there.

    Parameters
    ----------
    folder : Path
        Holds banks of several sources, each below its key.
    workers : int
        Processes that make it; 0: this one.

    Raises
    ------
    CorruptFileError
        If what is there is damaged.
    """
    place = folder / source.key()
    if not place.is_dir():
        with replacing_folder(place) as temporary:
            _write(source, temporary, workers, shown)
    try:
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    except (OSError, ValueError) as error:
        raise CorruptFileError(
            f"{place}: damaged ({error}); remove this folder, and it is made again"
        ) from error
    labels = Labels(*(np.array(arrays[name]) for name in ("params", "landmarks", "visibility")))
    count = len(source.faces)
    return CropBank(arrays["crops"], labels, arrays["backgrounds"], count, source.made)


def _write(source: BankSource, folder: Path, workers: int, shown: bool) -> None:
    faces, made = source.faces, source.made
    total = len(faces) * (1 + made)
    shape = (total, CROP_SIZE, CROP_SIZE, 3)
    crops = np.lib.format.open_memmap(folder / "crops.npy", "w+", np.uint8, shape)
    params = np.empty((total, faces.params.shape[1]), np.float32)
    landmarks = np.empty((total, *faces.landmarks.shape[1:]), np.float32)
    seen = unknown(len(faces)) if faces.visibility is None else faces.visibility
    # A changed face may hide other points than it did.
    visibility = np.concatenate([seen, np.full((len(faces) * made, seen.shape[1]), UNKNOWN)])
    line = ProgressLine("crops and their variants", total, shown=shown)
    maker = VariantMaker(faces, source.model, source.augment, source.seed) if made else None
    jobs = [(row, min(row + _CHUNK, total)) for row in range(0, total, _CHUNK)]
    for start, samples in each(_Worker(faces, maker, made), jobs, workers):
        for row, sample in enumerate(samples, start):
            crops[row], params[row], landmarks[row] = sample.crop, sample.params, sample.landmarks
        line.update(len(samples))
    line.close()
    crops.flush()
    np.save(folder / "params.npy", params)
    np.save(folder / "landmarks.npy", landmarks)
    np.save(folder / "visibility.npy", visibility.astype(np.uint8))
    np.save(folder / "backgrounds.npy", _squares(source.backgrounds, source.seed))


class _Worker:
    """Makes the crops of some rows; travels to other processes."""

    def __init__(self, faces: LabelledFaces, maker: VariantMaker | None, made: int) -> None:
        self._faces, self._maker, self._made = faces, maker, made

    def __call__(self, job: tuple[int, int]) -> tuple[int, list[Sample]]:
        return job[0], [self._sample(row) for row in range(*job)]

    def _sample(self, row: int) -> Sample:
        count = len(self._faces)
        if row < count or self._maker is None:
            return labelled(self._faces, row)
        return self._maker(*divmod(row - count, self._made))


def _squares(images: ImageCollection | None, seed: int) -> np.ndarray:
    """Random squares of photos without faces."""
    if images is None:
        return np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    squares = []
    for index, name in enumerate(images.names):
        rng = np.random.default_rng([seed, index])
        image = decode_photo(images.read(index), name)
        squares += [background_crop(image, rng) for _ in range(_A_BACKGROUND)]
    return np.stack(squares)
