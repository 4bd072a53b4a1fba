"""The settings of a training run, read from YAML."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegeo.crop import CROP_SIZE
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.networks.synergy_config import SynergyConfig
from facegeo.training.augment import AugmentConfig
from facegeo.training.losses import LossConfig
from facegeo.training.yaml_files import require_yaml


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from.

    Attributes
    ----------
    labels, pictures : str
        Label file and crops (folder or tar), as :func:`facegeo.training.datasets.read_labelled`
        takes them.
    morphable_model : str
        ``generic``, or the file of the face model that the labels belong to.
    backgrounds : str
        Folder or tar of photos without faces, for negatives; may be empty. The first of every
        five, by file name, is held back for ``facegeo eval presence``.
    negatives : float
        Negatives an epoch, as a part of the number of faces.
    dev : str
        Folder of AFLW2000-3D to measure after epochs; may be empty.
    workers : int
        Processes that prepare samples, for each training process.
    yaw_balance : float
        0: each face once an epoch; 1: faces of up to 30, 60 and 90 degrees of yaw equally often.
    """

    labels: str
    pictures: str
    morphable_model: str = "generic"
    backgrounds: str = ""
    negatives: float = 0.25
    dev: str = ""
    workers: int = 1
    yaw_balance: float = 0.0


@dataclass(frozen=True)
class OptimiserConfig:
    """The paper's recipe by default; its weight decay is 3DDFA's, the paper states none.

    Attributes
    ----------
    name : str
        ``sgd``, ``adamw``, or ``muon``: Muon for the backbone's 1x1 convolutions, else AdamW.
    rate, momentum, weight_decay : float
    schedule : str
        ``steps``: a tenth after 60 % of the epochs, a hundredth after 80 %; or ``cosine``.
    warmup : float
        Part of all steps over which the rate rises from zero.
    clip : float
        Largest norm of the gradient; 0 leaves it as it is.
    """

    name: str = "sgd"
    rate: float = 0.08
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "steps"
    warmup: float = 0.0
    clip: float = 0.0


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
        Weights to start from (``.npz`` of an earlier run, or ``.safetensors``); empty: random ones.
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
    teacher: str = ""

    def __post_init__(self) -> None:
        sizes = tuple((float(part), int(size)) for part, size in self.sizes)
        object.__setattr__(self, "sizes", sizes)
        choices = {
            "precision": (self.precision, ("fp32", "bf16", "fp16")),
            "optimiser.name": (self.optimiser.name, ("sgd", "adamw", "muon")),
            "optimiser.schedule": (self.optimiser.schedule, ("steps", "cosine")),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise InvalidInputError(f"{name}: expected one of {known}, got {value!r}")
        if not sizes or sizes[0][0] != 0 or list(sizes) != sorted(sizes, key=lambda s: s[0]):
            raise InvalidInputError(f"sizes: expected rising parts from 0 on, got {self.sizes}")
        for name in ("epochs", "batch", "checkpoint_steps", "evaluate_epochs"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def size_of(self, epoch: int) -> int:
        """Side of the crops in an epoch."""
        return [size for part, size in self.sizes if epoch >= part * self.epochs][-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for YAML and JSON."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


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
    yaml = require_yaml()

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise CorruptFileError(f"{path}: not YAML ({error})") from error
    if not isinstance(content, Mapping):
        raise CorruptFileError(f"{path}: expected names and values")
    return config_from(content)


def config_from(content: Mapping[str, Any]) -> TrainConfig:
    """A configuration from plain values. Raises InvalidInputError."""
    config: TrainConfig = _build(TrainConfig, content, "")
    return config


def _build(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    """A dataclass from plain values; nested ones by their annotations."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(content) - set(hints))
    if unknown:
        raise InvalidInputError(f"{where}{unknown[0]}: unknown setting; known: {sorted(hints)}")
    values = {name: _value(hints[name], value, f"{where}{name}") for name, value in content.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidInputError(f"{where or 'configuration'}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InvalidInputError(f"{where}: expected names and values, got {value!r}")
        return _build(hint, value, f"{where}.")
    kinds: dict[Any, Any] = {int: int, float: (int, float), str: str, bool: bool}
    if hint in kinds:
        if not isinstance(value, kinds[hint]) or (hint is not bool and isinstance(value, bool)):
            raise InvalidInputError(f"{where}: expected {hint.__name__}, got {value!r}")
        return hint(value)
    optional = isinstance(hint, types.UnionType) and value is None
    if not optional and not isinstance(value, list | tuple):
        raise InvalidInputError(f"{where}: expected a list, got {value!r}")
    return None if optional else tuple(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
