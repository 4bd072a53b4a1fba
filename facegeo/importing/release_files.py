"""Reading other projects' releases: folders, weights, checksums; errors name the file.

Weights are read with ``weights_only=True``: no file runs code.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base import files
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError, UnsafeFileError

#: Weights by name, as NumPy arrays.
State = dict[str, np.ndarray]


def existing_folder(folder: str | Path) -> Path:
    """The folder. Raises UnreadableFileError where there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UnreadableFileError(f"{folder}: no such folder")
    return folder


def search(folder: Path, name: str) -> Path | None:
    """The first file or folder of that name in a folder and its sub-folders."""
    return next(iter(sorted(folder.rglob(name))), None)


def find_below(folder: Path, name: str, sources: dict[str, Path]) -> Path:
    """As :func:`search`, noted in ``sources``. Raises UnreadableFileError that names the file."""
    path = search(folder, name)
    if path is None:
        raise UnreadableFileError(f"{folder}: the file {name} is missing in it and its sub-folders")
    sources[name] = path
    return path


def checksums(sources: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, by name."""
    return {name: files.sha256(path.read_bytes()) for name, path in sorted(sources.items())}


def torch_state(path: Path) -> State:
    """The tensors of a ``.pth`` file as NumPy arrays, without the prefix of ``DataParallel``.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If it is missing or no weights file.
    UnsafeFileError
        If reading it would run code.
    """
    import pickle

    import torch

    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file")
    try:
        # From memory: of an open file PyTorch reads what a damaged one says, gigabytes at once.
        data = io.BytesIO(path.read_bytes())
        content = torch.load(data, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise UnsafeFileError(
                f"{path}: asks for code to be executed while it is read; refused, nothing ran"
            ) from error
        raise CorruptFileError(f"{path}: not a PyTorch weights file ({error})") from error
    # A damaged file fails in zipfile, in PyTorch or in its reader of pickles.
    except Exception as error:
        raise CorruptFileError(f"{path}: not a PyTorch weights file ({error})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CorruptFileError(f"{path}: holds no state dict of tensors")
    try:
        return {key.removeprefix("module."): value.numpy() for key, value in state.items()}
    except (TypeError, AttributeError, RuntimeError) as error:
        raise CorruptFileError(f"{path}: holds no state dict of tensors ({error})") from error


def fitting(path: Path, build: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``build``; weights that do not fit are the file's fault, so name it."""
    try:
        return build(*arguments)
    except InvalidInputError as error:
        raise CorruptFileError(f"{path}: {error}") from error
