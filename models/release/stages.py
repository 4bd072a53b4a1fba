"""Training of a landmark network: the stages, and how its error on dev fell meanwhile.

The record in ``models/<name>`` holds both, so a network can be trained on from there when the run
folders of its first stages are long gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegeo.errors import UnreadableFileError
from facegeo.training.core.run_folder import portable, read_config, read_epochs
from facegeo.training.core.settings import read_settings
from facegeo.training.landmarks.config import PATHS
from models.release.record import METRICS

_MEASURED = ("nme_original_refined", "nme_reannotated_refined")


@dataclass(frozen=True)
class Stages:
    """Stages, first to last.

    Attributes
    ----------
    configs : tuple of mapping
        The configuration of each, without paths of a machine.
    epochs : int
        Of all stages together.
    history : tuple of mapping
        Epochs that were measured on dev, counted through: ``epoch``, and NME in percent as
        ``nme_original_refined`` and ``nme_reannotated_refined``.
    """

    configs: tuple[Mapping[str, Any], ...] = ()
    epochs: int = 0
    history: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def recorded(cls, folder: Path) -> Stages:
        """Those of a network that shipped, from its record.

        Raises
        ------
        UnreadableFileError
            If there is none.
        """
        path = folder / METRICS
        if not path.is_file():
            raise UnreadableFileError(
                f"{path}: no such file; what was trained before is read from it"
            )
        figures = json.loads(path.read_text(encoding="utf-8"))
        files = sorted(folder.glob("stage-*.yaml"), key=lambda file: int(file.stem.split("-")[1]))
        configs = tuple(read_settings(file) for file in files)
        return cls(configs, figures["epochs"], tuple(figures["history"]))

    def followed_by(self, run: Path) -> Stages:
        """With the stage of a run's folder after them."""
        epochs = read_epochs(run)
        measured = tuple(
            {"epoch": self.epochs + entry["epoch"]} | {key: entry["dev"][key] for key in _MEASURED}
            for entry in epochs
            if "dev" in entry
        )
        return Stages(
            (*self.configs, portable(read_config(run), *PATHS)),
            self.epochs + max((entry["epoch"] for entry in epochs), default=0),
            (*self.history, *measured),
        )

    def named(self) -> dict[str, Mapping[str, Any]]:
        """File name in the record -> configuration."""
        return {f"stage-{number}.yaml": config for number, config in enumerate(self.configs, 1)}
