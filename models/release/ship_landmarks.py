"""A training run becomes a landmark model that ships: network into the package, record into here.

python -m models.release.ship_landmarks NAME runs/first runs/second ... [--continued] [--averaged]
    --dev data/aflw2000_dev --backgrounds data/backgrounds/bsds500.tar
    --calibration data/aflw_train/crops.tar

NAME is that of a folder in models with a card.template.md: synergy-mbv2, synergy-fast. Writes
NAME.onnx, NAME-int8.onnx and their card, NAME.json, into facegeo/assets or, of a model that is no
default, into models/NAME/weights; and into the folder card.md,
stage-N.yaml of each run, metrics.json and curve.jpg. With ``--continued``
the runs come after the stages that the folder records; with ``--averaged`` too, what ships is the
mean of the last run's weights and those of the folder. Every figure is measured with the shipped
ONNX files, by the code of ``facegeo eval``.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegeo import FaceGeometry
from facegeo.backends import open_graph
from facegeo.base import files
from facegeo.errors import InvalidInputError
from facegeo.evaluation import aflw2000
from facegeo.evaluation import presence as evaluation_presence
from facegeo.evaluation.measures import by_yaw, normalised_mean_error
from facegeo.evaluation.plots import draw_curves
from facegeo.export.description import described
from facegeo.export.precision import weights_in_half
from facegeo.export.publishing import compared_graph, read_crops
from facegeo.export.to_onnx import regressor_onnx
from facegeo.geometry.crop import CROP_SIZE, resized_crops
from facegeo.images import encode_photo
from facegeo.morphable import DEFAULT_FACE_MODEL, MorphableModel
from facegeo.networks.folding import folded, halved
from facegeo.networks.regressor import SYNERGY, input_example
from facegeo.networks.synergy.network import SynergyNet, mirrored_network
from facegeo.networks.synergy.weights import parse_weights, read_weights
from facegeo.training.core.run_folder import read_environment
from facegeo.training.data.variants import CONVENTION
from facegeo.training.landmarks.measure import DevSet
from facegeo.zoo.cards import Card
from facegeo.zoo.face_models import load_face_model
from facegeo.zoo.store import find, role_of
from models.release.bridges import FACES, bridge_of, spoken
from models.release.package import home_of, write_shipped
from models.release.record import (
    AFLW_LICENCE,
    card,
    fill,
    largest_difference,
    mean_weights,
    read_template,
    write_record,
)
from models.release.stages import Stages

MODELS = Path(__file__).resolve().parents[1]

#: Largest difference of ONNX from PyTorch on the dev crops, as a part of each output's range.
TOLERANCE = 1e-4

_log = logging.getLogger("facegeo.ship")


def main(arguments: Sequence[str] | None = None) -> None:
    """Ship a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the model's name, and its folder in models")
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folders of the runs, first to last; the last one ships"
    )
    parser.add_argument(
        "--continued",
        action="store_true",
        help="the first run started from the weights that shipped before",
    )
    parser.add_argument(
        "--averaged",
        action="store_true",
        help="ship the mean of the last run's weights and of those that shipped before",
    )
    parser.add_argument(
        "--dev", type=Path, required=True, help="folder of AFLW2000-3D's dev photos"
    )
    parser.add_argument("--backgrounds", type=Path, required=True, help="photos without faces")
    parser.add_argument(
        "--calibration", type=Path, required=True, help="training crops, folder or tar, for int8"
    )
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="let the network see every crop in the mirror too; the run must say data.offset_px",
    )
    parser.add_argument("--out", type=Path, help="folder of the record, if another one")
    options = parser.parse_args(arguments)
    ship(
        options.name,
        options.runs,
        options.dev,
        options.backgrounds,
        options.calibration,
        options.out or MODELS / options.name,
        continued=options.continued,
        averaged=options.averaged,
        mirrored=options.mirrored,
    )


