"""Models by name: those in the package, and the folder of installed ones.

Files are verified against the card whenever they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from facegeo.base import files
from facegeo.base.cache import cache_dir
from facegeo.errors import CorruptFileError, InvalidInputError, ModelNotFoundError
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card, FileEntry, check_name, read_card
from facegeo.zoo.releases import DEFAULTS, FURTHER, release_of

_log = logging.getLogger(__name__)

_NETWORK = "network"

#: Ending of the file of each role.
_SUFFIX = {_NETWORK: ".onnx", "morphable": ".npz", "bridge": ".npz"}


@dataclass(frozen=True)
class InstalledModel:
    """A model on disk: its card and the folder that holds its files.

    Attributes
    ----------
    elsewhere : mapping of str to Path
        Role -> folder, for files that were added to a model in the package.
    """

    card: Card
    folder: Path
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def path(self, role: str) -> Path:
        """The file of a role. Raises CorruptFileError where the card has none."""
        if role not in self.card.files:
            raise CorruptFileError(f"model {self.card.name!r}: its card has no file for {role!r}")
        path = self.elsewhere.get(role, self.folder) / self.card.files[role].file
        if role == "morphable" and self.ships and not path.exists():  # the package's, shared
            return shipped.ASSETS / path.name
        return path

    def read(self, role: str) -> bytes:
        """The bytes of a role's file, after comparing their checksum with the card's.

        Raises
        ------
        CorruptFileError
            If the file is missing or is not the file that was installed.
        """
        path = self.path(role)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptFileError(
                f"{path}: cannot be read ({error.strerror}); {self._hint}"
            ) from error
        found, expected = files.sha256(data), self.card.files[role].sha256
        if found != expected:
            raise CorruptFileError(
                f"{path}: damaged, its SHA-256 is {found[:12]}... but the card says "
                f"{expected[:12]}...; {self._hint}"
            )
        return data

    @property
    def ships(self) -> bool:
        """True if the model came with the package or a distribution, rather than installed."""
        return self.folder in shipped.folders()

    @property
    def _hint(self) -> str:
        what = f"the model {self.card.name!r}"
        if self.ships:
            what = "facegeo" if self.folder == shipped.ASSETS else "facegeo-models"
        return f"install {what} again"


def install(card: Card, contents: Mapping[str, bytes]) -> InstalledModel:
    """Write a model's files, then its card; a model of that name is replaced as a whole.

    Parameters
    ----------
    card : Card
        Its ``files`` are filled in here.
    contents : mapping of str to bytes
        Role -> content.

    Raises
    ------
    InvalidInputError
        If a model of that name ships with facegeo: two would hide each other.
    """
    folder = _folder(check_name(card.name))
    if shipped.shipped_card(card.name) is not None:
        raise InvalidInputError(
            f"model name: {card.name!r} ships with facegeo; choose another (--name NAME)"
        )
    return InstalledModel(_write(folder, card, contents), folder)


def _write(folder: Path, card: Card, contents: Mapping[str, bytes]) -> Card:
    """Files, then the card with their names and checksums; files of an older card go."""
    entries = {}
    for role, data in contents.items():
        # The checksum in the name keeps an older card valid until the new one takes its place.
        digest = files.sha256(data)
        entries[role] = FileEntry(f"{role}-{digest[:8]}{_suffix(role)}", digest)
        files.write_bytes(folder / entries[role].file, data)
    card = replace(card, files=entries)
    files.write_bytes(folder / "card.json", card.to_json().encode())
    _remove_orphans(folder, {entry.file for entry in entries.values()})
    return card


def role_of(precision: str) -> str:
    """The role of the network's graph in a precision: ``network``, ``network-int8`` ..."""
    return "network" if precision == "fp32" else f"network-{precision}"


def add_files(model: InstalledModel, contents: Mapping[str, bytes]) -> InstalledModel:
    """Give a model further files, or newer ones in place of its own.

    What is added to a model in the package is kept in the cache, and is left out, with a warning,
    when the package brings another network.
    """
    if model.ships:
        added = {role: model.read(role) for role in model.elsewhere} | dict(contents)
        origin = {_NETWORK: _shipped_network(model)}
        _write(_additions(model.card.name), replace(model.card, imported_from=origin), added)
        return find_any(model.card.name)
    present = {role: model.read(role) for role in model.card.files}
    return install(model.card, present | dict(contents))


def find(name: str, task: str = "landmarks") -> InstalledModel:
    """The shipped or installed model of that name; ``default`` is the task's default model.

    Raises
    ------
    ModelNotFoundError
        If it is not installed; the message says how to get it.
    InvalidInputError
        If the model does something else than ``task``.
    """
    model = find_any(DEFAULTS[task] if name == "default" else name)
    if model.card.task != task:
        raise InvalidInputError(
            f"model: expected one for {task}, but {name!r} is for {model.card.task}"
        )
    return model


def find_any(name: str) -> InstalledModel:
    """The model of that name, whatever it does. Raises ModelNotFoundError."""
    card = shipped.shipped_card(check_name(name))
    if card is not None:
        return _with_additions(InstalledModel(read_card(card), card.parent))
    folder = _folder(name)
    if not (folder / "card.json").is_file():
        raise ModelNotFoundError(_how_to_get(name))
    return InstalledModel(read_card(folder / "card.json"), folder)


def list_models(task: str | None = None) -> list[str]:
    """Names of the shipped and installed models, of one task or of all, in alphabetical order."""
    installed = (path.parent.name for path in (cache_dir() / "models").glob("*/card.json"))
    names = []
    for name in sorted({*shipped.shipped_names(), *installed}):
        # A damaged card is reported when it is asked for; a folder of an odd name is not ours.
        with suppress(CorruptFileError, InvalidInputError):
            if task in (None, find_any(name).card.task):
                names.append(name)
    return names


def _with_additions(model: InstalledModel) -> InstalledModel:
    """A model in the package with the files that :func:`add_files` gave it."""
    folder = _additions(model.card.name)
    if not (folder / "card.json").is_file():
        return model
    added = read_card(folder / "card.json")
    if added.imported_from.get(_NETWORK) != _shipped_network(model):
        _log.warning(
            "%s: made from another version of the network, left out; make them again "
            "(facegeo export %s --install), or remove the folder",
            folder,
            model.card.name,
        )
        return model
    card = replace(model.card, files={**model.card.files, **added.files})
    return InstalledModel(card, model.folder, dict.fromkeys(added.files, folder))


def _shipped_network(model: InstalledModel) -> str:
    return read_card(model.folder / f"{model.card.name}.json").files[_NETWORK].sha256


def _additions(name: str) -> Path:
    return cache_dir() / "additions" / name


def _suffix(role: str) -> str:
    return _SUFFIX[role.split("-")[0]]


def _folder(name: str) -> Path:
    return cache_dir() / "models" / name


def _how_to_get(name: str) -> str:
    installed = ", ".join(list_models()) or "none"
    release = release_of(name)
    if name in FURTHER:
        return (
            f'model {name!r} is in facegeo-models: pip install "facegeo[models]", '
            "or in a copy of the repository pip install ./models"
        )
    how = (
        f"get it with: facegeo fetch {release.name}"
        if release
        else "install a release: facegeo fetch NAME, or facegeo import 3ddfa-v2 DIR --name NAME; "
        "a face model: facegeo import face-model PATH --name NAME"
    )
    return f"model {name!r} is not installed (installed: {installed}); {how}"


def _remove_orphans(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("*-????????.*"):
        if path.name not in keep:
            with suppress(OSError):  # still open in another process, on Windows
                path.unlink()
