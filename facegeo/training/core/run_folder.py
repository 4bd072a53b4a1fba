"""The folder of a run: what was asked, with which code, and what came out."""

from __future__ import annotations

import io
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeo.base import files
from facegeo.base.json_files import load_json, parse_json
from facegeo.base.versions import installed_version
from facegeo.training.core.settings import read_settings
from facegeo.training.core.yaml_files import require_yaml

if TYPE_CHECKING:
    from facegeo.networks.synergy.network import SynergyNet


class RunFolder:
    """``config.yaml``, ``environment.json``, ``metrics.jsonl``, TensorBoard, and the weights.

    Parameters
    ----------
    path : Path
    config : dict
        Plain values.
    writes : bool
        False in all processes but the first: they only read.
    """

    def __init__(self, path: Path, config: dict[str, Any], writes: bool = True) -> None:
        yaml = require_yaml()

        self.path, self._writes = path, writes
        self.checkpoint = path / "checkpoint.safetensors"
        self._metrics = path / "metrics.jsonl"
        self._board: Any = None
        if writes and not self.checkpoint.is_file():
            text = yaml.safe_dump(config, sort_keys=False)
            files.write_bytes(path / "config.yaml", text.encode())
            data = json.dumps(_environment(), indent=2)
            files.write_bytes(path / "environment.json", data.encode())

    def record(self, values: dict[str, Any]) -> None:
        """Append the figures of an epoch, or of a step where there are no epochs."""
        if not self._writes:
            return
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        board = self._open_board()
        if board is not None:
            for name, value in _flat(values):
                board.add_scalar(name, value, values.get("epoch", values["step"]))
            board.flush()

    def forget_after(self, step: int) -> None:
        """Drop figures of steps that will run again."""
        if self._writes and self._metrics.is_file():
            lines = self._metrics.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            files.write_bytes(self._metrics, "".join(line + "\n" for line in kept).encode())

    def write_weights(self, network: SynergyNet) -> None:
        """Write ``weights.npz``, which :func:`build_regressor` reads."""
        from facegeo.networks.regressor import network_state

        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **network_state(network))
        files.write_bytes(self.path / "weights.npz", buffer.getvalue())

    def _open_board(self) -> Any:
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            self._board = SummaryWriter(self.path / "tensorboard")
        return self._board


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run, as it was written."""
    return read_settings(run / "config.yaml")


def read_environment(run: Path) -> dict[str, Any]:
    """Versions and commit that a run was started with."""
    content: dict[str, Any] = load_json(run / "environment.json")
    return content


def read_epochs(run: Path) -> list[dict[str, Any]]:
    """Measurements of a run after each epoch, first to last; nothing where it recorded none."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [parse_json(line, str(path)) for line in lines]


def portable(
    config: Mapping[str, Any], data: Sequence[str], weights: Sequence[str] = ()
) -> dict[str, Any]:
    """A run's configuration with the paths of the machine that trained made relative.

    Parameters
    ----------
    config : mapping
        With ``run`` and the section ``data``.
    data : sequence of str
        Settings in ``data`` that are paths.
    weights : sequence of str
        Settings beside ``run`` that name a file of another run, or of a folder in ``models``.
    """
    changed = dict(config)
    changed["run"] = f"runs/{Path(config['run']).name}"
    for name in weights:
        if config.get(name):
            changed[name] = _of_a_run(Path(config[name]))
    changed["data"] = {
        name: _in_data(value) if name in data else value for name, value in config["data"].items()
    }
    return changed


def _in_data(paths: str | Sequence[str]) -> str | list[str]:
    return in_data(paths) if isinstance(paths, str) else [in_data(path) for path in paths]


def in_data(path: str) -> str:
    """Path below ``data``: what follows the last folder ``data``, or else the file's name."""
    if not path:
        return path
    parts = Path(path).parts
    last = max((k for k, part in enumerate(parts[:-1]) if part == "data"), default=len(parts) - 2)
    return "/".join(("data", *parts[last + 1 :]))


def _of_a_run(path: Path) -> str:
    """``runs/<run>/<file>``; what lies in ``models`` stays there."""
    if len(path.parts) == 1 and not path.suffix:  # a model's name
        return str(path)
    parts = path.parts[-3:]
    return "/".join(parts if parts[0] == "models" else ("runs", *parts[-2:]))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found.append((prefix + name, float(value)))
    return found


def _environment() -> dict[str, Any]:
    import torch

    return {
        "facegeo": installed_version("facegeo"),
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _commit() -> str | None:
    """Of a checkout; None where facegeo is installed, or git is not."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        here = Path(__file__).resolve().parent
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
