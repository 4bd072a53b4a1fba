"""The training loop: composed scenes, hard negatives, averaged weights; exact about resuming."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from facegeo.base.progress import ProgressLine
from facegeo.networks.detector.network import OneStageDetector, cells
from facegeo.networks.detector.weights import read_detector
from facegeo.networks.folding import take_structure
from facegeo.training.core import checkpoint
from facegeo.training.core.checkpoint import Checkpoint, Ema, Progress
from facegeo.training.core.initial import read_initial
from facegeo.training.core.optimiser import build_optimiser, rate_factor, refuse_divergence
from facegeo.training.core.process import Process, device_of
from facegeo.training.core.run_folder import RunFolder
from facegeo.training.detector.batches import Batch, Scenes
from facegeo.training.detector.config import DetectorConfig
from facegeo.training.detector.matching import assign, detection_loss
from facegeo.training.detector.mining import mine
from facegeo.training.detector.prepare import prepare
from facegeo.training.detector.scenes import Composer, HardNegatives
from facegeo.training.detector.sources import Backgrounds, Faces

_log = logging.getLogger(__name__)

#: Settings that do not change what is computed.
_MAY_CHANGE = ("run", "device", "threads", "checkpoint_steps", "log_steps")


def train_detector(
    config: DetectorConfig, sources: tuple[Faces, Backgrounds] | None = None
) -> Path:
    """Run a training to its end, from where it stopped.

    Parameters
    ----------
    config : DetectorConfig
    sources : (Faces, Backgrounds), optional
        By default what ``config.data`` names.

    Returns
    -------
    checkpoint : Path
        In the run's folder; :func:`averaged_network` takes the network out of it.

    Raises
    ------
    InvalidInputError
        If the run's folder holds a run of another configuration.
    UnreadableFileError, CorruptFileError
        If data, weights or a checkpoint cannot be read.
    ModelNotFoundError
        If the teacher is not installed.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    # Workers are forked after every mining, and OpenCV's thread pool does not survive a fork.
    cv2.setNumThreads(0)
    return Trainer(config, sources or prepare(config.data, Path(config.run) / "taught.npz")).run()


class Trainer:
    """A run: its state between two steps is what a checkpoint holds."""

    def __init__(self, config: DetectorConfig, sources: tuple[Faces, Backgrounds]) -> None:
        self.config = config
        self.device = device_of(config.device, Process())
        self.folder = RunFolder(Path(config.run), {"task": "detection"} | config.to_dict())
        torch.manual_seed(config.seed)
        network = _start(config.initial)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.network, config.ema)
        self.optimiser = build_optimiser(self.network, config.optimiser)
        self.progress = Progress()
        faces, self._backgrounds = sources
        self._composer = Composer(faces, self._backgrounds)
        self._resume()

    def run(self) -> Path:
        """Train to the last step."""
        config, progress = self.config, self.progress
        line = ProgressLine("detector", config.steps, initial=progress.step)
        while progress.step < config.steps:
            # At the start of a round: so a run resumes to the same wherever it stopped.
            if config.mine_steps and progress.step and progress.step % config.mine_steps == 0:
                self._mine()
            for batch in self._round():
                parts = self.step(batch)
                refuse_divergence(
                    parts, progress.step, self.optimiser.param_groups[0]["lr"], config.optimiser
                )
                line.update(figures=parts)
                if progress.step % config.log_steps == 0:
                    self.folder.record(self._record(parts))
                if progress.step % config.checkpoint_steps == 0:
                    self._save()
        line.close()
        self._save()
        return self.folder.checkpoint

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; returns the parts of the loss."""
        config, progress = self.config, self.progress
        batch = batch.to(self.device)
        for group in self.optimiser.param_groups:
            factor = rate_factor(config.optimiser, progress.step / config.steps)
            group["lr"] = config.optimiser.rate_for(config.batch) * factor
        self.network.train()
        enabled = config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            logits, distances = self.network.raw(batch.photos)
        centres, strides = (
            part.to(self.device) for part in cells(batch.photos.shape[1], batch.photos.shape[2])
        )
        targets = assign(batch.boxes, batch.valid, batch.ignored, centres, strides)
        loss, parts = detection_loss(logits, distances, targets, centres, strides)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if config.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimiser.clip)
        self.optimiser.step()
        progress.step += 1
        self.ema.update(self.network, progress.step)
        return parts

    def _record(self, parts: dict[str, float]) -> dict[str, Any]:
        rate = self.optimiser.param_groups[0]["lr"]
        negatives = len(self._composer.negatives.photos)
        return {"step": self.progress.step, "rate": rate, "loss": parts, "negatives": negatives}

    def _round(self) -> Iterator[Batch]:
        """Batches up to the next mining; workers start anew and so know the new negatives."""
        config, step = self.config, self.progress.step
        last = config.steps
        if config.mine_steps:
            last = min(last, step - step % config.mine_steps + config.mine_steps)
        scenes = Scenes(self._composer, config, range(step, last))
        loader: DataLoader[Any] = DataLoader(
            scenes, batch_size=None, num_workers=config.data.workers
        )
        return iter(loader)

    def _mine(self) -> None:
        """Search the backgrounds for what the averaged network takes for faces."""
        rng = np.random.default_rng((self.config.seed, self.progress.step, 1))
        network = network_of(self.ema.state).to(self.device)
        known = self._composer.negatives
        self._composer.negatives = mine(network, self._backgrounds, known, rng)
        _log.info(
            "step %d: %d hard negatives", self.progress.step, len(self._composer.negatives.photos)
        )

    def _save(self) -> None:
        checkpoint.save(
            self.folder.checkpoint,
            self.progress,
            self.config.to_dict(),
            self.network,
            self.ema,
            self.optimiser,
            extra=self._composer.negatives.tensors(),
        )

    def _resume(self) -> None:
        if not self.folder.checkpoint.is_file():
            self.folder.forget_after(0)
            return
        found = checkpoint.load(self.folder.checkpoint)
        found.check_settings(self.config, _MAY_CHANGE, self.folder.path)
        found.restore(self.network, self.ema, self.optimiser)
        self.progress = found.progress
        self._composer.negatives = HardNegatives.from_tensors(found.extra)
        self.folder.forget_after(self.progress.step)
        _log.info("going on at step %d", self.progress.step)


def _start(source: str) -> OneStageDetector:
    if not source:
        return OneStageDetector()
    if Path(source).suffix == ".safetensors":
        return averaged_network(checkpoint.load(Path(source)))
    return read_detector(read_initial(source, "detection"), source, trainable=True)


def averaged_network(found: Checkpoint) -> OneStageDetector:
    """The averaged weights of a checkpoint, finished run or not, in evaluation mode."""
    return network_of(found.ema)


def network_of(state: dict[str, torch.Tensor]) -> OneStageDetector:
    """A network with copies of these weights, in evaluation mode."""
    network = OneStageDetector()
    take_structure(network, state, trainable=True)
    network.load_state_dict(state)
    return network.eval()