def ship(
    name: str,
    runs: Sequence[Path],
    dev: Path,
    backgrounds: Path,
    calibration: Path,
    out: Path,
    *,
    continued: bool = False,
    averaged: bool = False,
    mirrored: bool = False,
) -> dict[str, Any]:
    """Export, prove, measure and write; the figures of ``metrics.json``.

    Parameters
    ----------
    name : str
        What the model is called; ``models/<name>`` holds the template of its card.
    runs : sequence of Path
        Run folders in the order in which they were trained; the last one ships.
    calibration : Path
        Crops that the ranges of the int8 network are measured on. Training crops: dev is for
        figures only.
    continued : bool
        The first run went on where the network of ``out`` had ended.
    averaged : bool
        Ship the mean of the last run's weights and those of ``out``.
    mirrored : bool
        Ship :func:`facegeo.networks.synergy.network.mirrored_network` of the weights.

    Raises
    ------
    CorruptFileError
        If the ONNX file differs from PyTorch by more than :data:`TOLERANCE`; nothing was written.
        If the int8 network differs by more than :data:`facegeo.export.publishing.TOLERANCES` allow;
        then the package has the float32 network only.
    InvalidInputError
        If the network has another face model than its run says, is to be mirrored and the run
        does not say where its labels lay, or is to be averaged with what it did not go on
        from.
    UnreadableFileError
        If there is no template for the card, or no record of what is continued.
    """
    template = read_template(MODELS / name)
    network = read_weights(runs[-1] / "weights.npz", CONVENTION)
    if averaged and not continued:
        raise InvalidInputError("averaged: expected runs that are continued too")
    stages = Stages.recorded(out) if continued else Stages()
    for run in runs:
        stages = stages.followed_by(run)
    last = stages.configs[-1]
    face_model = load_face_model(last["data"].get("morphable_model", "default"))
    if network.morphable_model != face_model.name:
        raise InvalidInputError(
            f"{runs[-1]}: expected a network of {face_model.name}, got {network.morphable_model!r}"
        )
    if mirrored:
        network = mirrored_network(network, face_model, _offset_px(last))
    if averaged:
        example = input_example(size=crop_size(last))
        shipped_before = parse_weights(find(name).read("network"), CONVENTION, name)
        network = folded(network, example)
        network.inverse = None  # of what shipped before there is none
        mean_weights(network, folded(shipped_before, example))
    data = DevSet.open(dev)
    size = crop_size(last)
    facts, shared = _card(name, size, face_model), {"morphable": f"{DEFAULT_FACE_MODEL}.npz"}
    onnx, difference = proven_onnx(network, resized_crops(data.crops, size))
    onnx = described(onnx, facts)
    folder, others = home_of(name), {}
    if face_model.name != DEFAULT_FACE_MODEL:
        with open_graph(onnx) as graph:
            crops = read_crops(calibration, FACES, size=size)
            bridge = bridge_of(graph, CONVENTION, face_model, crops)
        facts, others = spoken(facts, bridge), {"bridge": bridge.to_bytes()}
    write_shipped(facts, onnx, shared, others, folder)
    int8, compared = compared_graph(find(name), "int8", read_crops(calibration, size=size))
    write_shipped(facts, onnx, shared, others | {role_of("int8"): int8}, folder)

    predictor = FaceGeometry(name, backend="onnxruntime", device="cpu", precision="fp32")
    small = FaceGeometry(name, backend="onnxruntime", device="cpu", precision="int8")
    figures = {
        "model": name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "epochs": stages.epochs,
        "averaged_with_stage": len(stages.configs) - len(runs) if averaged else None,
        "onnx": {
            "bytes": len(onnx),
            "sha256": files.sha256(onnx),
            "largest_relative_difference_from_pytorch": difference,
            "tolerance": TOLERANCE,
        },
        "aflw2000_3d_dev": {
            source: accuracy(predictor, data.data, source) for source in ("crops", "photos")
        },
        "int8": {
            "bytes": len(int8),
            "sha256": files.sha256(int8),
            "parity": compared["parity"],
            "aflw2000_3d_dev": {"crops": aflw2000.evaluate(small, data.data, "crops")},
        },
        "presence_roc_area": presence(predictor, data.data, backgrounds)
        if network.config.presence
        else {},
        "history": stages.history,
        "environment": read_environment(runs[-1]),
    }
    text = card_text(template, figures, stages.configs, network)
    curve = encode_photo(draw_history(stages.history), ".jpg")
    write_record(out, stages.named(), figures, curve, text)
    return figures


