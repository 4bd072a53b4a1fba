"""A configuration file to the training that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegeo.errors import InvalidInputError
from facegeo.training.core.settings import read_settings


def train_from(path: str | Path) -> Path:
    """Train as a YAML file says; its ``task`` is ``landmarks`` (also if it names none) or
    ``detection``. Paths in it are relative to the current folder.

    Returns
    -------
    result : Path
        The file with the trained weights.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the file is not there or not YAML.
    InvalidInputError
        If a task, name or value is not known.
    """
    content = read_settings(path)
    task = content.pop("task", "landmarks")
    if not isinstance(task, str) or task not in _TASKS:
        raise InvalidInputError(f"{path}: task: expected one of {sorted(_TASKS)}, got {task!r}")
    return _TASKS[task](content)


def _landmarks(content: Mapping[str, Any]) -> Path:
    from facegeo.training.landmarks.config import config_from
    from facegeo.training.landmarks.loop import train

    return train(config_from(content))


def _detection(content: Mapping[str, Any]) -> Path:
    from facegeo.training.detector.config import config_from
    from facegeo.training.detector.loop import train_detector

    return train_detector(config_from(content))


_TASKS = {"landmarks": _landmarks, "detection": _detection}
