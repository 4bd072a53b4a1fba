"""The training loop: batches, checkpoints, measurements; exact about being resumed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegeo.base.progress import ProgressLine
from facegeo.conventions import NUM_POSE
from facegeo.errors import InvalidInputError
from facegeo.morphable import MorphableModel
from facegeo.networks.backbones.mobilenet_v2 import MobileNetV2, shortened
from facegeo.networks.folding import take_structure
from facegeo.networks.synergy.network import SynergyNet
from facegeo.networks.synergy.weights import parse_weights
from facegeo.synthetic.negatives import training_backgrounds
from facegeo.training.core import checkpoint
from facegeo.training.core.checkpoint import Ema, Progress
from facegeo.training.core.initial import read_initial
from facegeo.training.core.optimiser import build_optimiser, rate_factor, refuse_divergence
from facegeo.training.core.process import Process, device_of
from facegeo.training.core.run_folder import RunFolder
from facegeo.training.data.bank import BankSource, CropBank, open_bank
from facegeo.training.data.batches import (
    Batch,
    BatchKey,
    DeviceCrops,
    NegativeShares,
    Plan,
    TrainingViews,
    epoch_order,
    made_ahead,
)
from facegeo.training.data.datasets import LabelledFaces
from facegeo.training.data.joining import read_sets
from facegeo.training.data.variants import CONVENTION
from facegeo.training.landmarks.config import TrainConfig, as_list
from facegeo.training.landmarks.measure import DevSet, HeldBack
from facegeo.training.landmarks.step import TrainingStep
from facegeo.training.landmarks.validation import open_validation
from facegeo.zoo.face_models import load_face_model

_log = logging.getLogger(__name__)


def train(config: TrainConfig, faces: LabelledFaces | None = None) -> Path:
    """Run a training to its end, from where it stopped.

    Parameters
    ----------
    config : TrainConfig
    faces : LabelledFaces, optional
        By default what ``config.data`` names.

    Returns
    -------
    weights : Path
        The averaged weights, ``weights.npz`` in the run's folder.

    Raises
    ------
    InvalidInputError
        If the run's folder holds a run of another configuration, or labels and face model differ.
    UnreadableFileError, CorruptFileError
        If data or weights cannot be read.
    """
    process = Process.from_environment()
    device = device_of(config.device, process)
    if process.world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if faces is None:
        faces = read_sets(as_list(config.data.labels), as_list(config.data.pictures))
    if config.data.offset_px is not None:
        dx, dy = config.data.offset_px
        faces = dataclasses.replace(faces, offset_px=(dx, dy))
    return Trainer(config, faces, face_model(config), device, process).run()


def face_model(config: TrainConfig) -> MorphableModel:
    """The face model that the labels belong to."""
    return load_face_model(config.data.morphable_model)


class Trainer:
    """A run: its state between two batches is what a checkpoint holds."""

    def __init__(
        self,
        config: TrainConfig,
        faces: LabelledFaces,
        model: MorphableModel,
        device: torch.device,
        process: Process,
    ) -> None:
        if faces.morphable_model != model.name:
            raise InvalidInputError(
                f"labels: expected parameters of {model.name!r}, got {faces.morphable_model!r}"
            )
        expected = NUM_POSE + model.num_shape + model.num_expression
        if faces.params.shape[1] != expected:
            raise InvalidInputError(
                f"labels: expected {expected} parameters a face, as {model.name!r} has modes, "
                f"got {faces.params.shape[1]}"
            )
        self.config, self.device, self.process = config, device, process
        self.folder = RunFolder(Path(config.run), config.to_dict(), process.rank == 0)
        torch.manual_seed(config.seed)
        self.network = _network(config, model, faces).to(device)
        self.network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.step = TrainingStep(
            self.network, config.loss, config.precision, _teacher(config, device)
        ).to(device)
        self.module = self._wrapped()
        self.ema = Ema(self.step, config.ema)
        self.optimiser = build_optimiser(self.step, config.optimiser)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.progress = Progress()
        self.held_back: HeldBack | None = None
        if config.data.held_back:
            self.held_back, faces = HeldBack.of(faces, config.data.held_back)
        # Before the crops are made, which takes minutes.
        self.dev = DevSet.open(config.data.dev) if config.data.dev else None
        self.validation = open_validation(
            as_list(config.data.validation),
            as_list(config.data.validation_pictures),
            faces.offset_px,
        )
        bank = self._bank(faces, model)
        self.crops = DeviceCrops(bank, device, config.seed)
        self.data = _training_views(config, bank, model, faces.offset_px)
        self.losses = _Losses()
        if self.batches_per_epoch == 0:
            raise InvalidInputError(
                f"batch: expected at most the {len(self.data)} samples of an epoch, "
                f"got {config.batch}"
            )
        self._resume()

    def run(self) -> Path:
        """Train to the end."""
        # On a processor the thread would only take time from the step itself.
        is_apart = self.device.type == "cuda"
        batches = made_ahead(self.plans) if is_apart else self.plans()
        while self.progress.epoch < self.config.epochs:
            self._epoch(batches)
        weights = self.folder.path / "weights.npz"
        if self.process.rank == 0 and not weights.is_file():
            self.folder.write_weights(self._averaged())
        return weights

    def _epoch(self, batches: Iterator[tuple[BatchKey, Plan]]) -> None:
        progress, config, total = self.progress, self.config, self.batches_per_epoch
        line = ProgressLine(
            f"epoch {progress.epoch + 1}/{config.epochs}",
            total,
            initial=progress.batch,
            shown=self.process.rank == 0,
        )
        self._training_mode()
        while progress.batch < total:
            key, plan = next(batches)
            batch = self.crops.batch(plan, key)
            self.train_batch(batch, (progress.epoch + progress.batch / total) / config.epochs)
            is_due = progress.step % config.checkpoint_steps == 0
            if is_due or self.losses.count == _LOSSES_AT_ONCE or progress.batch == total:
                self._count_losses()
            seen = progress.batch - self.losses.count
            figures = {"loss": progress.sums["total"] / seen} if seen else None
            line.update(figures=figures)
            if is_due:
                self._save()
        line.close()
        self._finish_epoch(total)

    def _training_mode(self) -> None:
        self.module.train()
        for part in _parts(self.network, self.config.frozen):
            part.eval()

    def train_batch(self, batch: Batch, done: float) -> None:
        """One step, when a part ``done`` (0..1) of the run is over."""
        config, progress = self.config, self.progress
        for group in self.optimiser.param_groups:
            group["lr"] = config.optimiser.rate_for(config.batch) * rate_factor(
                config.optimiser, done
            )
        self.optimiser.zero_grad(set_to_none=True)
        total, terms = self.module(batch)
        self.scaler.scale(total).backward()
        if config.optimiser.clip:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.step.parameters(), config.optimiser.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        progress.step += 1
        progress.batch += 1
        self.ema.update(self.step, progress.step)
        self.losses.add(terms | {"total": total})

    def _count_losses(self) -> None:
        """Bring the losses of the last steps to the processor: a GPU waits for it."""
        progress, rate = self.progress, self.optimiser.param_groups[0]["lr"]
        steps = self.losses.taken()
        for step, losses in enumerate(steps, progress.step - len(steps) + 1):
            refuse_divergence(losses, step, rate, self.config.optimiser)
            for name, loss in losses.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + loss

    def _finish_epoch(self, batches: int) -> None:
        progress = self.progress
        record: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "size": self.config.size_of(progress.epoch),
            "rate": self.optimiser.param_groups[0]["lr"],
            "loss": {name: value / batches for name, value in progress.sums.items()},
        }
        last = progress.epoch + 1 == self.config.epochs
        due = (progress.epoch + 1) % self.config.evaluate_epochs == 0
        averaged = None
        sets = self.validation | {"dev": self.dev, "held_back": self.held_back}
        for name, faces in sets.items():
            if self.process.rank == 0 and faces is not None and (due or last):
                averaged = averaged or self._averaged()
                record[name] = faces.measure(averaged, self.device, record["size"])
        if last and self.process.rank == 0:
            self.folder.write_weights(averaged or self._averaged())
        self.folder.record(record)
        progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, {}
        self._save()

    def _averaged(self) -> SynergyNet:
        """A copy of the network with the averaged weights, in evaluation mode."""
        state = self.ema.state if self.config.ema else self.step.state_dict()
        prefix = "network."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        copy = SynergyNet(self.network.config, CONVENTION, self.network.morphable_model)
        take_structure(copy, own, trainable=True)
        copy.load_state_dict(own)
        return copy.to(self.device).eval()

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch; samples that do not fill one are left for another epoch's order."""
        return len(self.data) // self.config.batch

    def plans(self) -> Iterator[tuple[BatchKey, Plan]]:
        """All batches that are left of the run, in numbers; this process's part of each."""
        config, progress, process = self.config, self.progress, self.process
        balance = config.data.yaw_balance
        weights = self.data.weights(balance) if balance else None
        first = progress.batch
        for epoch in range(progress.epoch, config.epochs):
            order = epoch_order(
                len(self.data), config.batch, epoch=epoch, seed=config.seed, weights=weights
            )
            for number in range(first, len(order)):
                key = BatchKey(epoch, number, config.size_of(epoch), process.rank)
                yield key, self.data.plan(order[number, process.rank :: process.world], key)
            first = 0

    def _bank(self, faces: LabelledFaces, model: MorphableModel) -> CropBank:
        """Crops and variants; of several processes the first makes them."""
        config, data = self.config, self.config.data
        images = training_backgrounds(data.backgrounds) if data.backgrounds else None
        source = BankSource(faces, model, config.augment, images, data.variants, config.seed)
        folder = Path(data.cache) if data.cache else self.folder.path / "crops"
        is_first = self.process.rank == 0
        if self.process.world > 1 and not is_first:
            torch.distributed.barrier()
        bank = open_bank(source, folder, data.workers, shown=is_first)
        if self.process.world > 1 and is_first:
            torch.distributed.barrier()
        return bank

    def _wrapped(self) -> nn.Module:
        if self.config.compile:
            self.network.backbone.compile()
        if self.process.world == 1:
            return self.step
        if self.device.type == "cuda":
            self.step = nn.SyncBatchNorm.convert_sync_batchnorm(self.step)
        return nn.parallel.DistributedDataParallel(self.step)

    def _save(self) -> None:
        if self.process.rank == 0:
            checkpoint.save(
                self.folder.checkpoint,
                self.progress,
                self.config.to_dict(),
                self.step,
                self.ema,
                self.optimiser,
                self.scaler.state_dict(),
            )

    def _resume(self) -> None:
        if not self.folder.checkpoint.is_file():
            return
        found = checkpoint.load(self.folder.checkpoint)
        found.check_settings(self.config, _MAY_CHANGE, self.folder.path)
        found.restore(self.step, self.ema, self.optimiser)
        if found.scaler:
            self.scaler.load_state_dict(found.scaler)
        self.progress = found.progress
        self.folder.forget_after(self.progress.step)
        _log.info("going on at epoch %d, batch %d", self.progress.epoch + 1, self.progress.batch)


