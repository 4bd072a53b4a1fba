"""An installed network -> an ONNX file of a precision, written only if it computes the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegeo.backends import engine_versions, open_graph, open_network, reference_for
from facegeo.base import files
from facegeo.base.optional import require_onnx
from facegeo.base.precisions import PRECISIONS
from facegeo.base.versions import installed_version
from facegeo.errors import CorruptFileError, DependencyMissingError, InvalidInputError
from facegeo.export.description import described
from facegeo.export.precision import precision_of, to_half, to_int8
from facegeo.geometry import pose
from facegeo.geometry.crop import CROP_SIZE
from facegeo.geometry.params import split
from facegeo.zoo.store import InstalledModel, role_of

_log = logging.getLogger(__name__)

Outputs = Mapping[str, np.ndarray]
Run = Callable[[np.ndarray], Outputs]

#: The published file must compute the same at each of these batch sizes.
BATCHES: Final = (1, 2, 64)

#: Most crops that are read for calibration and for the comparison together.
MOST_CROPS: Final = 2048


@dataclass(frozen=True)
class Tolerance:
    """Largest mean difference that is published.

    Attributes
    ----------
    landmarks_px : float
        Crop pixels, mean over crops and landmarks.
    rotation_deg : float
        Mean over crops of the angle between the two head rotations (Euler angles are ill defined
        for profiles).
    """

    landmarks_px: float
    rotation_deg: float


#: What each precision may differ by from the network in float32.
TOLERANCES: Final = {
    "fp32": Tolerance(0.01, 0.01),
    "fp16": Tolerance(0.05, 0.05),
    "bf16": Tolerance(0.25, 0.4),
    "int8": Tolerance(0.5, 1.0),
}


def publish(
    model: InstalledModel,
    precision: str,
    target: str | Path,
    crops: np.ndarray,
    tolerance: Tolerance | None = None,
) -> dict[str, Any]:
    """Write ``target`` and, beside it, the comparison as ``target`` with the ending ``.json``.

    Parameters and errors are those of :func:`compared_graph`; nothing is written after an error.

    Returns
    -------
    report : dict
        What is in the JSON file.
    """
    graph, report = compared_graph(model, precision, crops, tolerance)
    target = Path(target)
    files.write_bytes(target, graph)
    text = json.dumps(report, indent=2) + "\n"
    files.write_bytes(target.with_suffix(".json"), text.encode())
    return report


def compared_graph(
    model: InstalledModel,
    precision: str,
    crops: np.ndarray,
    tolerance: Tolerance | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """The model's graph in a precision, and how far it is from the network in float32.

    Parameters
    ----------
    model : InstalledModel
        A landmark model.
    precision : str
        One of :data:`facegeo.base.precisions.PRECISIONS`.
    crops : (N, S, S, 3) uint8
        Real crops of the model's ``crop_size``, BGR. For ``int8`` every other one calibrates and
        the rest compare.
    tolerance : Tolerance, optional
        Default: that of :data:`TOLERANCES`.

    Returns
    -------
    graph : bytes
        One self-contained ONNX file.
    report : dict
        ``parity`` (crop pixels, degrees), ``tolerance``, ``reference`` (what it was compared
        with), checksums and versions.

    Raises
    ------
    InvalidInputError
        For an unknown precision, or too few crops.
    CorruptFileError
        If the new graph differs by more than the tolerance.
    DependencyMissingError
        If a package is missing; the message names the extra.
    """
    if precision not in PRECISIONS:
        raise InvalidInputError(f"precision: expected one of {PRECISIONS}, got {precision!r}")
    if len(crops) < 2:
        raise InvalidInputError(f"crops: expected at least 2, got {len(crops)}")
    require_onnx("exporting a network")
    tolerance = tolerance or TOLERANCES[precision]
    source = model.read("network")
    seen, unseen = (crops[::2], crops[1::2]) if precision == "int8" else (crops, crops)
    graph = described(_converted(source, precision, seen), model.card)
    _check_self_contained(graph, precision)
    name, reference = _reference(model, source)
    expected, run = reference(unseen), _runner(graph, precision)
    for batch in BATCHES:
        part = np.resize(unseen, (batch, *unseen.shape[1:]))
        index = np.arange(batch) % len(unseen)
        wanted = {key: value[index] for key, value in expected.items()}
        _refuse_beyond(tolerance, difference(run(part), wanted), f"at batch {batch}")
    parity = difference(run(unseen), expected)
    _refuse_beyond(tolerance, parity, f"on {len(unseen)} crops")
    report = {
        "model": model.card.name,
        "precision": precision,
        "reference": name,
        "crops": len(unseen),
        "batches": list(BATCHES),
        "parity": parity,
        "tolerance": asdict(tolerance),
        "sha256": files.sha256(graph),
        "source_sha256": files.sha256(source),
        "versions": {key: installed_version(key) for key in ("facegeo", "onnx")}
        | engine_versions(),
    }
    return graph, report


def difference(found: Outputs, expected: Outputs) -> dict[str, float]:
    """Measures of how far outputs lie apart.

    Returns
    -------
    dict of str to float
        ``landmarks_px_mean``, ``_p99``, ``_max`` (crop pixels, in the image's plane),
        ``rotation_deg_mean``, ``_p99``, ``_max``, and ``presence_max`` where the network has it.
    """
    for key, value in expected.items():
        if found[key].shape != value.shape:
            raise CorruptFileError(f"{key}: shape {found[key].shape}, expected {value.shape}")
    offset = (found["landmarks"] - expected["landmarks"])[..., :2]
    turn = _rotation(found["params"]) @ _rotation(expected["params"]).transpose(0, 2, 1)
    report: dict[str, float] = {}
    for key, values in (
        ("landmarks_px", np.linalg.norm(offset, axis=-1)),
        ("rotation_deg", np.degrees(_angle_of(turn))),
    ):
        report[f"{key}_mean"] = float(values.mean())
        report[f"{key}_p99"] = float(np.percentile(values, 99))
        report[f"{key}_max"] = float(values.max())
    if "presence" in expected:
        report["presence_max"] = float(np.abs(found["presence"] - expected["presence"]).max())
    return report


def read_crops(path: str | Path, most: int = MOST_CROPS, size: int = CROP_SIZE) -> np.ndarray:
    """Crops of a folder or of an uncompressed tar archive, evenly chosen.

    Returns
    -------
    crops : (N, size, size, 3) uint8
        BGR; images of another size are resized.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If there is no such folder or archive, or an image in it is damaged.
    """
    import cv2

    from facegeo.images.collections import decoded, open_images

    images = open_images(path)
    count = len(images.names)
    if count == 0:
        raise InvalidInputError(f"{path}: holds no pictures")
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
    return np.stack(
        [cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in decoded(images, chosen)]
    )


def sample_crops(count: int = 64, size: int = CROP_SIZE) -> np.ndarray:
    """Crops around the face of the sample photo, moved and scaled at random, seeded."""
    from facegeo.geometry.crop import crop_faces
    from facegeo.images.demo import sample_photo

    image = sample_photo()
    rng = np.random.default_rng(0)
    centre = np.array([223, 118]) + rng.uniform(-12, 12, (count, 2))
    half = rng.uniform(60, 95, (count, 1))
    return crop_faces(image, np.concatenate([centre - half, centre + half], axis=1), size)


def install_precision(model: InstalledModel, precision: str, graph: Path) -> InstalledModel:
    """Let the installed model run in that precision, with the published graph."""
    from facegeo.zoo.store import add_files

    return add_files(model, {role_of(precision): graph.read_bytes()})


def _converted(source: bytes, precision: str, crops: np.ndarray) -> bytes:
    if precision == "fp32":
        return source
    if precision == "int8":
        return to_int8(source, crops)
    return to_half(source, precision)


def _check_self_contained(graph: bytes, precision: str) -> None:
    import onnx

    model = onnx.load_from_string(graph)
    outside = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == outside for tensor in model.graph.initializer):
        raise CorruptFileError("the graph keeps weights in another file")
    found = precision_of(graph)
    if found != precision:
        raise CorruptFileError(f"the graph is of {found}, expected {precision}")


def _reference(model: InstalledModel, source: bytes) -> tuple[str, Run]:
    """PyTorch where it is there, else the float32 graph."""
    try:
        network = open_network(model, "pytorch", "cpu", "fp32")
    except DependencyMissingError as error:
        _log.warning("%s; comparing with the float32 graph instead", error)
    else:
        return "pytorch fp32", lambda crops: network.run({"crops": crops})
    return f"{reference_for('fp32')} fp32", _runner(source, "fp32")


def _runner(graph: bytes, precision: str) -> Run:
    network = open_graph(graph, backend=reference_for(precision))
    return lambda crops: network.run({"crops": crops})


def _refuse_beyond(tolerance: Tolerance, parity: Mapping[str, float], where: str) -> None:
    _log.info(
        "%s: %.4f px, %.4f degrees", where, parity["landmarks_px_mean"], parity["rotation_deg_mean"]
    )
    for key, allowed in asdict(tolerance).items():
        found = parity[f"{key}_mean"]
        if not found <= allowed:  # not a number is beyond, too
            raise CorruptFileError(
                f"not published: {where} the mean difference of {key} is {found:.4f}, at most "
                f"{allowed} is allowed"
            )


def _rotation(params: np.ndarray) -> np.ndarray:
    return pose.decompose_affine(split(params).pose)[1]


def _angle_of(rotation: np.ndarray) -> np.ndarray:
    """Radians, from sine and cosine: the cosine alone is blind to small angles."""
    sine = np.linalg.norm(rotation - rotation.transpose(0, 2, 1), axis=(1, 2)) / np.sqrt(8)
    cosine = (np.trace(rotation, axis1=1, axis2=2) - 1) / 2
    return np.arctan2(sine, cosine)
