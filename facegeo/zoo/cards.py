"""The card of an installed model: what it is, where it came from, what it allows, its checksums."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facegeo.base.arrays import describe
from facegeo.base.json_files import load_json
from facegeo.conventions import NUM_EXPRESSION, NUM_POSE, NUM_SHAPE
from facegeo.errors import CorruptFileError, FacegeoError, InvalidInputError
from facegeo.geometry.crop import CROP_SIZE

_FORMAT = "facegeo-card"
_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
#: A file beside the card: neither the folder itself nor the one above.
_FILE = re.compile(r"(?!\.+$)[^/\\\0]{1,200}")
_TEXTS = ("name", "task", "architecture", "source", "licence", "crop_convention")
#: In pixels; networks take about a hundred.
_LARGEST_CROP = 4096

TASKS = ("landmarks", "detection", "face-model")


@dataclass(frozen=True)
class FileEntry:
    """A file beside the card."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Card:
    """Facts about a model.

    Attributes
    ----------
    name : str
        Lower-case letters, digits, ``. _ -``; the name of its folder.
    task : str
        ``landmarks``, ``detection`` or ``face-model``.
    architecture : str
        Which network of :mod:`facegeo.networks` the weights belong to; of a face model the layout
        that it was read from.
    source, licence : str
        Where the weights come from and what their owners allow.
    files : mapping of str to FileEntry
        Role -> file: ``network`` (ONNX, float32; PyTorch's weights too), ``network-int8`` ... (the
        same in another precision), ``morphable`` (3DMM), ``bridge`` (from the parameters of the
        network to those of the 3DMM, see :mod:`facegeo.morphable.bridge`).
    crop_convention : str
        Name of a convention in :mod:`facegeo.geometry.crop`; empty for detectors.
    crop_size : int
        Side of the crops that a landmark network takes. Its points are in pixels of a crop of side
        120 whatever this is.
    unit_mm : float
        Millimetres in one unit of the morphable model that the parameters are of.
    num_shape, num_expression : int
        Modes of that model. Where the files hold a ``bridge``, the network itself speaks another
        model's parameters, and these are what comes out of the bridge.
    missing : mapping of str to str
        Role -> which upstream file would have provided it.
    imported_from : mapping of str to str
        Upstream file name -> SHA-256.
    """

    name: str
    task: str
    architecture: str
    source: str
    licence: str
    files: Mapping[str, FileEntry]
    crop_convention: str = ""
    crop_size: int = CROP_SIZE
    unit_mm: float = 1.0
    num_shape: int = NUM_SHAPE
    num_expression: int = NUM_EXPRESSION
    missing: Mapping[str, str] = field(default_factory=dict)
    imported_from: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_params(self) -> int:
        """Numbers of a face: pose, shape, expression."""
        return NUM_POSE + self.num_shape + self.num_expression

    def to_json(self) -> str:
        """The card as a JSON file."""
        return json.dumps({"format": _FORMAT, "format_version": _VERSION, **asdict(self)}, indent=2)


def check_name(name: str) -> str:
    """A model name that is safe as a folder name. Raises InvalidInputError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"model name: expected lower-case letters, digits and . _ -, got {name!r}"
        )
    return name


def read_card(path: Path) -> Card:
    """Read and check a card. Raises CorruptFileError that names file and key."""
    try:
        content = load_json(path)
    except FacegeoError as error:
        raise CorruptFileError(f"not a readable model card: {error}") from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise CorruptFileError(f"{path}: not a model card (key 'format')")
    version = content.pop("format_version", None)
    if version != _VERSION:
        raise CorruptFileError(
            f"{path}: card version {version!r}, this facegeo reads {_VERSION}; "
            "import the model again or upgrade facegeo"
        )
    return _card_from(content, path)


def _card_from(content: dict[str, Any], path: Path) -> Card:
    try:
        files = {role: FileEntry(**entry) for role, entry in content.pop("files").items()}
        card = Card(files=files, **content)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path}: incomplete model card ({error})") from error
    _check_texts(card, path)
    if card.task not in TASKS:
        raise CorruptFileError(f"{path}: key 'task' is {card.task!r}, expected one of {TASKS}")
    if type(card.crop_size) is not int or not 1 <= card.crop_size <= _LARGEST_CROP:
        raise CorruptFileError(
            f"{path}: key 'crop_size' is {card.crop_size!r}, expected a side in pixels"
        )
    if type(card.unit_mm) not in (int, float) or not 0 < card.unit_mm < math.inf:
        raise CorruptFileError(f"{path}: key 'unit_mm' is {card.unit_mm!r}, expected millimetres")
    for key in ("num_shape", "num_expression"):
        count = getattr(card, key)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CorruptFileError(f"{path}: key {key!r} is {count!r}, expected a number of modes")
    for entry in files.values():
        if Path(entry.file).name != entry.file or not _FILE.fullmatch(entry.file):
            raise CorruptFileError(f"{path}: key 'files' points outside its folder: {entry.file!r}")
    return card


def _check_texts(card: Card, path: Path) -> None:
    texts = {name: getattr(card, name) for name in _TEXTS}
    for name in ("missing", "imported_from"):
        mapping = getattr(card, name)
        if not isinstance(mapping, dict):
            raise CorruptFileError(f"{path}: key '{name}': expected names and texts")
        texts |= {f"{name}/{key}": value for key, value in mapping.items()}
    for role, entry in card.files.items():
        texts |= {f"files/{role}/{key}": value for key, value in asdict(entry).items()}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise CorruptFileError(f"{path}: key '{name}': expected a text, got {describe(value)}")
