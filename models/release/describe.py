"""Write what the networks that ship say of themselves anew: names of axes, and metadata.

python -m models.release.describe [NAME ...]

Weights and nodes stay as they are, and each file is compared with its outputs before: they must be
the same bit for bit. Checksums follow in the models' cards and in models/NAME/metrics.json. A file
that says all of this already is left alone, so the command may be given again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.backends import AS_WRITTEN, FOR_ANY_SIZE, open_graph
from facegeo.base import files
from facegeo.errors import CorruptFileError, ModelNotFoundError
from facegeo.export.description import described
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card, FileEntry, read_card
from models.release.record import METRICS

MODELS = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe the named models, by default all that ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that ship")
    options = parser.parse_args(arguments)
    for name in options.names or shipped.shipped_names():
        for path in describe(name):
            print(path)


def describe(name: str, record: Path | None = None) -> list[Path]:
    """Describe the networks of a model that ships, in every precision.

    Parameters
    ----------
    record : Path, optional
        Folder with ``metrics.json``; default: ``models/NAME``.

    Returns
    -------
    list of Path
        Files that were written: networks, card, metrics; empty where nothing changed.

    Raises
    ------
    ModelNotFoundError
        If no model of that name ships.
    CorruptFileError
        If a file is not that of its card, or computes something else afterwards; nothing was
        written.
    """
    card_path = shipped.shipped_card(name)
    if card_path is None:
        raise ModelNotFoundError(f"model: expected one of {shipped.shipped_names()}, got {name!r}")
    card, folder = read_card(card_path), card_path.parent
    contents: dict[Path, bytes] = {}
    entries = dict(card.files)
    for role, entry in card.files.items():
        if not entry.file.endswith(".onnx"):
            continue
        before = (folder / entry.file).read_bytes()
        if files.sha256(before) != entry.sha256:
            raise CorruptFileError(f"{folder / entry.file}: not the file of its card")
        after = described(before, card)
        if after != before:
            check_equal(before, after, card)
            contents[folder / entry.file] = after
            entries[role] = FileEntry(entry.file, files.sha256(after))
    if not contents:
        return []
    metrics = (record or MODELS / name) / METRICS
    if metrics.is_file():
        figures = json.loads(metrics.read_text(encoding="utf-8"))
        for role, entry in card.files.items():
            data = contents.get(folder / entry.file)
            if data is not None:
                _replace_checksum(figures, entry.sha256, entries[role].sha256, len(data))
        contents[metrics] = (json.dumps(figures, indent=2) + "\n").encode()
    contents[card_path] = (replace(card, files=entries).to_json() + "\n").encode()
    for path, data in contents.items():
        files.write_bytes(path, data)
    return list(contents)


def check_equal(before: bytes, after: bytes, card: Card) -> None:
    """Raise CorruptFileError unless both compute the same, bit for bit."""
    rng = np.random.default_rng(0)
    side = card.crop_size if card.task == "landmarks" else 128
    pixels = rng.integers(0, 256, (3, side, side, 3), np.uint8)
    outputs = []
    for graph in (before, after):
        with open_graph(graph, backend=FOR_ANY_SIZE, precision=AS_WRITTEN) as network:
            (name,) = network.input_metadata
            outputs.append(network.run({name: pixels}))
    for key, value in outputs[0].items():
        if not np.array_equal(value, outputs[1][key]):
            raise CorruptFileError(f"{card.name}: {key} is not what it was; nothing was written")


def _replace_checksum(figures: Any, old: str, new: str, size: int) -> None:
    """Checksum and size of a file, wherever the figures tell them."""
    if isinstance(figures, dict):
        if figures.get("sha256") == old:
            figures |= {"sha256": new, "bytes": size}
        for value in figures.values():
            _replace_checksum(value, old, new, size)


if __name__ == "__main__":
    main()
