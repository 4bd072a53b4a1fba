"""The settings of a training run, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CROP_SIZE
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.training.core.optimiser import OptimiserConfig
from facegeo.training.core.settings import (
    DECAY,
    NOT_NEGATIVE,
    SHARE,
    Interval,
    build_settings,
    check_counts,
    check_numbers,
    plain_settings,
    read_settings,
)
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.landmarks.losses import LossConfig

#: Settings of a run that are paths, in its section ``data`` and beside it.
PATHS: Final = (
    (
        *("labels", "pictures", "validation", "validation_pictures"),
        *("backgrounds", "dev", "cache"),
    ),
    ("initial", "teacher"),
)

#: The backbones halve a crop five times.
_SMALLEST_CROP = 32

#: Of a network, as ``fresh`` and ``frozen`` name them: attributes of ``SynergyNet``.
_PARTS = ("backbone", "heads", "refinement", "inverse", "presence", "visibility", "covariance")


@dataclass(frozen=True)
class DataConfig:
    """Sources of the samples.

    Attributes
    ----------
    labels, pictures : str, or list of str
        Label file and crops (folder or tar), as
        :func:`facegeo.training.data.datasets.read_labelled` takes them; or several of both.
    morphable_model : str
        The face model that the labels belong to: a name, ``default``, or an ``.npz`` file.
    backgrounds : str
        Folder or tar of photos without faces, for negatives; may be empty. The first of every
        five, by file name, is held back for ``facegeo eval presence``.
    negatives : float
        Negatives an epoch, as a part of the number of faces.
    turned : float
        Further negatives, counted likewise: faces that lie on their side or stand on their head, so
        that presence is low where a crop was not turned as its face is.
    validation, validation_pictures : str, or list of str
        Label files with manual points, and their crops, which are measured after epochs and choose;
        nothing is trained on them. May be empty.
    dev : str
        Folder of AFLW2000-3D to measure after epochs; may be empty.
    variants : int
        Swapped, reshaped and turned faces that are made of each face before the first step, where
        ``augment`` asks for such.
    cache : str
        Folder for decoded crops and variants, which runs of the same data share; empty: ``crops``
        in the run's folder.
    workers : int
        Processes that make them; 0: the training's own.
    yaw_balance : float
        0: each face once an epoch; 1: faces of up to 30, 60 and 90 degrees of yaw equally often.
    held_back : float
        Part of the faces that is measured after epochs instead of trained on, 0 to 0.5.
    offset_px : (float, float) or None
        :attr:`facegeo.training.data.datasets.LabelledFaces.offset_px` instead of the label file's.
    """

    labels: str | tuple[str, ...]
    pictures: str | tuple[str, ...]
    morphable_model: str = "default"
    backgrounds: str = ""
    negatives: float = 0.25
    turned: float = 0.0
    validation: str | tuple[str, ...] = ""
    validation_pictures: str | tuple[str, ...] = ""
    dev: str = ""
    variants: int = 2
    cache: str = ""
    workers: int = 1
    yaw_balance: float = 0.0
    held_back: float = 0.0
    offset_px: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "pictures", "validation", "validation_pictures"):
            value = getattr(self, name)
            if not isinstance(value, str):
                object.__setattr__(self, name, tuple(map(str, value)))
        check_counts(self, "data.", 0, "workers variants")
        for one, other in (("labels", "pictures"), ("validation", "validation_pictures")):
            counts = [len(as_list(getattr(self, name))) for name in (one, other)]
            if counts[0] != counts[1]:
                raise InvalidInputError(
                    f"data.{other}: expected one for each of the {counts[0]} of data.{one}, "
                    f"got {counts[1]}"
                )
        numbers = {NOT_NEGATIVE: "negatives turned", SHARE: "yaw_balance"}
        check_numbers(self, "data.", numbers | {Interval(0, 0.5): "held_back"})
        if self.offset_px is not None:
            offset = tuple(self.offset_px)
            if len(offset) != 2 or not all(map(Interval().holds, offset)):
                raise InvalidInputError(f"data.offset_px: expected two numbers, got {offset}")


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes
    ----------
    run : str
        Folder of the run: config, metrics, checkpoints, TensorBoard.
    epochs, batch : int
        ``batch`` counts the samples of all processes together.
    sizes : tuple of (float, int)
        Progressive resizing: from this part of the epochs on, crops of this side.
    ema : float
        Decay of the averaged weights, which are what is measured and shipped; 0 for none.
    precision : str
        ``fp32``, ``bf16`` (CPU or GPU) or ``fp16`` (GPU).
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    compile : bool
        Run the backbone through ``torch.compile``.
    seed : int
    checkpoint_steps : int
        Steps between checkpoints; one is also written after every epoch.
    evaluate_epochs : int
        Epochs between measurements on ``data.dev``.
    initial : str
        Weights to start from: ``.npz`` of an earlier run, an ``.onnx`` file that :mod:`facegeo`
        exported, or the name of a model; empty: random ones.
    fresh : tuple of str
        Parts of the network that start from random weights although ``initial`` has them:
        ``backbone``, ``heads``, ``refinement``, ``inverse``, ``presence``, ``visibility``,
        ``covariance``.
    frozen : tuple of str
        Parts that stay as they start, statistics of their batch norms too.
    teacher : str
        Weights of a network to distil from; empty: none.
    """

    run: str
    data: DataConfig
    network: SynergyConfig = field(default_factory=SynergyConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    epochs: int = 80
    batch: int = 1024
    sizes: tuple[tuple[float, int], ...] = ((0.0, CROP_SIZE),)
    ema: float = 0.999
    precision: str = "fp32"
    device: str = "auto"
    compile: bool = False
    seed: int = 0
    checkpoint_steps: int = 200
    evaluate_epochs: int = 1
    initial: str = ""
    fresh: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    teacher: str = ""

    def __post_init__(self) -> None:
        sizes = tuple((float(part), int(size)) for part, size in self.sizes)
        object.__setattr__(self, "sizes", sizes)
        for name in ("fresh", "frozen"):
            parts = tuple(getattr(self, name))
            object.__setattr__(self, name, parts)
            if not set(parts) <= set(_PARTS):
                raise InvalidInputError(f"{name}: expected parts of {_PARTS}, got {parts}")
        if _parts_of(self.network) <= set(self.frozen):
            raise InvalidInputError(
                "frozen: expected to leave a part that is trained, got all that the network has: "
                f"{self.frozen}"
            )
        known = ("fp32", "bf16", "fp16")
        if self.precision not in known:
            raise InvalidInputError(f"precision: expected one of {known}, got {self.precision!r}")
        starts = [part for part, _ in sizes]
        is_rising = starts == sorted(starts) and all(map(SHARE.holds, starts))
        if not sizes or starts[0] != 0 or not is_rising:
            raise InvalidInputError(f"sizes: expected rising parts from 0 on, got {self.sizes}")
        if any(size < _SMALLEST_CROP for _, size in sizes):
            raise InvalidInputError(
                f"sizes: expected crops of at least {_SMALLEST_CROP} pixels, got {self.sizes}"
            )
        check_counts(self, "", 1, "epochs batch checkpoint_steps evaluate_epochs")
        check_counts(self, "", 0, "seed")
        check_numbers(self, "", {DECAY: "ema"})

    def size_of(self, epoch: int) -> int:
        """Side of the crops in an epoch."""
        return [size for part, size in self.sizes if epoch >= part * self.epochs][-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for YAML and JSON."""
        return plain_settings(self)


def as_list(value: str | tuple[str, ...]) -> list[str]:
    """Several paths, one, or none."""
    if isinstance(value, str):
        return [value] if value else []
    return list(value)


def read_config(path: str | Path) -> TrainConfig:
    """A configuration from a YAML file.

    Paths in it are relative to the current folder.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the file is not there or not YAML.
    InvalidInputError
        If a name or value is not known; the message names it.
    """
    return config_from(read_settings(path))


def config_from(content: Mapping[str, Any]) -> TrainConfig:
    """A configuration from plain values. Raises InvalidInputError."""
    return build_settings(TrainConfig, content)


def _parts_of(network: SynergyConfig) -> set[str]:
    has = {
        "refinement": network.refinement != "none",
        "inverse": bool(network.inverse),
        "presence": network.presence,
        "visibility": network.visibility,
        "covariance": network.covariance,
    }
    return {part for part in _PARTS if has.get(part, True)}
