"""Schedule of the views of samples: a function of seed and epoch alone.

A training run that was killed goes on with exactly the batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import find_convention
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine, euler_from_rotation
from facegeo.images import decode_photo
from facegeo.images.collections import ImageCollection
from facegeo.morphable import MorphableModel
from facegeo.synthetic.negatives import background_crop
from facegeo.training.data.augment import (
    AugmentConfig,
    Rng,
    Sample,
    augmented,
    degraded,
    misplaced,
    recoloured,
    turned_face,
)
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import LabelledFaces
from facegeo.training.data.face_swap import FaceSwap
from facegeo.training.data.head_turn import HeadTurn, random_turn, steady_point
from facegeo.training.data.reshape import Reshape, random_change

#: The convention of every network that is trained here.
CONVENTION = find_convention("exact")


class Key(NamedTuple):
    """A view of a sample: the same key gives the same view."""

    epoch: int
    sample: int
    size: int
    view: int = 0


@dataclass(frozen=True, eq=False)
class Negatives:
    """Crops without a well-placed face.

    Attributes
    ----------
    share : float
        How many, as a part of the number of faces.
    backgrounds : Images or None
        Photos without faces; half of the negatives come from them where they are given.
    turned : float
        Further negatives, counted likewise: faces turned in the image.
    """

    share: float
    backgrounds: ImageCollection | None = None
    turned: float = 0.0


class TrainingSet(Dataset[dict[str, torch.Tensor]]):
    """Augmented views of labelled faces, and negatives after them.

    Indexed by :class:`Key`. A view is a dict of ``crop`` (S, S, 3) uint8, ``params`` (P,),
    ``landmarks`` (68, 3) and ``present``, 1 for faces and 0 for negatives.
    """

    def __init__(
        self,
        faces: LabelledFaces,
        model: MorphableModel,
        augment: AugmentConfig,
        negatives: Negatives | None = None,
        seed: int = 0,
    ) -> None:
        self._faces = faces
        self._mirror = model.mirror
        self._augment = augment
        self._negatives = negatives or Negatives(0.0)
        self._seed = seed
        self._spread = faces.statistics()[1][NUM_POSE:]
        self._swap: FaceSwap | None = None
        self._reshape: Reshape | None = None
        self._turn: HeadTurn | None = None
        if max(augment.swap, augment.reshape, augment.turn) > 0:
            coarse = CoarseFace(model, CONVENTION)
            self._swap = FaceSwap(coarse)
            self._reshape = Reshape(model, coarse)
            self._turn = HeadTurn(coarse, steady_point(faces.params, CONVENTION))
        self._yaw_deg = _yaw_deg(faces.params)

    def __len__(self) -> int:
        """Faces and negatives of an epoch."""
        return self._first_turned + round(self._negatives.turned * len(self._faces))

    def __getitem__(self, key: Key) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self._seed, key.epoch, key.sample, key.view])
        if key.sample >= self._first_turned:
            return _tensors(self._turned_face(rng, key.size), 0.0)
        if key.sample >= len(self._faces):
            return _tensors(self._negative(rng, key.size), 0.0)
        sample = self._labelled(key.sample)
        if self._swap is not None and _happens(self._augment.swap, rng):
            sample = self._swapped(sample, rng)
        if self._reshape is not None and _happens(self._augment.reshape, rng):
            sample = self._reshape(sample, random_change(self._spread, rng))
        if self._turn is not None and _happens(self._augment.turn, rng):
            sample = self._turn(sample, *random_turn(float(self._yaw_deg[key.sample]), rng))
        view = augmented(sample, rng, self._augment, self._mirror, CONVENTION, key.size)
        return _tensors(shifted(view, self._faces.offset_px), 1.0)

    def weights(self, yaw_balance: float) -> np.ndarray:
        """Rates at which samples are to come, for :class:`EpochBatches`; negatives as they are."""
        weights = np.ones(len(self))
        weights[: len(self._faces)] = yaw_weights(self._yaw_deg, yaw_balance)
        return weights

    @property
    def _first_turned(self) -> int:
        return len(self._faces) + round(self._negatives.share * len(self._faces))

    def _labelled(self, index: int) -> Sample:
        images = self._faces.pictures
        crop = decode_photo(images.read(index), images.names[index])
        return Sample(crop, self._faces.params[index], self._faces.landmarks[index])

    def _swapped(self, sample: Sample, rng: Rng) -> Sample:
        if self._swap is None:
            return sample
        donor = self._labelled(int(rng.integers(len(self._faces))))
        crop = self._swap(sample.crop, sample.params, donor.crop, donor.params)
        return Sample(crop, sample.params, sample.landmarks)

    def _negative(self, rng: Rng, size: int) -> Sample:
        backgrounds = self._negatives.backgrounds
        if backgrounds is not None and rng.random() < 0.5:
            index = int(rng.integers(len(backgrounds.names)))
            image = decode_photo(backgrounds.read(index), backgrounds.names[index])
            crop = background_crop(image, rng, size)
        else:
            face = self._labelled(int(rng.integers(len(self._faces))))
            crop = misplaced(face.crop, face.landmarks, rng, size)
        return self._without_labels(crop, rng)

    def _turned_face(self, rng: Rng, size: int) -> Sample:
        face = self._labelled(int(rng.integers(len(self._faces))))
        return self._without_labels(turned_face(face.crop, face.landmarks, rng, size), rng)

    def _without_labels(self, crop: np.ndarray, rng: Rng) -> Sample:
        crop = degraded(recoloured(crop, rng, self._augment), rng, self._augment)
        none = np.zeros_like(self._faces.params[0], np.float32)
        return Sample(crop, none, np.zeros((68, 3), np.float32))


class EpochBatches(Sampler[list[Key]]):
    """Shuffled batches of one epoch, from a given one on; each process of several takes its part.

    Parameters
    ----------
    length : int
        Samples in an epoch.
    batch : int
        Samples in a batch of all processes together; what is left over at the end is not used.
    weights : (length,) float, optional
        How often each sample comes in ``length`` draws, in proportion; by default each comes once.
    first : int
        Batches of this epoch that were already seen.
    rank, world : int
        Number of this process, and how many there are.
    """

    def __init__(
        self,
        length: int,
        batch: int,
        *,
        epoch: int,
        size: int,
        seed: int,
        weights: np.ndarray | None = None,
        first: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(length)
        if weights is not None:
            order = rng.permutation(drawn(weights, rng)[order])
        count = length // batch
        # Arrays, not keys: the batches of a run's epochs are all held at once.
        self._samples, self._views = (
            part[: count * batch].reshape(count, batch)[first:, rank::world]
            for part in (order, _occurrence(order))
        )
        self._epoch, self._size = epoch, size

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[list[Key]]:
        for samples, views in zip(self._samples, self._views, strict=True):
            pairs = zip(samples.tolist(), views.tolist(), strict=True)
            yield [Key(self._epoch, index, self._size, view) for index, view in pairs]


class RunBatches(Sampler[list[Key]]):
    """The batches of all epochs that are left, so that workers live as long as the run.

    Parameters
    ----------
    epochs : sequence of EpochBatches
    """

    def __init__(self, epochs: Sequence[EpochBatches]) -> None:
        self._epochs = epochs

    def __len__(self) -> int:
        return sum(map(len, self._epochs))

    def __iter__(self) -> Iterator[list[Key]]:
        for epoch in self._epochs:
            yield from epoch


def drawn(weights: np.ndarray, rng: Rng) -> np.ndarray:
    """As many indices as there are weights; each comes in proportion, give or take one.

    Systematic sampling: less noise than independent draws have.
    """
    ends = np.cumsum(weights / weights.sum()) * len(weights)
    places = np.arange(len(weights)) + rng.random()
    return np.minimum(np.searchsorted(ends, places, "right"), len(weights) - 1)


def yaw_weights(yaw_deg: np.ndarray, balance: float) -> np.ndarray:
    """Weights of faces that make the ranges 0-30, 30-60 and 60-90 degrees of yaw more alike.

    Parameters
    ----------
    yaw_deg : (N,)
    balance : float
        0 leaves the ranges as they are; with 1 each is drawn equally often.

    Returns
    -------
    weights : (N,)
        Mean 1.
    """
    ranges = np.digitize(np.abs(yaw_deg), (30.0, 60.0))
    counts = np.bincount(ranges, minlength=3)
    weights = (1.0 / counts[ranges]) ** balance
    return np.asarray(weights / weights.mean())


def _yaw_deg(params: np.ndarray) -> np.ndarray:
    _, rotation, _ = decompose_affine(split(params).pose)
    return euler_from_rotation(rotation)[:, 0]


def _occurrence(order: np.ndarray) -> np.ndarray:
    """Number of times that each entry came before."""
    sort = np.argsort(order, kind="stable")
    ordered = order[sort]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(order)])
    count = np.empty(len(order), np.int64)
    count[sort] = np.arange(len(order)) - np.repeat(starts, lengths)
    return count


def shifted(sample: Sample, offset_px: tuple[float, float]) -> Sample:
    """The sample with its labels, not its image, moved by crop pixels (x right, y down)."""
    params, landmarks = sample.params.copy(), sample.landmarks.copy()
    landmarks[:, :2] += np.asarray(offset_px, landmarks.dtype)
    params[3] += offset_px[0]
    params[7] -= offset_px[1]  # the pose's y points up
    return Sample(sample.crop, params, landmarks)


def _tensors(sample: Sample, present: float) -> dict[str, torch.Tensor]:
    return {
        "crop": torch.from_numpy(np.ascontiguousarray(sample.crop)),
        "params": torch.from_numpy(np.asarray(sample.params, np.float32)),
        "landmarks": torch.from_numpy(np.asarray(sample.landmarks, np.float32)),
        "present": torch.tensor(present),
    }


def _happens(probability: float, rng: Rng) -> bool:
    """Draws no number for what never happens: views stay the same where a change is left out."""
    return probability > 0 and bool(rng.random() < probability)
