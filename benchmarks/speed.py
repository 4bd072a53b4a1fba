"""What the predictor costs beyond its parts; writes JSON with hardware, versions and commit.

python benchmarks/speed.py [--out benchmarks/results/speed.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from facegeo import bench
from facegeo.files import write_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    report = bench.run(sorted(bench.BENCHMARKS), rounds=options.rounds)
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    report["commit"] = subprocess.run(
        git, capture_output=True, text=True, check=False
    ).stdout.strip()
    print(bench.as_text(report))
    if options.out:
        write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
