"""Upstream releases -> facegeo's own files. Needs the extra ``[torch]``.

Layouts are those that 3DDFA, 3DDFA_V2 and FaceBoxes.PyTorch publish. Weights are read with
``weights_only=True``, pickled arrays with :mod:`facegeo.base.pickles`: no file runs code.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegeo.base import pickles
from facegeo.base.optional import require_torch
from facegeo.conventions import (
    NUM_EXPRESSION,
    NUM_LANDMARKS,
    NUM_PARAMS,
    NUM_SHAPE,
)
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.export.description import described
from facegeo.export.to_onnx import regressor_onnx, to_onnx
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
from facegeo.morphable.readers._arrays import BASEL_UNIT_MM
from facegeo.zoo.cards import Card, check_name
from facegeo.zoo.face_models import model_bytes
from facegeo.zoo.releases import BASEL_LICENCE
from facegeo.zoo.store import InstalledModel, install

_log = logging.getLogger(__name__)

_STATISTICS = "param_mean_std_62d_120x120.pkl"
_DENSE = "bfm_noneck_v3.pkl"
_TRIANGLES = "tri.pkl"
_FLAT_LANDMARKS = 3 * NUM_LANDMARKS


@dataclass(frozen=True)
class LandmarkRows:
    """The 68 rows of a 3DMM, flat as x0 y0 z0 x1 ...: mean (204,), basis (50, 204)."""

    mean: np.ndarray
    basis: np.ndarray


def import_3ddfa_v2(
    folder: str | Path,
    name: str,
    *,
    landmark_basis: str | Path | None = None,
    weights: str | Path | None = None,
) -> InstalledModel:
    """Install a 3DDFA_V2 release: weights, statistics and, where present, the dense face model.

    Parameters
    ----------
    folder : path
        Searched with its sub-folders for ``*.pth``, ``param_mean_std_62d_120x120.pkl``,
        ``bfm_noneck_v3.pkl`` and ``tri.pkl``.
    name : str
        Name of the installed model.
    landmark_basis : path, optional
        Folder with 3DDFA's ``u_base.txt``, ``w_shp_base.txt``, ``w_exp_base.txt``; needed where
        the dense model is not there. The result then has landmarks but no mesh.
    weights : path, optional
        Which ``.pth`` to take where the folder holds several.

    Raises
    ------
    UnreadableFileError
        If a file is missing; the message names it.
    CorruptFileError, UnsafeFileError
        If a file is not what it should be.
    """
    require_torch("importing a 3DDFA_V2 release")
    from facegeo.networks.regressor import build_regressor

    check_name(name)
    folder = existing_folder(folder)
    weights = Path(weights) if weights else _only_weights(folder, name)
    sources = {weights.name: weights}
    state, architecture = _mobilenet_state(weights)
    state |= _statistics(find_below(folder, _STATISTICS, sources))
    rows, morphable, missing = _face_model(folder, landmark_basis, sources)
    state |= {"landmark_mean": rows.mean, "landmark_basis": rows.basis}

    network = fitting(weights, build_regressor, architecture, find_convention("3ddfa"), state)
    onnx = regressor_onnx(network)
    card = Card(
        name=name,
        task="landmarks",
        architecture=architecture,
        source=f"3DDFA_V2, https://github.com/cleardusk/3DDFA_V2, {weights.name}",
        licence=BASEL_LICENCE,
        files={},
        crop_convention="3ddfa",
        unit_mm=BASEL_UNIT_MM,
        missing=missing,
        imported_from=checksums(sources),
    )
    return install(card, {"network": described(onnx, card)} | morphable)


def import_faceboxes(file: str | Path, name: str = "faceboxes") -> InstalledModel:
    """Install released FaceBoxes weights (``FaceBoxesProd.pth``).

    Raises
    ------
    UnreadableFileError
        If the file is missing.
    CorruptFileError, UnsafeFileError
        If it is not FaceBoxes weights.
    """
    require_torch("importing FaceBoxes")
    import torch

    from facegeo.networks.faceboxes import FaceBoxes
    from facegeo.networks.regressor import load_state

    file = Path(file)
    state = torch_state(file)
    network = FaceBoxes().eval()
    fitting(file, load_state, network, state, "FaceBoxes")

    def images(batch: int, height: int, width: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        shape = (batch, height, width, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    onnx = to_onnx(
        network,
        images(2, 200, 264),
        input_name="photos",
        output_names=("offsets", "scores"),
        dynamic={0: "batch", 1: "height", 2: "width"},
        checks=[images(1, 480, 640), images(3, 33, 47), images(1, 720, 1080)],
    )
    card = Card(
        name=check_name(name),
        task="detection",
        architecture="faceboxes",
        source=f"FaceBoxes.PyTorch, https://github.com/zisianw/FaceBoxes.PyTorch, {file.name}",
        licence="MIT",
        files={},
        imported_from=checksums({file.name: file}),
    )
    return install(card, {"network": described(onnx, card)})


def read_landmark_rows(folder: str | Path) -> LandmarkRows:
    """3DDFA's 68 landmark rows: ``u_base.txt``, ``w_shp_base.txt``, ``w_exp_base.txt``."""
    folder = existing_folder(folder)
    mean = _text_matrix(folder / "u_base.txt", (_FLAT_LANDMARKS,))
    shape = _text_matrix(folder / "w_shp_base.txt", (_FLAT_LANDMARKS, NUM_SHAPE))
    expression = _text_matrix(folder / "w_exp_base.txt", (_FLAT_LANDMARKS, NUM_EXPRESSION))
    basis = np.concatenate([shape, expression], axis=1).T
    return LandmarkRows(mean, np.ascontiguousarray(basis))


