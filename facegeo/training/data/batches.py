"""Batches of a run: which samples, in which views; a function of seed, epoch and number alone.

A training run that was killed goes on with exactly the batches that it would have seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from facegeo.conventions import NUM_LANDMARKS
from facegeo.morphable.basis import Mirror
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.bank import CropBank
from facegeo.training.data.placement import Rng, misplaced, turned_over
from facegeo.training.data.similarity import similarities
from facegeo.training.data.variants import CONVENTION, yaws_deg
from facegeo.training.data.views import (
    Drawing,
    Labels,
    draw,
    make_views,
    placed_faces,
    seen_after,
)
from facegeo.training.data.visibility import unknown

Batch = dict[str, torch.Tensor]


class BatchKey(NamedTuple):
    """A batch of a run; of several processes each has its own part of it."""

    epoch: int
    number: int
    size: int
    rank: int = 0


@dataclass(frozen=True)
class NegativeShares:
    """Crops without a well-placed face, as a part of the number of faces.

    Attributes
    ----------
    share : float
        Half are photos without faces, where there are any; the others are badly placed faces.
    turned : float
        Faces that lie on their side or stand on their head.
    """

    share: float = 0.0
    turned: float = 0.0


@dataclass(frozen=True, eq=False)
class Plan:
    """A batch in numbers.

    Attributes
    ----------
    rows : (N,) integers
        Of the bank's crops; from the end of these on, of its backgrounds.
    drawing : Drawing
    labels : Labels
    present : (N,) float32
        1 for faces, 0 for negatives, whose labels are zero.
    """

    rows: np.ndarray
    drawing: Drawing
    labels: Labels
    present: np.ndarray


class TrainingViews:
    """Augmented views of a bank's faces, and negatives after them.

    Parameters
    ----------
    bank : CropBank
    mirror : Mirror or None
        Of the labels' face model; without one nothing is flipped.
    augment : AugmentConfig
    negatives : NegativeShares
    offset_px : (float, float)
        See :attr:`facegeo.training.data.datasets.LabelledFaces.offset_px`.
    """

    def __init__(
        self,
        bank: CropBank,
        mirror: Mirror | None,
        augment: AugmentConfig,
        negatives: NegativeShares | None = None,
        offset_px: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
    ) -> None:
        self._bank, self._mirror, self._augment, self._seed = bank, mirror, augment, seed
        self._offset_px = offset_px
        negatives = negatives or NegativeShares()
        self._first_turned = bank.faces + round(negatives.share * bank.faces)
        self._length = self._first_turned + round(negatives.turned * bank.faces)

    def __len__(self) -> int:
        """Faces and negatives of an epoch."""
        return self._length

    def weights(self, yaw_balance: float) -> np.ndarray:
        """Rates at which samples are to come, for :func:`epoch_order`; negatives as they are."""
        weights = np.ones(len(self))
        yaw_deg = yaws_deg(self._bank.labels.params[: self._bank.faces])
        weights[: self._bank.faces] = yaw_weights(yaw_deg, yaw_balance)
        return weights

    def plan(self, samples: np.ndarray, key: BatchKey) -> Plan:
        """Views of these samples, the faces first: the same key gives the same ones."""
        rng = np.random.default_rng([self._seed, key.epoch, key.number, key.rank])
        samples = np.sort(samples)
        faces, others, turned = np.split(
            samples, np.searchsorted(samples, [self._bank.faces, self._first_turned])
        )
        rows, matrices, labels = self._faces(faces, rng)
        placed = [matrices]
        for more, kind in ((others, self._misplaced), (turned, self._turned)):
            more_rows, more_matrices = kind(len(more), rng)
            rows = np.concatenate([rows, more_rows])
            placed.append(more_matrices)
        drawing = draw(np.concatenate(placed), labels.landmarks, rng, self._augment, key.size)
        labels = dataclasses.replace(labels, visibility=seen_after(labels, drawing))
        present = (np.arange(len(samples)) < len(faces)).astype(np.float32)
        return Plan(rows, drawing, _padded(shifted(labels, self._offset_px), len(samples)), present)

    def _faces(self, faces: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray, Labels]:
        bank = self._bank
        chosen = np.full(len(faces), -1)
        if bank.variants:
            changed = rng.random(len(faces)) < self._augment.made_beforehand
            chosen = np.where(changed, rng.integers(bank.variants, size=len(faces)), -1)
        rows = bank.rows(faces, chosen)
        labels = bank.labels.at(rows)
        return rows, *placed_faces(labels, rng, self._augment, self._mirror, CONVENTION)

    def _misplaced(self, count: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        bank = self._bank
        rows = rng.integers(bank.faces, size=count)
        matrices = misplaced(bank.labels.landmarks[rows], rng)
        if len(bank.backgrounds):
            plain = np.flatnonzero(rng.random(count) < 0.5)
            rows[plain] = len(bank.crops) + rng.integers(len(bank.backgrounds), size=len(plain))
            zoom, still = np.exp(rng.uniform(0, 0.5, len(plain))), np.zeros((len(plain), 2))
            matrices[plain] = similarities(rng.uniform(-30, 30, len(plain)), zoom, still)
        return rows, matrices

    def _turned(self, count: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(self._bank.faces, size=count)
        return rows, turned_over(self._bank.labels.landmarks[rows], rng)


def _padded(labels: Labels, count: int) -> Labels:
    """With zeros for the negatives that follow."""
    missing = count - len(labels)
    nothing = Labels(
        np.zeros((missing, labels.params.shape[1]), np.float32),
        np.zeros((missing, NUM_LANDMARKS, 3), np.float32),
        unknown(missing),
    )
    pairs = zip(vars(labels).values(), vars(nothing).values(), strict=True)
    return Labels(*(np.concatenate(pair) for pair in pairs))


class DeviceCrops:
    """Crops of a bank on a device: all of them on a GPU that has the room, else a batch at a time.

    Parameters
    ----------
    bank : CropBank
    device : torch.device
    seed : int
        Of the noise of single pixels.
    """

    #: Part of a GPU's free memory that crops may take.
    _SHARE = 0.5

    def __init__(self, bank: CropBank, device: torch.device, seed: int = 0) -> None:
        self._bank, self._device, self._seed = bank, device, seed
        self._resident: torch.Tensor | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if bank.crops.nbytes + bank.backgrounds.nbytes < self._SHARE * free:
                parts = (torch.from_numpy(np.array(a)) for a in (bank.crops, bank.backgrounds))
                self._resident = torch.cat([part.to(device) for part in parts])

    def __call__(self, rows: np.ndarray) -> torch.Tensor:
        """Crops ``(N, 120, 120, 3)`` uint8 at these rows of a :class:`Plan`."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self._device)]
        bank = self._bank
        crops = np.empty((len(rows), *bank.crops.shape[1:]), np.uint8)
        plain = rows >= len(bank.crops)
        crops[~plain] = bank.crops[rows[~plain]]
        crops[plain] = bank.backgrounds[rows[plain] - len(bank.crops)]
        return torch.from_numpy(crops).to(self._device)

    def batch(self, plan: Plan, key: BatchKey) -> Batch:
        """The batch of a plan: ``crop`` (N, S, S, 3) uint8, ``params`` (N, P), ``landmarks``
        (N, 68, 3), ``visibility`` (N, 68) uint8, and ``present`` (N,).
        """
        generator = torch.Generator(self._device)
        (mixed,) = np.random.SeedSequence([self._seed, *key]).generate_state(1)
        generator.manual_seed(int(mixed))
        crops = make_views(self(plan.rows), plan.drawing, key.size, generator)
        values = {
            name: getattr(plan.labels, name) for name in ("params", "landmarks", "visibility")
        }
        values["present"] = plan.present
        tensors = {name: torch.from_numpy(value) for name, value in values.items()}
        moved = {k: v.to(self._device, non_blocking=True) for k, v in tensors.items()}
        return {"crop": crops} | moved


