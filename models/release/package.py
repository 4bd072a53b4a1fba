"""Networks and their cards written into the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from facegeo.base import files
from facegeo.errors import InvalidInputError
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card, FileEntry, check_name


def write_shipped(
    card: Card,
    network: bytes,
    present: Mapping[str, str] | None = None,
    others: Mapping[str, bytes] | None = None,
) -> Card:
    """Put a model into the package: its networks, then its card.

    Parameters
    ----------
    card : Card
        Its ``files`` are filled in here.
    network : bytes
        A self-contained ONNX file.
    present : mapping of str to str, optional
        Role -> file among the assets that the model shares, such as the generic face model.
    others : mapping of str to bytes, optional
        Role -> the network in another precision: ``network-int8``.

    Returns
    -------
    card : Card
        As written.

    Raises
    ------
    InvalidInputError
        If a network is larger than :func:`facegeo.zoo.shipped.largest` allows; then nothing is
        written.
    """
    networks = {"network": network, **(others or {})}
    for role, data in networks.items():
        limit = shipped.largest(card.task, role)
        if len(data) > limit:
            raise InvalidInputError(
                f"{card.name}: the {role} has {len(data)} bytes, at most {limit} may ship"
            )
    name = check_name(card.name)
    entries = {
        role: FileEntry(f"{name}{role.removeprefix('network')}.onnx", files.sha256(data))
        for role, data in networks.items()
    }
    contents = {entries[role].file: data for role, data in networks.items()}
    for role, other in (present or {}).items():
        entries[role] = FileEntry(other, files.sha256((shipped.ASSETS / other).read_bytes()))
    card = replace(card, files=entries)
    for file, data in contents.items():
        files.write_bytes(shipped.ASSETS / file, data)
    files.write_bytes(shipped.ASSETS / f"{card.name}.json", (card.to_json() + "\n").encode())
    return card
