"""The training loop: composed scenes, hard negatives, averaged weights, resuming."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from facegeo.files import replacing
from facegeo.networks.one_stage import OneStageDetector, cells
from facegeo.training.detector.batches import Batch, Scenes
from facegeo.training.detector.checkpoint import Checkpoint
from facegeo.training.detector.config import DetectorTraining
from facegeo.training.detector.matching import assign, detection_loss
from facegeo.training.detector.mining import mine
from facegeo.training.detector.prepare import prepare
from facegeo.training.detector.scenes import Composer

_log = logging.getLogger(__name__)

_LOG_EVERY = 20


def train_detector(config_path: str | Path, seconds: float = math.inf) -> Path:
    """Train as a YAML file says, or go on where an earlier run of the same file stopped.

    Parameters
    ----------
    config_path : str or Path
        See :class:`DetectorTraining`.
    seconds : float
        Stop in time, with a checkpoint.

    Returns
    -------
    checkpoint : Path
        The last one; ``log.jsonl`` beside it holds the course of the losses.
    """
    deadline = time.monotonic() + seconds
    config = DetectorTraining.load(config_path)
    torch.set_num_threads(config.threads)
    # Workers are forked after every mining, and OpenCV's thread pool does not survive a fork.
    cv2.setNumThreads(0)
    torch.manual_seed(config.seed)
    trainer = Trainer(config)
    trainer.run(deadline)
    return trainer.checkpoint_path


class Trainer:
    """Everything that a step changes."""

    def __init__(self, config: DetectorTraining) -> None:
        self.config = config
        self.checkpoint_path = Path(config.run) / "checkpoint.safetensors"
        self._log_path = Path(config.run) / "log.jsonl"
        network = OneStageDetector()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.state = Checkpoint.start(network, _optimiser(network, config))
        if self.checkpoint_path.is_file():
            self.state.load(self.checkpoint_path)
            _log.info("going on at step %d", self.state.step)
        faces, self._backgrounds = prepare(config)
        self._composer = Composer(faces, self._backgrounds, self.state.negatives)

    def run(self, deadline: float) -> None:
        """Train until the last step or the deadline."""
        config, state = self.config, self.state
        saved = time.monotonic()
        bar = tqdm(total=config.steps, initial=state.step, desc="detector", disable=None)
        while state.step < config.steps and time.monotonic() < deadline:
            for batch in self._round():
                parts = self.step(batch)
                bar.update()
                if state.step % _LOG_EVERY == 0:
                    self._note(parts)
                    bar.set_postfix(parts)
                if time.monotonic() - saved > config.checkpoint_every:
                    state.save(self.checkpoint_path)
                    saved = time.monotonic()
                if time.monotonic() > deadline:
                    break
            else:
                self._mine()
        bar.close()
        state.save(self.checkpoint_path)

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; returns the parts of the loss."""
        state, optimiser = self.state, self.state.optimiser
        if optimiser is None:
            raise RuntimeError("a checkpoint that was opened for export has no optimiser")
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(state.step, self.config)
        state.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            logits, distances = state.network.raw(batch.photos)
        grid = cells(batch.photos.shape[1], batch.photos.shape[2])
        targets = assign(batch.boxes, batch.valid, batch.ignored, *grid)
        loss, parts = detection_loss(logits, distances, targets, *grid)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), 10.0)
        optimiser.step()
        state.advance(self.config.ema)
        return parts

    def _round(self) -> Iterator[Batch]:
        """Batches up to the next mining; workers start anew and so know the new negatives."""
        config, step = self.config, self.state.step
        count = config.steps - step
        if config.mine_every:
            count = min(count, config.mine_every - step % config.mine_every)
        scenes: IterableDataset[Batch] = Scenes(
            self._composer, config.sides, config.batch, (config.seed, step), count
        )
        loader: DataLoader[Any] = DataLoader(scenes, batch_size=None, num_workers=config.workers)
        return iter(loader)

    def _mine(self) -> None:
        if not self.config.mine_every:
            return
        rng = np.random.default_rng((self.config.seed, self.state.step, 1))
        negatives = mine(self.state.average, self._backgrounds, self.state.negatives, rng)
        self.state.negatives = self._composer.negatives = negatives
        _log.info("step %d: %d hard negatives", self.state.step, len(negatives.photos))

    def _note(self, parts: dict[str, float]) -> None:
        line = {"step": self.state.step, "time": round(time.time()), **parts}
        line["negatives"] = len(self.state.negatives.photos)
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def learning_rate(step: int, config: DetectorTraining) -> float:
    """Linear warm-up, then a cosine to a hundredth of the highest rate."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    part = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(part, 1.0))) / 2)


def export_onnx(checkpoint: Path, target: Path) -> None:
    """The averaged weights of a checkpoint as an ONNX file, proven against PyTorch."""
    from facegeo.exporting import to_onnx

    state = Checkpoint.start(OneStageDetector(), None)
    state.load(checkpoint)
    network = state.average.eval()
    generator = torch.Generator().manual_seed(0)

    def photos(count: int, height: int, width: int) -> torch.Tensor:
        shape = (count, height, width, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    data = to_onnx(
        network,
        photos(2, 128, 192),
        input_name="photos",
        output_names=("scores", "distances"),
        dynamic={0: "batch", 1: "height", 2: "width"},
        checks=(photos(1, 480, 640), photos(3, 96, 32)),
    )
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def _optimiser(network: torch.nn.Module, config: DetectorTraining) -> torch.optim.AdamW:
    """No decay for what batch norm and biases hold."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.rate)