def _face_model(
    folder: Path, landmark_basis: str | Path | None, sources: dict[str, Path]
) -> tuple[LandmarkRows, dict[str, bytes], dict[str, str]]:
    """Landmark rows, the morphable model's file if there is one, and what is missing."""
    dense = search(folder, _DENSE)
    if dense is not None:
        rows, morphable = _dense_model(dense)
        sources[dense.name] = dense
        return rows, morphable, {}
    if landmark_basis is None:
        raise UnreadableFileError(
            f"{folder}: holds no {_DENSE}; add it for landmarks and mesh, or give the folder of "
            "3DDFA's u_base.txt, w_shp_base.txt and w_exp_base.txt (--landmark-basis DIR) for "
            "landmarks only"
        )
    rows = read_landmark_rows(landmark_basis)
    for file in ("u_base.txt", "w_shp_base.txt", "w_exp_base.txt"):
        sources[file] = Path(landmark_basis) / file
    return rows, {}, {"morphable": f"{_DENSE} and {_TRIANGLES} of the 3DDFA_V2 release"}


def _dense_model(path: Path) -> tuple[LandmarkRows, dict[str, bytes]]:
    """Landmark rows of a dense model, and the model as facegeo's own file."""
    from facegeo.morphable.readers.threeddfa_v2 import read_3ddfa_v2

    model = fitting(path, read_3ddfa_v2, path).truncated(NUM_SHAPE, NUM_EXPRESSION)
    cut = model.landmark_basis
    basis = np.concatenate([cut.shape_basis, cut.expression_basis]).reshape(-1, _FLAT_LANDMARKS)
    return LandmarkRows(cut.mean.reshape(-1), basis), {"morphable": model_bytes(model)}


def _mobilenet_state(path: Path) -> tuple[State, str]:
    """Backbone weights under our names, and which architecture their sizes mean."""
    state = torch_state(path)
    # The second head, fc_lm, was used in training only; older files call the first one fc_param.
    renamed = {
        f"backbone.{key.replace('fc_param.', 'fc.')}": value
        for key, value in state.items()
        if not key.startswith("fc_lm.")
    }
    first = renamed.get("backbone.conv1.weight")
    channels = 0 if first is None else len(first)
    architectures = {16: "mobilenet_v1_x0.5", 32: "mobilenet_v1_x1"}
    if channels not in architectures:
        raise CorruptFileError(
            f"{path}: expected MobileNetV1 weights with 16 or 32 channels in 'conv1.weight', "
            f"got {channels or 'no such key'}"
        )
    return renamed, architectures[channels]


def _statistics(path: Path) -> State:
    content = pickles.load(path)
    statistics = {}
    for ours, theirs in (("param_mean", "mean"), ("param_std", "std")):
        value = content.get(theirs) if isinstance(content, dict) else None
        if not isinstance(value, np.ndarray) or value.shape != (NUM_PARAMS,):
            raise CorruptFileError(
                f"{path}: key {theirs!r} must be an array of {NUM_PARAMS} numbers"
            )
        statistics[ours] = value.astype(np.float32)
    return statistics


def _text_matrix(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        matrix = np.loadtxt(path, dtype=np.float32)
    except OSError as error:
        raise UnreadableFileError(f"{path}: no such file") from error
    except ValueError as error:
        raise CorruptFileError(f"{path}: not a table of numbers ({error})") from error
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise CorruptFileError(f"{path}: expected {shape} finite numbers, got {matrix.shape}")
    return matrix


def _only_weights(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob("*_120x120.pth"))
    named = [path for path in found if path.stem.split("_")[0] == name]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0]
    if not found:
        raise UnreadableFileError(f"{folder}: holds no weights (*_120x120.pth)")
    listed = ", ".join(path.name for path in found)
    raise InvalidInputError(
        f"{folder}: holds several weights ({listed}); choose with --weights FILE"
    )
