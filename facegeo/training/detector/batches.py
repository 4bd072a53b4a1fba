"""Scenes in batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from facegeo.training.detector.config import DetectorConfig
from facegeo.training.detector.scenes import Composer, Scene


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes of one size.

    Attributes
    ----------
    photos : (N, S, S, 3) uint8
    boxes : (N, M, 4) float32
    valid : (N, M) bool
    ignored : (N, K, 4) float32
        Filled up with empty boxes.
    """

    photos: torch.Tensor
    boxes: torch.Tensor
    valid: torch.Tensor
    ignored: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        parts = (self.photos, self.boxes, self.valid, self.ignored)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))


class Scenes(IterableDataset[Batch]):
    """The batches of some steps; that of a step is the same whichever worker composes it."""

    def __init__(self, composer: Composer, config: DetectorConfig, steps: range) -> None:
        self._composer, self._config, self._steps = composer, config, steps

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        first, every = (info.id, info.num_workers) if info else (0, 1)
        for step in self._steps[first::every]:
            rng = np.random.default_rng((self._config.seed, step, 0))
            side = int(rng.choice(self._config.sides))
            count = self._config.scenes_of(side)
            yield collate([self._composer.scene(side, rng) for _ in range(count)])


def collate(scenes: Sequence[Scene]) -> Batch:
    """Fill up the boxes of the scenes to equal numbers, at least one."""
    boxes, valid = _filled([scene.boxes for scene in scenes])
    ignored, real = _filled([scene.ignored for scene in scenes])
    # An empty box, with its corners the wrong way round, holds no cell.
    ignored[~real] = torch.tensor([1.0, 1.0, -1.0, -1.0])
    images = torch.from_numpy(np.stack([scene.photo for scene in scenes]))
    return Batch(images, boxes, valid, ignored)


def _filled(rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    most = max(1, *(len(r) for r in rows))
    values = np.zeros((len(rows), most, 4), np.float32)
    real = np.zeros((len(rows), most), bool)
    for k, row in enumerate(rows):
        values[k, : len(row)], real[k, : len(row)] = row, True
    return torch.from_numpy(values), torch.from_numpy(real)
