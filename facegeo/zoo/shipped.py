"""Models inside the package: ``assets/<name>.onnx`` and its card, ``assets/<name>.json``."""

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

#: Most bytes of a shipped network, by task: the wheel must stay small.
LARGEST: Final = {"landmarks": 16_500_000, "detection": 4_000_000}


def shipped_card(name: str) -> Path | None:
    """The card of a shipped model; None where no model of that name ships."""
    path = ASSETS / f"{name}.json"
    return path if path.is_file() else None


def shipped_names() -> list[str]:
    """Names of the shipped models, in alphabetical order; other assets have notes of theirs too."""
    return sorted(
        path.stem for path in ASSETS.glob("*.onnx") if path.with_suffix(".json").is_file()
    )


def write_shipped(card: Card, network: bytes, present: Mapping[str, str] | None = None) -> Card:
    """Put a model into the package: its network, then its card.

    Parameters
    ----------
    card : Card
        Its ``files`` are filled in here.
    network : bytes
        A self-contained ONNX file.
    present : mapping of str to str, optional
        Role -> file among the assets that the model shares, such as the generic face model.

    Returns
    -------
    card : Card
        As written.

    Raises
    ------
    InvalidInputError
        If the network is larger than :data:`LARGEST` allows for its task.
    """
    limit = LARGEST[card.task]
    if len(network) > limit:
        raise InvalidInputError(
            f"{card.name}: the network has {len(network)} bytes, at most {limit} may ship"
        )
    file = f"{check_name(card.name)}.onnx"
    entries = {"network": FileEntry(file, files.sha256(network))}
    for role, other in (present or {}).items():
        entries[role] = FileEntry(other, files.sha256((ASSETS / other).read_bytes()))
    card = replace(card, files=entries)
    files.write_bytes(ASSETS / file, network)
    files.write_bytes(ASSETS / f"{card.name}.json", (card.to_json() + "\n").encode())
    return card
