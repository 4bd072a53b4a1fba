"""Bridges from networks that speak another face model to the one that ships.

python -m models.release.bridges NAME --model models/facegeo-generic/facegeo-generic.npz
    --crops data/aflw_train/crops.tar --except data/labels/validation.npz

Fits the bridge of a shipped network anew, and writes it and the card where the network lies.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegeo.backends import open_network
from facegeo.backends.base import Backend
from facegeo.geometry.crop import CropConvention, find_convention, pose_to_crop, resized_crops
from facegeo.geometry.params import split
from facegeo.images.collections import decoded, open_images
from facegeo.morphable import MorphableModel
from facegeo.morphable.bridge import ParameterBridge, fit_bridge
from facegeo.zoo.cards import Card
from facegeo.zoo.face_models import load_face_model
from facegeo.zoo.store import find
from models.release.package import home_of, write_shipped

#: Faces that a bridge is fitted to; twice as many change its points by less than 0.01 percent.
FACES = 2000

_BATCH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit the bridge of a shipped network anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a shipped landmark network")
    parser.add_argument("--model", required=True, help="face model that the network speaks")
    parser.add_argument("--crops", type=Path, required=True, help="training crops, folder or tar")
    parser.add_argument(
        "--except", dest="held_back", type=Path, help="label file of crops that are left out"
    )
    options = parser.parse_args(arguments)
    model = find(options.name)
    convention = find_convention(model.card.crop_convention)
    crops = _crops(options.crops, options.held_back, model.card.crop_size)
    with open_network(model, "onnxruntime", "cpu", "fp32") as network:
        bridge = bridge_of(network, convention, load_face_model(options.model), crops)
    own = {role: model.read(role) for role in model.card.files if role.startswith("network")}
    others = own | {"bridge": bridge.to_bytes()}
    shared = {"morphable": f"{bridge.target}.npz"}
    write_shipped(
        spoken(model.card, bridge), others.pop("network"), shared, others, home_of(options.name)
    )


def bridge_of(
    network: Backend, convention: CropConvention, source: MorphableModel, crops: np.ndarray
) -> ParameterBridge:
    """The bridge to the default face model, fitted to what a network says of crops of faces.

    Parameters
    ----------
    network : Backend
        Speaks ``source``.
    crops : (N, S, S, 3) uint8
        BGR. Those in which the network sees no face are left out.
    """
    parts = np.split(crops, range(_BATCH, len(crops), _BATCH))
    outputs = [network.run({"crops": np.ascontiguousarray(part)}) for part in parts]
    params, landmarks = (
        np.concatenate([np.array(out[key]) for out in outputs]) for key in ("params", "landmarks")
    )
    if "presence" in outputs[0]:
        presence = np.concatenate([np.array(out["presence"]) for out in outputs])
        seen = presence >= min(0.5, np.median(presence))
        params, landmarks = params[seen], landmarks[seen]
    affine = pose_to_crop(split(params, source.num_shape).pose, convention)
    return fit_bridge(source, MorphableModel.default(), params, landmarks=landmarks, affine=affine)


def spoken(card: Card, bridge: ParameterBridge) -> Card:
    """The card of a network whose parameters a bridge takes to the default face model."""
    return dataclasses.replace(
        card,
        unit_mm=MorphableModel.default().unit_mm,
        num_shape=bridge.target_num_shape,
        num_expression=bridge.target_num_expression,
    )


def _crops(path: Path, held_back: Path | None, size: int) -> np.ndarray:
    images = open_images(path)
    left_out = set()
    if held_back is not None:
        with np.load(held_back, allow_pickle=False) as labels:
            left_out = set(labels["names"].tolist())
    rows = [k for k, name in enumerate(images.names) if name not in left_out]
    chosen = np.array(rows)[:: max(len(rows) // FACES, 1)]
    return resized_crops(np.stack(list(decoded(images, chosen))), size)


if __name__ == "__main__":
    main()