#: Settings that do not change what is computed.
_MAY_CHANGE = (
    *("run", "device", "compile", "checkpoint_steps", "evaluate_epochs"),
    *("data.workers", "data.cache", "data.dev", "data.validation", "data.validation_pictures"),
)


def _network(config: TrainConfig, model: MorphableModel, faces: LabelledFaces) -> SynergyNet:
    """The network of the configuration, with heads for the face model's modes."""
    settings = dataclasses.replace(
        config.network, num_shape=model.num_shape, num_expression=model.num_expression
    )
    network = SynergyNet(settings, CONVENTION, model.name)
    network.set_face_model(model, *faces.statistics(model), faces.offset_px)
    if config.initial:
        _start_from(network, config)
    for part in _parts(network, config.frozen):
        part.requires_grad_(False)
    return network


def _weights_of(source: str) -> SynergyNet:
    return parse_weights(read_initial(source, "landmarks"), CONVENTION, source)


def _start_from(network: SynergyNet, config: TrainConfig) -> None:
    """Take over the earlier weights that fit, and affine layers for norms that were folded."""
    own = network.state_dict()
    given = {
        name: value
        for name, value in _state_for(network, _weights_of(config.initial)).items()
        if name.split(".")[0] not in config.fresh
        and (name not in own or own[name].shape == value.shape)
    }
    statistics = [name for name in own if name.endswith(".running_mean")]
    folded = {n for n in statistics if n not in given and _beside(n, "weight") in given}
    take_structure(network, (own.keys() - folded) | given.keys(), trainable=True)
    own = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in own}
    network.load_state_dict(own | fitting)
    _log.info("%d of %d weights taken from %s", len(fitting), len(own), config.initial)


