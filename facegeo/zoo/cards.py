"""The card of an installed model: what it is, where it came from, what it allows, its checksums."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.crop import CROP_SIZE

_FORMAT = "facegeo-card"
_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

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
        same in another precision), ``morphable`` (3DMM).
    crop_convention : str
        Name of a convention in :mod:`facegeo.geometry.crop`; empty for detectors.
    crop_size : int
        Side of the crops that a landmark network takes. Its points are in pixels of a crop of side
        120 whatever this is.
    unit_mm : float
        Millimetres in one unit of the morphable model that the parameters are of.
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
    missing: Mapping[str, str] = field(default_factory=dict)
    imported_from: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The card as a JSON file."""
        return json.dumps({"format": _FORMAT, "format_version": _VERSION, **asdict(self)}, indent=2)


def check_name(name: str) -> str:
    """A model name that is safe as a folder name. Raises InvalidInputError."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"model name: expected lower-case letters, digits and . _ -, got {name!r}"
        )
    return name


def read_card(path: Path) -> Card:
    """Read and check a card. Raises CorruptFileError that names file and key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"{path}: not a readable model card ({error})") from error
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
    if card.task not in TASKS:
        raise CorruptFileError(f"{path}: key 'task' is {card.task!r}, expected one of {TASKS}")
    if not isinstance(card.crop_size, int) or card.crop_size < 1:
        raise CorruptFileError(
            f"{path}: key 'crop_size' is {card.crop_size!r}, expected a side in pixels"
        )
    for entry in files.values():
        if Path(entry.file).name != entry.file:
            raise CorruptFileError(f"{path}: key 'files' points outside its folder: {entry.file!r}")
    return card
