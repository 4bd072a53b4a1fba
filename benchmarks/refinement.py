"""Cost of refinement in the exported graph: a shipped network with and without it, in turns.

python benchmarks/refinement.py [--model synergy-fast] [--out benchmarks/results/refinement.json]

Both graphs have random weights, which cost as much time as trained ones. ``backbone`` is the
network that ends with its backbone, heads and coarse landmarks. ONNX Runtime, float32, all cores.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.backends.onnxrt.backend import OnnxRuntimeBackend
from facegeo.base.files import write_bytes
from facegeo.bench.timing import in_turns, machine, summary
from facegeo.export.to_onnx import regressor_onnx
from facegeo.morphable import MorphableModel
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.networks.synergy.network import SynergyNet
from facegeo.networks.synergy.weights import parse_weights
from facegeo.training.data.variants import CONVENTION
from facegeo.zoo.store import find


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="synergy-mbv2", help="a folder of models/")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = {"machine": machine(), **measure(options.model, options.batch, options.rounds)}
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if options.out:
        write_bytes(options.out, text.encode())


def measure(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of both, and ``refinement_over_backbone``: the median of what it adds."""
    config = parse_weights(find(name).read("network"), CONVENTION, name).config
    size = find(name).card.crop_size
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    backends = {
        "backbone": _backend(replace(config, refinement="none", inverse=()), size),
        "with_refinement": _backend(config, size),
    }
    turns = in_turns(
        {name: lambda b=backend: b.run({"crops": crops}) for name, backend in backends.items()},
        rounds,
    )
    ratio = turns["with_refinement"] / turns["backbone"]
    return {
        "benchmark": "refinement",
        "model": name,
        "crop_size": size,
        "batch": batch,
        **{name: summary(times) for name, times in turns.items()},
        "refinement_over_backbone": float(np.median(ratio)) - 1,
    }


def _backend(config: SynergyConfig, size: int) -> OnnxRuntimeBackend:
    model = MorphableModel.default()
    network = SynergyNet(config, CONVENTION, model.name)
    network.set_face_model(model, np.zeros(62), np.ones(62))
    return OnnxRuntimeBackend(regressor_onnx(network.eval(), size=size, checks=()), "cpu")


if __name__ == "__main__":
    main()