def crop_size(stage: Mapping[str, Any]) -> int:
    """Side of the crops that a run ended with."""
    sizes = stage.get("sizes", ())
    return int(sizes[-1][1]) if sizes else CROP_SIZE


def _offset_px(stage: Mapping[str, Any]) -> tuple[float, float]:
    offset = stage["data"].get("offset_px")
    if offset is None:
        raise InvalidInputError("mirrored: expected a run with data.offset_px, got one without")
    return offset[0], offset[1]


def proven_onnx(network: SynergyNet, crops: np.ndarray) -> tuple[bytes, float]:
    """The ONNX file, and its largest relative difference from PyTorch on real crops.

    Weights are rounded to half precision first, so both compute with the same ones.
    """
    size = crops.shape[1]
    plain = halved(folded(network, input_example(size=size)))
    onnx = weights_in_half(regressor_onnx(plain, size=size, tolerance=TOLERANCE))
    batches = torch.from_numpy(crops).split(100)
    return onnx, largest_difference(plain, onnx, batches, TOLERANCE, "the dev crops")


def accuracy(
    predictor: FaceGeometry, data: aflw2000.Aflw2000, source: aflw2000.InputKind
) -> dict[str, Any]:
    """Figures that ``facegeo eval`` reports, and the same NME of the coarse landmarks."""
    coarse = aflw2000.predict(predictor, data, source).coarse_landmarks[..., :2]
    annotations = {"original": data.original, "reannotated": data.reannotated}
    return aflw2000.evaluate(predictor, data, source) | {
        "nme_percent_coarse": {
            name: by_yaw(normalised_mean_error(coarse, points), data.yaw_deg)
            for name, points in annotations.items()
        }
    }


def presence(predictor: FaceGeometry, data: aflw2000.Aflw2000, backgrounds: Path) -> Any:
    """ROC areas of the presence output by source, as ``facegeo eval presence`` reports them."""
    negatives = evaluation_presence.Backgrounds.open(backgrounds)
    sources: tuple[aflw2000.InputKind, ...] = ("crops", "photos")
    return {
        source: evaluation_presence.evaluate(predictor, data, negatives, source)["roc_area"]
        for source in sources
    }