def epoch_order(
    length: int, batch: int, *, epoch: int, seed: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Samples of an epoch's batches, shuffled, ``(count, batch)``.

    Parameters
    ----------
    length : int
        Samples in an epoch; those that do not fill a batch are left for another epoch's order.
    weights : (length,) float, optional
        How often each sample comes in ``length`` draws, in proportion; by default each comes once.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(length)
    if weights is not None:
        order = rng.permutation(drawn(weights, rng)[order])
    count = length // batch
    return order[: count * batch].reshape(count, batch)


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


def shifted(labels: Labels, offset_px: tuple[float, float]) -> Labels:
    """The labels, not the images, moved by crop pixels (x right, y down)."""
    params, landmarks = labels.params.copy(), labels.landmarks.copy()
    landmarks[:, :, :2] += np.asarray(offset_px, landmarks.dtype)
    params[:, 3] += offset_px[0]
    params[:, 7] -= offset_px[1]  # the pose's y points up
    return Labels(params, landmarks, labels.visibility)


T = TypeVar("T")
_END = object()


def made_ahead(items: Callable[[], Iterator[T]], depth: int = 2) -> Iterator[T]:
    """Items of an iterator, each made by a thread while the one before is in use."""
    ready: queue.Queue[object] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.2)
                return

    def work() -> None:
        try:
            for item in items():
                put(item)
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is taken
            put(error)

    thread = threading.Thread(target=work, name="facegeo-batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
