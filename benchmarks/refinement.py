"""What refinement costs in the exported graph: the default network with and without it, in turns.

python benchmarks/refinement.py [--out benchmarks/results/refinement.json]

Both graphs have random weights, which cost as much time as trained ones. ``backbone`` is the
network that ends with its backbone, heads and coarse landmarks. ONNX Runtime, float32, all cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.backends.onnxrt import OnnxRuntimeBackend
from facegeo.bench.timing import in_turns, machine, summary
from facegeo.exporting import regressor_onnx
from facegeo.files import write_bytes
from facegeo.morphable import MorphableModel
from facegeo.networks.synergy import SynergyNet
from facegeo.networks.synergy_config import SynergyConfig
from facegeo.training.sampling import RULE


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = {"machine": machine(), **measure(options.batch, options.rounds)}
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if options.out:
        write_bytes(options.out, text.encode())


def measure(batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of both, and ``refinement_over_backbone``: the median of what it adds."""
    crops = np.random.default_rng(0).integers(0, 256, (batch, 120, 120, 3), np.uint8)
    backends = {
        "backbone": _backend(SynergyConfig(refinement="none", inverse=())),
        "with_refinement": _backend(SynergyConfig()),
    }
    turns = in_turns(
        {name: lambda b=backend: b.run({"crops": crops}) for name, backend in backends.items()},
        rounds,
    )
    ratio = turns["with_refinement"] / turns["backbone"]
    return {
        "benchmark": "refinement",
        "batch": batch,
        **{name: summary(times) for name, times in turns.items()},
        "refinement_over_backbone": float(np.median(ratio)) - 1,
    }


def _backend(config: SynergyConfig) -> OnnxRuntimeBackend:
    model = MorphableModel.generic()
    network = SynergyNet(config, RULE, model.name)
    network.speak(model, np.zeros(62), np.ones(62))
    return OnnxRuntimeBackend(regressor_onnx(network.eval(), checks=()), "cpu")


if __name__ == "__main__":
    main()
