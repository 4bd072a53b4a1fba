"""Models inside the package: ``assets/<name>.onnx`` and its card, ``assets/<name>.json``.

The network in another precision lies beside it, ``assets/<name>-int8.onnx``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from facegeo import files
from facegeo.errors import InvalidInputError
from facegeo.zoo.cards import Card, FileEntry, check_name

#: The package's own folder; what lies in it is in the wheel.
ASSETS: Final = Path(__file__).resolve().parent.parent / "assets"

#: Most bytes of a shipped float32 network, by task: the wheel must stay small.
LARGEST: Final = {"landmarks": 16_500_000, "detection": 4_000_000}

#: Most bytes of the same network in another precision, as a part of :data:`LARGEST`.
_LARGEST_PART: Final = 0.4


def shipped_card(name: str) -> Path | None:
    """The card of a shipped model; None where no model of that name ships."""
    path = ASSETS / f"{name}.json"
    return path if path.is_file() else None


def shipped_names() -> list[str]:
    """Names of the shipped models, in alphabetical order; other assets have notes of theirs too."""
    return sorted(
        path.stem for path in ASSETS.glob("*.onnx") if path.with_suffix(".json").is_file()
    )


def largest(task: str, role: str) -> int:
    """Most bytes that a network may have in the package."""
    return int(LARGEST[task] * (1 if role == "network" else _LARGEST_PART))


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
        If a network is larger than :func:`largest` allows; nothing is written then.
    """
    networks = {"network": network, **(others or {})}
    for role, data in networks.items():
        limit = largest(card.task, role)
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
        entries[role] = FileEntry(other, files.sha256((ASSETS / other).read_bytes()))
    card = replace(card, files=entries)
    for file, data in contents.items():
        files.write_bytes(ASSETS / file, data)
    files.write_bytes(ASSETS / f"{card.name}.json", (card.to_json() + "\n").encode())
    return card
