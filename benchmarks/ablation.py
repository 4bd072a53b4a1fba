"""Effect of refinement and landmark-to-3DMM: the same short training for each row and seed.

python benchmarks/ablation.py models/synergy-mbv2/ablation.yaml --runs runs/ablation --jobs 2 \\
    --out benchmarks/results/ablation.json

Every training is a run of ``facegeo train`` in its own process and folder; one that was stopped
goes on when the same command is given again. As soon as it is done its figures are added to the
report, and what the report holds is not trained again: runs may be spread over machines and days.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from report_ablation import FIGURES

from facegeo.base.files import write_bytes
from facegeo.errors import InvalidInputError
from facegeo.networks.synergy.config import ABLATIONS
from facegeo.training.core.run_folder import portable, read_environment, read_epochs
from facegeo.training.landmarks.config import PATHS, TrainConfig, config_from, read_config

#: Rows of the table by default: the four of the papers' Table 1.
ROWS = ("baseline", "mafa", "inverse", "mafa+inverse")


def main() -> None:
    """Train what the report does not hold yet."""
    options = _options()
    base = read_config(options.config)
    report = Report(options.out, portable(base.to_dict(), *PATHS))
    jobs = [(row, seed) for seed in range(options.seeds) for row in options.rows]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: _run(base, options.runs, report, *job), jobs))


class Report:
    """The figures of finished runs, in a JSON file that is always whole.

    Raises
    ------
    InvalidInputError
        If the file holds runs of another configuration.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self._path = path
        self._lock = threading.Lock()
        # As it will be read back: JSON knows no tuples.
        config = json.loads(json.dumps(config))
        self._content: dict[str, Any] = {"benchmark": "ablation", "config": config, "runs": []}
        if path.is_file():
            self._content = json.loads(path.read_text(encoding="utf-8"))
        # Settings that the report is older than had their defaults.
        if config_from(self._content["config"]).to_dict() != config:
            raise InvalidInputError(
                f"{path}: holds runs of another configuration; expected that of this command; name "
                "another --out"
            )

    def holds(self, row: str, seed: int) -> bool:
        """True if a run's figures are there."""
        return any((run["row"], run["seed"]) == (row, seed) for run in self._content["runs"])

    def add(self, row: str, seed: int, folder: Path) -> None:
        """The figures of a run's last epoch."""
        last = read_epochs(folder)[-1]["dev"]
        figures = {key: last[key] for key in FIGURES}
        run = {"row": row, "seed": seed, **figures, "environment": read_environment(folder)}
        with self._lock:
            self._content["runs"].append(run)
            write_bytes(self._path, (json.dumps(self._content, indent=2) + "\n").encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training configuration that all runs share")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON, which is added to; report.py shows it"
    )
    parser.add_argument("--rows", nargs="+", choices=sorted(ABLATIONS), default=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    return parser.parse_args()


def _run(base: TrainConfig, runs: Path, report: Report, row: str, seed: int) -> None:
    if report.holds(row, seed):
        return
    folder = runs / f"{row}-{seed}"
    config = replace(base, run=str(folder), network=ABLATIONS[row], seed=seed)
    file = folder.with_suffix(".yaml")
    write_bytes(file, yaml.safe_dump(config.to_dict()).encode())
    subprocess.run([sys.executable, "-m", "facegeo", "train", str(file)], check=True)
    report.add(row, seed, folder)


if __name__ == "__main__":
    main()
