"""SynergyNet's release (``choyingw/SynergyNet``) -> facegeo's own files. Needs ``[torch]``.

``pretrained/best.pth.tar`` holds the network with its statistics, mean face and bases;
``3dmm_data/`` has the same face model with triangles and landmark rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegeo.base.optional import require_torch
from facegeo.conventions import NUM_EXPRESSION, NUM_LANDMARKS, NUM_PARAMS, NUM_SHAPE
from facegeo.errors import CorruptFileError
from facegeo.export.description import described
from facegeo.export.to_onnx import regressor_onnx
from facegeo.geometry.crop import find_convention
from facegeo.importing.release_files import (
    State,
    checksums,
    existing_folder,
    find_below,
    fitting,
    search,
    torch_state,
)
from facegeo.morphable import MorphableModel
from facegeo.morphable.readers._arrays import BASEL_UNIT_MM, entry
from facegeo.morphable.readers.synergynet import read_synergynet
from facegeo.zoo.cards import Card, check_name
from facegeo.zoo.face_models import model_bytes
from facegeo.zoo.store import InstalledModel, install

_WEIGHTS: Final = "best.pth.tar"
_DATA: Final = "3dmm_data"
_BASES: Final = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy")
_FLAT: Final = 3 * NUM_LANDMARKS

LICENCE: Final = (
    "as its authors state in their repository (trained on 300W-LP, for research); "
    "the Basel Face Model inside is for research only"
)

#: Their modules -> ours; convN and bnN of the refinement are layers of one of our sequences.
_MODULES: Final = {
    "I2P.backbone.features": "backbone.features",
    "I2P.backbone.classifier_ori.1": "heads.pose",
    "I2P.backbone.classifier_shape.1": "heads.shape",
    "I2P.backbone.classifier_exp.1": "heads.expression",
    "forwardDirection.conv1": "refinement.encoder.low.0",
    "forwardDirection.bn1": "refinement.encoder.low.1",
    "forwardDirection.conv2": "refinement.encoder.low.3",
    "forwardDirection.bn2": "refinement.encoder.low.4",
    "forwardDirection.conv3": "refinement.encoder.high.0",
    "forwardDirection.bn3": "refinement.encoder.high.1",
    "forwardDirection.conv4": "refinement.encoder.high.3",
    "forwardDirection.bn4": "refinement.encoder.high.4",
    "forwardDirection.conv5": "refinement.encoder.high.6",
    "forwardDirection.bn5": "refinement.encoder.high.7",
    "forwardDirection.conv6": "refinement.first",
    "forwardDirection.bn6": "refinement.first_norm",
    "forwardDirection.conv7": "refinement.hidden.0",
    "forwardDirection.bn7": "refinement.hidden.1",
    "forwardDirection.conv8": "refinement.hidden.3",
    "forwardDirection.bn8": "refinement.hidden.4",
    "forwardDirection.conv9": "refinement.last",
    "forwardDirection.bn9": "refinement.last_norm",
}

#: Landmark-to-3DMM, which serves training only, and the dense face model, read from 3dmm_data.
_LEFT_OUT: Final = re.compile(r"reverseDirection\.|(u|w_shp|w_exp)$")

#: Largest difference of mean face and bases between the two places, as a part of their range.
_SAME: Final = 1e-5


def import_synergynet(folder: str | Path, name: str = "synergynet") -> InstalledModel:
    """Install SynergyNet as its authors released it.

    Parameters
    ----------
    folder : path
        Searched with its sub-folders for ``best.pth.tar`` and the folder ``3dmm_data``. Without
        ``3dmm_data`` the model has landmarks but no mesh.
    name : str
        Name of the installed model.

    Raises
    ------
    UnreadableFileError
        If a file is missing; the message names it.
    CorruptFileError, UnsafeFileError
        If a file is not what it should be, or the two are of different face models.
    """
    require_torch("importing SynergyNet")
    from facegeo.networks.regressor import RELEASED_SYNERGY, build_regressor
    from facegeo.networks.synergy.released import ReleasedSynergyNet

    check_name(name)
    folder = existing_folder(folder)
    sources: dict[str, Path] = {}
    weights = find_below(folder, _WEIGHTS, sources)
    convention = find_convention("3ddfa")
    empty = ReleasedSynergyNet(convention).state_dict()
    state = _network_state(weights, {key: tuple(value.shape) for key, value in empty.items()})
    morphable, missing = _face_model(folder, weights, state, sources)
    network = fitting(weights, build_regressor, RELEASED_SYNERGY, convention, state)
    onnx = regressor_onnx(network)
    card = Card(
        name=name,
        task="landmarks",
        architecture=RELEASED_SYNERGY,
        source=f"SynergyNet, https://github.com/choyingw/SynergyNet, {_WEIGHTS}",
        licence=LICENCE,
        files={},
        crop_convention=convention.name,
        unit_mm=BASEL_UNIT_MM,
        missing=missing,
        imported_from=checksums(sources),
    )
    return install(card, {"network": described(onnx, card)} | morphable)


def _network_state(path: Path, expected: Mapping[str, tuple[int, ...]]) -> State:
    """Weights, statistics and landmark rows under our names.

    Every weight of the network must be there and of its shape, and nothing that it does not know;
    messages speak of the file's own names.
    """
    theirs = torch_state(path)
    state = _statistics(path, theirs) | _landmark_rows(path, theirs)
    known = {"param_mean", "param_std", "u_base", "w_shp_base", "w_exp_base"}
    for ours in sorted(set(expected) - set(state)):
        key = _their_name(ours)
        known.add(key)
        if not ours.endswith("num_batches_tracked"):  # training alone asks for it
            state[ours] = entry(path, theirs, key, expected[ours])
    unknown = sorted(key for key in set(theirs) - known if not _LEFT_OUT.match(key))
    if unknown:
        raise CorruptFileError(
            f"{path}: holds weights that SynergyNet with a MobileNetV2 does not have: "
            f"{', '.join(unknown[:5])}"
        )
    return state


def _their_name(ours: str) -> str:
    module = next(module for module in _MODULES.values() if ours.startswith(f"{module}."))
    (theirs,) = (key for key, value in _MODULES.items() if value == module)
    return theirs + ours.removeprefix(module)


def _statistics(path: Path, theirs: Mapping[str, Any]) -> State:
    """Mean and spread of the 62 parameters. The released code, too, takes the first 62 of them."""
    statistics = {}
    for key in ("param_mean", "param_std"):
        value = entry(path, theirs, key, ("P",))
        if len(value) < NUM_PARAMS:
            raise CorruptFileError(
                f"{path}: key '{key}': expected at least {NUM_PARAMS} numbers, got {len(value)}"
            )
        statistics[key] = value[:NUM_PARAMS]
    return statistics


def _landmark_rows(path: Path, theirs: Mapping[str, Any]) -> State:
    mean = entry(path, theirs, "u_base", (_FLAT, 1))
    shape = entry(path, theirs, "w_shp_base", (_FLAT, NUM_SHAPE))
    expression = entry(path, theirs, "w_exp_base", (_FLAT, NUM_EXPRESSION))
    basis = np.concatenate([shape, expression], axis=1).T
    return {"landmark_mean": mean[:, 0], "landmark_basis": np.ascontiguousarray(basis)}


def _face_model(
    folder: Path, weights: Path, state: State, sources: dict[str, Path]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The morphable model's file if there is one, and what is missing."""
    data = search(folder, _DATA)
    if data is None:
        return {}, {"morphable": f"the folder {_DATA} of the SynergyNet release"}
    model = fitting(data, read_synergynet, data)
    _compare_rows(model, data, weights, state)
    sources |= {f"{_DATA}/{name}": data / name for name in _BASES}
    return {"morphable": model_bytes(model)}, {}


def _compare_rows(model: MorphableModel, data: Path, weights: Path, state: State) -> None:
    """Mesh and landmarks must agree: the network's rows are those of the dense model."""
    cut = model.landmark_basis
    basis = np.concatenate([cut.shape_basis, cut.expression_basis]).reshape(-1, _FLAT)
    pairs = {"landmark_mean": cut.mean.reshape(-1), "landmark_basis": basis}
    for name, dense in pairs.items():
        if np.abs(dense - state[name]).max() > _SAME * np.abs(dense).max():
            raise CorruptFileError(
                f"{data}: its mean face and bases are not those inside {weights}; the two belong "
                "to different releases"
            )
