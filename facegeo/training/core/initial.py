"""Weights that a run starts from, or a teacher's: a file, or a model by its name."""

from __future__ import annotations

from pathlib import Path

from facegeo.errors import UnreadableFileError
from facegeo.zoo.store import find


def read_initial(source: str, task: str) -> bytes:
    """The content of a file, or the network of the shipped or installed model of that name.

    Raises
    ------
    UnreadableFileError
        If a text that looks like a path is no file.
    ModelNotFoundError
        If no such model is installed.
    """
    path = Path(source)
    if path.is_file():
        return path.read_bytes()
    if path.suffix in (".npz", ".onnx") or len(path.parts) > 1:
        raise UnreadableFileError(f"{path}: no such file; expected one, or the name of a model")
    return find(source, task).read("network")
