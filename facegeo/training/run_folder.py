"""The folder of a run: what was asked, with which code, and what came out."""

from __future__ import annotations

import io
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeo import files
from facegeo.training.yaml_files import require_yaml

if TYPE_CHECKING:
    from facegeo.networks.synergy import SynergyNet


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
        "facegeo": _version(),
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _version() -> str | None:
    """None where facegeo runs from a checkout that is not installed."""
    try:
        return metadata.version("facegeo")
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of a checkout; None where facegeo is installed, or git is not."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        here = Path(__file__).resolve().parent
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
