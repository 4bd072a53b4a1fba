"""A teacher: an installed network that is asked about the crops to be labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeo.conventions import LANDMARK_MIRROR, NUM_LANDMARKS
from facegeo.errors import CorruptFileError, FacegeoError
from facegeo.geometry.crop import CROP_SIZE, find_convention
from facegeo.images.collections import Skipped
from facegeo.networks.onnx_state import read_onnx_state
from facegeo.predictor import FaceGeometry
from facegeo.training.data.similarity import moved_images
from facegeo.training.labels.correction import averaged_params
from facegeo.training.labels.joint import FaceModelRows
from facegeo.zoo.store import find

_CHUNK = 512

#: The number of a crop to its pixels, ``(120, 120, 3)`` uint8, or a FacegeoError.
ReadCrop = Callable[[int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network with landmarks of its own face model, as :class:`FaceModelRows` describes it."""

    network: FaceGeometry
    rows: FaceModelRows

    @classmethod
    def open(cls, name: str, **options: Any) -> Teacher:
        """An installed landmark model; options are those of :class:`FaceGeometry`."""
        network = FaceGeometry(name, **options)
        convention = find_convention(network.card.crop_convention)
        state = read_onnx_state(find(name).read("network"))
        mean, basis, std = (
            state[key].astype(np.float64)
            for key in ("landmark_mean", "landmark_basis", "param_std")
        )
        shape = (NUM_LANDMARKS, 3)
        rows = FaceModelRows(mean.reshape(shape), basis.reshape(-1, *shape), std, convention)
        return cls(network, rows)

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """``(N, 120, 120, 3)`` crops to ``(N, P)`` parameters."""
        rois = np.tile(np.array([0, 0, CROP_SIZE, CROP_SIZE], np.float32), (len(crops), 1))
        return self.network.predict_crops(crops, rois).params


@dataclass(frozen=True, eq=False)
class Taught:
    """Answers of a teacher for N crops.

    Attributes
    ----------
    params : (N, P) float64
        Averaged over views; of crops that could not be read the mean of the others.
    readable : (N,) bool
    drift : float
        Half of the teacher's drift under a flip: where x of a point and x of its mirror point in
        the flipped crop do not add up to the crop's width, the teacher's landmarks lie beside the
        image's by half of what is missing.
    """

    params: np.ndarray
    readable: np.ndarray
    drift: float


def taught_params(
    teacher: Teacher, read: ReadCrop, count: int, what: str, *, views: int = 8
) -> Taught:
    """Ask about ``count`` crops; ``what`` names them in messages.

    Raises
    ------
    CorruptFileError
        If no crop can be read. Others are named, and left out.
    """
    params = np.zeros((count, len(teacher.rows.std)))
    readable = np.zeros(count, bool)
    sums = []
    for indices, crops in _chunks(read, count, what):
        params[indices] = averaged_params(
            teacher.predict,
            moved_images,
            crops,
            teacher.rows.convention,
            views=views,
            seed=int(indices[0]),
        )
        readable[indices] = True
        flipped = teacher.predict(np.ascontiguousarray(crops[:64, :, ::-1]))
        own = teacher.rows.landmarks(params[indices[:64]])[..., 0]
        sums.append(own + teacher.rows.landmarks(flipped)[:, LANDMARK_MIRROR, 0])
    if not sums:
        raise CorruptFileError(f"{what}: holds no readable crop")
    params[~readable] = params[readable].mean(axis=0)
    drift = float(CROP_SIZE - 1 - np.median(np.concatenate(sums))) / 2
    return Taught(params, readable, drift)


def _chunks(read: ReadCrop, count: int, what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    skipped = Skipped(what)
    for start in tqdm(range(0, count, _CHUNK), desc="teacher", disable=None):
        indices, crops = [], []
        for index in range(start, min(start + _CHUNK, count)):
            try:
                crop = read(index)
            except FacegeoError as error:
                skipped.add(error)
                continue
            indices.append(index)
            crops.append(crop)
        if indices:
            yield np.array(indices), np.stack(crops)
    skipped.report(count - skipped.count)