def draw_history(history: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """NME on dev over the epochs of all stages."""
    epochs = np.array([entry["epoch"] for entry in history], np.float64)
    curves, values = {}, [2.0, 5.0]
    for kind in ("original", "reannotated"):
        errors = np.array([entry[f"nme_{kind}_refined"] for entry in history], np.float64)
        # The first epochs are far off; they would flatten the rest.
        errors[errors > 3 * errors.min(initial=np.inf)] = np.nan
        curves[f"{kind} points"] = (epochs, errors)
        values += errors[np.isfinite(errors)].tolist()
    # The plot has five intervals along each axis: ends that give round ticks.
    low = float(np.floor(min(values)))
    high = low + 2.5 * float(np.ceil((max(values) - low) / 2.5))
    last = 5 * float(np.ceil(epochs.max(initial=1.0) / 5))
    labels = ("epoch", "NME on dev, percent")
    return draw_curves(curves, labels, x_max=last, y_range=(low, high))


def _card(name: str, size: int, face_model: MorphableModel) -> Card:
    return card(
        name,
        "landmarks",
        SYNERGY,
        crop_convention=CONVENTION.name,
        crop_size=size,
        unit_mm=face_model.unit_mm,
        num_shape=face_model.num_shape,
        num_expression=face_model.num_expression,
    )


def card_text(
    template: str, figures: dict[str, Any], stages: Sequence[Mapping[str, Any]], network: SynergyNet
) -> str:
    """``card.md``."""
    values = {
        "name": figures["model"],
        "architecture": json.dumps(json.loads(network.config.to_json())),
        "parameters": f"{figures['parameters'] / 1e6:.3f}",
        "megabytes": f"{figures['onnx']['bytes'] / 1e6:.1f}",
        "int8": _int8_table(figures),
        "difference": f"{figures['onnx']['largest_relative_difference_from_pytorch']:.1e}",
        "tolerance": f"{TOLERANCE:.0e}",
        "epochs": str(figures["epochs"]),
        "size": str(crop_size(stages[-1])),
        "seed": str(stages[-1].get("seed")),
        "stages": _stages_text(len(stages), figures.get("averaged_with_stage")),
        "nme": _nme_table(figures["aflw2000_3d_dev"]),
        "orientation": _orientation_table(figures["aflw2000_3d_dev"]),
        "presence": _presence_table(figures["presence_roc_area"]),
        "licence": AFLW_LICENCE,
    }
    return fill(template, values)


def _stages_text(count: int, averaged_with: int | None) -> str:
    if count == 1:
        return "one stage"
    text = f"{count} stages, each from the weights of the one before"
    if averaged_with is None:
        return text
    return f"{text}; what ships is the mean of the weights after stages {averaged_with} and {count}"


def _nme_table(reports: dict[str, Any]) -> str:
    bins = list(reports["crops"]["nme_percent"]["original"])
    lines = [
        "| from | landmarks | points | " + " | ".join(bins).replace("_", " ") + " |",
        "|---|---|---|" + "---|" * len(bins),
    ]
    for source, report in reports.items():
        for kind, key in (("refined", "nme_percent"), ("coarse", "nme_percent_coarse")):
            for points, values in report[key].items():
                cells = " | ".join(f"{values[b]:.3f}" for b in bins)
                lines.append(f"| {source} | {kind} | {points} | {cells} |")
    return "\n".join(lines)


def _orientation_table(reports: dict[str, Any]) -> str:
    lines = [
        "| from | angles | photos | yaw | pitch | roll | mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for source, report in reports.items():
        for key, label in (
            ("pose_mae_deg", "published protocol"),
            ("pose_mae_deg_exact", "those that facegeo returns"),
        ):
            values = report[key]
            cells = " | ".join(f"{values[a]:.3f}" for a in ("yaw", "pitch", "roll", "mean"))
            lines.append(f"| {source} | {label} | {values['n']} | {cells} |")
    return "\n".join(lines)


def _int8_table(figures: dict[str, Any]) -> str:
    lines = [
        "| network | MB | NME original | reannotated | orientation, degrees |",
        "|---|---|---|---|---|",
    ]
    for name, facts, report in (
        ("float32", figures["onnx"], figures["aflw2000_3d_dev"]["crops"]),
        ("int8", figures["int8"], figures["int8"]["aflw2000_3d_dev"]["crops"]),
    ):
        nme = [report["nme_percent"][key]["mean_of_bins"] for key in ("original", "reannotated")]
        cells = " | ".join(f"{value:.3f}" for value in (*nme, report["pose_mae_deg"]["mean"]))
        lines.append(f"| {name} | {facts['bytes'] / 1e6:.1f} | {cells} |")
    return "\n".join(lines)


def _presence_table(areas: dict[str, dict[str, float]]) -> str:
    if not areas:
        return "This network has no presence output."
    names = list(areas["crops"])
    lines = ["| faces from | " + " | ".join(f"against {n}" for n in names) + " |"]
    lines.append("|---|" + "---|" * len(names))
    for source, values in areas.items():
        lines.append(f"| {source} | " + " | ".join(f"{values[n]:.4f}" for n in names) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
