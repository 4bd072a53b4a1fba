"""Networks and their cards written into the package, or into facegeo-models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from facegeo.base import files
from facegeo.errors import InvalidInputError
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card, FileEntry, check_name
from facegeo.zoo.releases import DEFAULTS


def home_of(name: str) -> Path:
    """Folder of a model's files: the default ones in the package, others in facegeo-models."""
    if name in DEFAULTS.values():
        return shipped.ASSETS
    return shipped.further_roots()[0] / name / "weights"


def write_shipped(
    card: Card,
    network: bytes,
    present: Mapping[str, str] | None = None,
    others: Mapping[str, bytes] | None = None,
    folder: Path | None = None,
) -> Card:
    """Put a model into a distribution: its networks, then its card.

    Parameters
    ----------
    card : Card
        Its ``files`` are filled in here.
    network : bytes
        A self-contained ONNX file.
    present : mapping of str to str, optional
        Role -> file among the assets that the model shares, such as the face model.
    others : mapping of str to bytes, optional
        Role -> further file of its own: the network in another precision (``network-int8``), or
        the ``bridge`` to the face model.
    folder : Path, optional
        Default: the package's assets.

    Returns
    -------
    card : Card
        As written.

    Raises
    ------
    InvalidInputError
        If a file is larger than :func:`facegeo.zoo.shipped.largest` allows; then nothing is
        written.
    """
    own = {"network": network, **(others or {})}
    for role, data in own.items():
        limit = shipped.largest(card.task, role)
        if len(data) > limit:
            raise InvalidInputError(
                f"{card.name}: the {role} has {len(data)} bytes, at most {limit} may ship"
            )
    name = check_name(card.name)
    entries = {
        role: FileEntry(_file_name(name, role), files.sha256(data)) for role, data in own.items()
    }
    contents = {entries[role].file: data for role, data in own.items()}
    for role, other in (present or {}).items():
        entries[role] = FileEntry(other, files.sha256((shipped.ASSETS / other).read_bytes()))
    card = replace(card, files=entries)
    folder = folder or shipped.ASSETS
    for file, data in contents.items():
        files.write_bytes(folder / file, data)
    files.write_bytes(folder / f"{card.name}.json", (card.to_json() + "\n").encode())
    return card


def _file_name(name: str, role: str) -> str:
    if role == "bridge":
        return f"{name}-bridge.npz"
    return f"{name}{role.removeprefix('network')}.onnx"
