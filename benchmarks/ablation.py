"""What refinement and landmark-to-3DMM bring: the same short training for each row and seed.

python benchmarks/ablation.py models/synergy-mbv2/ablation.yaml --runs runs/ablation --jobs 2 \\
    --out benchmarks/results/ablation.json

Every training is a run of ``facegeo train`` in its own process and folder: a run that was stopped
goes on when the same command is given again, a finished one is only read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import yaml
from report_ablation import FIGURES

from facegeo.files import write_bytes
from facegeo.networks.synergy_config import ABLATIONS
from facegeo.training.config import TrainConfig, read_config
from facegeo.training.shipping import portable, read_environment
from facegeo.training.stages import PATHS

#: Rows of the table by default: the four of the papers' Table 1.
ROWS = ("baseline", "mafa", "inverse", "mafa+inverse")


def main() -> None:
    """Train what is not trained yet, and write the figures of all."""
    options = _options()
    base = read_config(options.config)
    jobs = [(row, seed) for seed in range(options.seeds) for row in options.rows]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: _train(base, options.runs, *job), jobs))
    report = {
        "benchmark": "ablation",
        "config": portable(base.to_dict(), *PATHS),
        "environment": read_environment(options.runs / _name(*jobs[0])),
        "seeds": options.seeds,
        "rows": {row: _figures(options.runs, row, options.seeds) for row in options.rows},
    }
    write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training configuration that all runs share")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--out", type=Path, required=True, help="JSON; report.py shows it")
    parser.add_argument("--rows", nargs="+", choices=sorted(ABLATIONS), default=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    return parser.parse_args()


def _name(row: str, seed: int) -> str:
    return f"{row}-{seed}"


def _train(base: TrainConfig, runs: Path, row: str, seed: int) -> None:
    folder = runs / _name(row, seed)
    if (folder / "weights.npz").is_file():
        return
    config = replace(base, run=str(folder), network=ABLATIONS[row], seed=seed)
    file = runs / f"{_name(row, seed)}.yaml"
    write_bytes(file, yaml.safe_dump(config.to_dict()).encode())
    subprocess.run([sys.executable, "-m", "facegeo", "train", str(file)], check=True)


def _figures(runs: Path, row: str, seeds: int) -> dict[str, list[float]]:
    last = []
    for seed in range(seeds):
        lines = (runs / _name(row, seed) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        last.append(json.loads(lines[-1])["dev"])
    return {key: [report[key] for report in last] for key in FIGURES}


if __name__ == "__main__":
    main()
