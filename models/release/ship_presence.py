"""A trained presence output becomes that of a model that ships; all else stays, bit for bit.

python -m models.release.ship_presence NAME runs/presence
    --dev data/aflw2000_dev --backgrounds data/backgrounds/bsds500.tar

The run is one of models/NAME/presence.yaml. Writes NAME.onnx, NAME-int8.onnx and NAME.json where
the model lies, and its figures into models/NAME.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegeo import FaceGeometry
from facegeo.base import files
from facegeo.errors import InvalidInputError
from facegeo.evaluation import aflw2000
from facegeo.networks.onnx_state import with_weights
from facegeo.networks.synergy.weights import parse_weights
from facegeo.training.core.run_folder import read_config
from facegeo.training.data.variants import CONVENTION
from facegeo.zoo.store import find
from models.release.package import home_of, write_shipped
from models.release.record import METRICS, read_template
from models.release.ship_landmarks import MODELS, card_text, presence
from models.release.stages import Stages

#: Parts of a network that a run may not have trained.
_FROZEN = {"backbone", "heads", "refinement"}


def ship(name: str, run: Path, dev: Path, backgrounds: Path) -> None:
    """Put the presence output of a run into a shipped model, and measure it.

    Raises
    ------
    InvalidInputError
        If the run trained anything else, or did not begin with this model.
    """
    config = read_config(run)
    if not set(config.get("frozen", ())) >= _FROZEN or config.get("initial") != name:
        raise InvalidInputError(
            f"{run}: expected a run with initial: {name} and frozen: {sorted(_FROZEN)}, got "
            f"initial: {config.get('initial')!r}, frozen: {config.get('frozen')}"
        )
    with np.load(run / "weights.npz", allow_pickle=False) as weights:
        trained = {key: weights[key] for key in ("presence.weight", "presence.bias")}
    model = find(name)
    networks = {
        role: with_weights(model.read(role), trained) for role in ("network", "network-int8")
    }
    shared = {"morphable": model.card.files["morphable"].file}
    others = {"network-int8": networks["network-int8"]}
    if "bridge" in model.card.files:
        others["bridge"] = model.read("bridge")
    write_shipped(model.card, networks["network"], shared, others, home_of(name))

    folder = MODELS / name
    figures = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    for key, role in (("onnx", "network"), ("int8", "network-int8")):
        figures[key]["sha256"] = files.sha256(networks[role])
    predictor = FaceGeometry(name, backend="onnxruntime", device="cpu", precision="fp32")
    data = aflw2000.Aflw2000.open(dev)
    figures["presence_roc_area"] = presence(predictor, data, backgrounds)
    network = parse_weights(networks["network"], CONVENTION, name)
    stages = Stages.recorded(folder).configs
    # Landmark-to-3DMM is not in the file; the card tells of it.
    inverse = tuple(stages[-1]["network"]["inverse"])
    network.config = dataclasses.replace(network.config, inverse=inverse)
    text = card_text(read_template(folder), figures, stages, network)
    files.write_bytes(folder / METRICS, (json.dumps(figures, indent=2) + "\n").encode())
    files.write_bytes(folder / "card.md", text.encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path, required=True)
    given = parser.parse_args(arguments)
    ship(given.name, given.run, given.dev, given.backgrounds)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
