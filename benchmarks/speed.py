"""All benchmarks of this machine; writes JSON with hardware, versions and commit.

python benchmarks/speed.py [--out benchmarks/results/speed.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from facegeo import bench
from facegeo.base.files import write_bytes
from facegeo.bench.timing import as_text

#: Benchmark -> options.
BENCHMARKS = {
    "fps": ("--model", "default", "synergy-fast", "--batches", "1", "64"),
    "crops": (),
    "photo": (),
    "detectors": (),
    "mesh": (),
    "raster": (),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = bench.collect(BENCHMARKS)
    report["commit"] = report["machine"].pop("commit")
    print(as_text(report))
    if options.out:
        write_bytes(options.out, (json.dumps(report, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