def _beside(name: str, other: str) -> str:
    return f"{name.rsplit('.', 1)[0]}.{other}"


def _parts(network: SynergyNet, names: tuple[str, ...]) -> list[nn.Module]:
    """Those parts of a configuration's that the network has."""
    parts = [getattr(network, name) for name in names]
    return [part for part in parts if part is not None]


def _state_for(network: SynergyNet, earlier: SynergyNet) -> dict[str, torch.Tensor]:
    """The earlier network's weights, under this network's names where its backbone is shorter."""
    state: dict[str, torch.Tensor] = earlier.state_dict()
    deep, shallow = earlier.backbone, network.backbone
    if not (isinstance(deep, MobileNetV2) and isinstance(shallow, MobileNetV2)):
        return state
    others = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    kept = shortened(deep.state_dict(), deep, shallow)
    return others | {f"backbone.{name}": value for name, value in kept.items()}


def _teacher(config: TrainConfig, device: torch.device) -> SynergyNet | None:
    if not config.teacher:
        return None
    return _weights_of(config.teacher).to(device).requires_grad_(False).eval()


def _training_views(
    config: TrainConfig, bank: CropBank, model: MorphableModel, offset_px: tuple[float, float]
) -> TrainingViews:
    negatives = NegativeShares(config.data.negatives, config.data.turned)
    return TrainingViews(bank, model.mirror, config.augment, negatives, offset_px, config.seed)


#: Steps whose losses wait on the device until they are read.
_LOSSES_AT_ONCE = 16


class _Losses:
    """Losses of the last steps, where they were computed."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._steps: list[torch.Tensor] = []

    @property
    def count(self) -> int:
        """Steps that wait."""
        return len(self._steps)

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Keep those of a step."""
        self._names = list(losses)
        self._steps.append(torch.stack([value.detach().float() for value in losses.values()]))

    def taken(self) -> list[dict[str, float]]:
        """Those of the steps that wait, the earliest first."""
        if not self._steps:
            return []
        rows = torch.stack(self._steps).tolist()
        self._steps = []
        return [dict(zip(self._names, row, strict=True)) for row in rows]
