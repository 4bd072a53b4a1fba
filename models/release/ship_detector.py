"""A training run becomes the detector that ships: network into the package, its record beside this.

python -m models.release.ship_detector runs/detector --faces data/aflw_train --dev data/aflw2000_dev
    --backgrounds data/backgrounds/bsds500.tar [--photos data/photos] [--face-score S] [--no-int8]

Takes the averaged weights of the run's checkpoint, finished or not. Needs the detection model
faceboxes installed, beside which everything is measured. Writes facegeo/assets/detector.onnx,
detector-int8.onnx and their card, .json; and into models/detector card.md, config.yaml,
metrics.json and curve.jpg. Every figure is measured with the shipped
files: "default" is
what users get, and "int8" the same network in 8 bits, for those who ask for it.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegeo.backends.onnxrt.backend import OnnxRuntimeBackend
from facegeo.base import files
from facegeo.bench import detectors as bench
from facegeo.detect import Detector, DetectorOptions, open_detector
from facegeo.detect.one_stage import OneStageFaces, pad
from facegeo.errors import InvalidInputError
from facegeo.evaluation import detection
from facegeo.evaluation.report import curve_image, table
from facegeo.export.description import described
from facegeo.export.detector import TOLERANCE, detector_to_onnx
from facegeo.export.precision import to_int8, weights_in_half
from facegeo.images import encode_photo
from facegeo.networks.detector.network import OneStageDetector
from facegeo.networks.folding import folded, halved
from facegeo.training.core import checkpoint
from facegeo.training.core.run_folder import portable, read_environment
from facegeo.training.detector.config import DetectorData
from facegeo.training.detector.loop import averaged_network
from facegeo.training.detector.prepare import prepare
from facegeo.training.detector.scenes import Composer
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card
from facegeo.zoo.store import role_of
from models.release import detector_figures
from models.release.package import write_shipped
from models.release.record import (
    AFLW_LICENCE,
    card,
    fill,
    largest_difference,
    read_template,
    write_record,
)

NAME = "detector"
FOLDER = Path(__file__).resolve().parents[1] / NAME

#: What int8 may lose of recall and of average precision on dev; if it is more, float32 ships alone.
INT8_MAY_LOSE = 0.005

#: Scenes on which ranges of activations are measured: 448 pixels wide, as faces in photos are.
CALIBRATION = (32, 448)

#: Dev photos on which ONNX and PyTorch are compared.
COMPARED = 12

#: Thresholds at which false boxes on backgrounds are counted.
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)

#: Settings of a run that are paths, in its section ``data`` and beside it.
PATHS = (("faces", "backgrounds"), ("initial",))

_log = logging.getLogger("facegeo.ship")


@dataclass(frozen=True)
class Data:
    """Data on which the detector is measured.

    Attributes
    ----------
    faces, dev, backgrounds : Path
        AFLW's crops, AFLW2000-3D's dev photos, photos without faces.
    images : Path or None
        Demo photos and clips.
    """

    faces: Path
    dev: Path
    backgrounds: Path
    photos: Path | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Ship a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run whose weights ship")
    parser.add_argument("--faces", type=Path, required=True, help="folder of AFLW's crops")
    parser.add_argument("--dev", type=Path, required=True, help="AFLW2000-3D's dev photos")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photos without faces")
    parser.add_argument("--photos", type=Path, help="demo photos and clips to count boxes on")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument(
        "--face-score",
        type=float,
        default=0.5,
        metavar="S",
        help="score of the trained network that becomes 0.5, the default threshold, in what ships",
    )
    parser.add_argument(
        "--box-scale",
        type=float,
        nargs=2,
        default=(1.0, 1.0),
        metavar=("X", "Y"),
        help="by which width and height of the trained network's boxes are multiplied in what "
        "ships, so that they are as large as those of faceboxes",
    )
    parser.add_argument(
        "--earlier-steps", type=int, default=0, help="of runs that it started from, for the card"
    )
    parser.add_argument("--no-int8", action="store_true", help="ship it in float32 alone")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the record")
    options = parser.parse_args(arguments)
    data = Data(options.faces, options.dev, options.backgrounds, options.photos)
    ship(
        options.run,
        data,
        options.out,
        threshold=options.threshold,
        int8=not options.no_int8,
        face_score=options.face_score,
        box_scale=tuple(options.box_scale),
        earlier_steps=options.earlier_steps,
    )


def ship(
    run: Path,
    data: Data,
    out: Path,
    *,
    threshold: float = 0.5,
    int8: bool = True,
    face_score: float = 0.5,
    box_scale: tuple[float, float] = (1.0, 1.0),
    earlier_steps: int = 0,
) -> dict[str, Any]:
    """Export, prove, measure and write; the figures of ``metrics.json``.

    Raises
    ------
    CorruptFileError
        If the ONNX file differs from PyTorch by more than the tolerance; nothing was written.
    InvalidInputError
        If the network is larger than a detector may be, or the score is none.
    """
    found = checkpoint.load(run / "checkpoint.safetensors")
    network = calibrated(averaged_network(found), face_score, box_scale)
    low = DetectorOptions(detection.CURVE_SCORE)
    faceboxes = open_detector("faceboxes", low)
    facts = _card()
    onnx, difference = proven_onnx(network, data.dev)
    onnx = described(onnx, facts)
    faces, images = prepare(
        DetectorData(str(data.faces), str(data.backgrounds)), run / "taught.npz"
    )
    others: dict[str, bytes] = {}
    report: dict[str, Any] = {}
    if int8:
        rng = np.random.default_rng(0)
        composer = Composer(faces, images)
        count, side = CALIBRATION
        scenes = np.stack([composer.scene(side, rng).photo for _ in range(count)])
        small, report["int8"] = compared_int8(onnx, scenes, data.dev, threshold)
        if report["int8"]["ships"]:
            others[role_of("int8")] = small
    remove_int8()
    write_shipped(facts, onnx, others=others)

    detectors: dict[str, Detector] = {"default": open_detector(NAME, low)}
    if others:
        detectors["int8"] = open_detector(NAME, low, precision="int8")
    detectors["faceboxes"] = faceboxes
    precisions = ["fp32", "int8"] if others else ["fp32"]
    dev = detection.evaluate(detectors, data.dev, threshold)
    tiny = detector_figures.tiny_scenes(faces, data.backgrounds)
    figures = {
        "model": NAME,
        "parameters": sum(p.numel() for p in network.parameters()),
        "earlier_steps": earlier_steps,
        "steps": found.progress.step,
        "of_steps": found.config.get("steps"),
        "threshold": threshold,
        "trained_score_of_0.5": face_score,
        "box_scale": box_scale,
        "onnx": report
        | {
            "bytes": len(onnx),
            "sha256": files.sha256(onnx),
            "precisions": precisions,
            "largest_relative_difference_from_pytorch": difference,
            "tolerance": TOLERANCE,
        },
        "aflw2000_3d_dev": dev["detectors"],
        "backgrounds": detection.on_backgrounds(detectors, faceboxes, data.backgrounds, THRESHOLDS),
        "tiny_faces": detector_figures.on_tiny_faces(detectors, tiny, threshold),
        "photos": detector_figures.on_photos(detectors, data.photos, threshold)
        if data.photos
        else {},
        "speed": speed(precisions),
        "environment": read_environment(run),
    }
    figures["targets"] = targets(figures)
    config = {"task": "detection"} | portable(found.config, *PATHS)
    curve = encode_photo(curve_image(dev["curve"]), ".jpg")
    write_record(out, {"config.yaml": config}, figures, curve, card_text(figures))
    for name, target in figures["targets"].items():
        _log.info("%s: %.3f, wanted %s: %s", name, *target.values())
    return figures


def _card() -> Card:
    return card(NAME, "detection", "one-stage")


def calibrated(
    network: OneStageDetector, face_score: float, box_scale: tuple[float, float] = (1.0, 1.0)
) -> OneStageDetector:
    """The network, changed in place, with scores and boxes as users expect them.

    Focal losses leave scores that are no probabilities: where they part faces from what is none is
    measured (``face_score``), and then it is the default threshold that users need not change.
    Faces in composed scenes are cut out of narrow crops, so in photos the boxes come out a little
    larger than the teacher's: ``box_scale`` takes that back, for the distances are logarithms.
    """
    if not 0 < face_score < 1:
        raise InvalidInputError(f"face_score: expected a number within 0..1, got {face_score}")
    if min(box_scale) <= 0:
        raise InvalidInputError(f"box_scale: expected positive numbers, got {box_scale}")
    width, height = (math.log(scale) for scale in box_scale)
    with torch.no_grad():
        for head in network.heads:
            bias = head.get_parameter("bias")
            bias[0] -= math.log(face_score / (1 - face_score))
            bias[1:] += torch.tensor([width, height, width, height])
    return network


def proven_onnx(network: OneStageDetector, dev: Path) -> tuple[bytes, float]:
    """The ONNX file, and its largest relative difference from PyTorch on dev photos."""
    plain = halved(folded(network, torch.zeros(1, 64, 64, 3, dtype=torch.uint8)))
    onnx = weights_in_half(detector_to_onnx(plain))
    by_size: dict[tuple[int, ...], list[np.ndarray]] = {}
    for sample in islice(detection.aflw2000_samples(dev), COMPARED):
        image = pad(sample.photo)
        by_size.setdefault(image.shape, []).append(image)
    batches = [torch.from_numpy(np.stack(images)) for images in by_size.values()]
    return onnx, largest_difference(plain, onnx, batches, TOLERANCE, "the dev photos")


def compared_int8(
    onnx: bytes, scenes: np.ndarray, dev: Path, threshold: float
) -> tuple[bytes, dict[str, Any]]:
    """The graph in 8 bits; its figures on dev beside those in float32, and whether it ``ships``."""
    small = described(to_int8(onnx, scenes), _card())
    low = DetectorOptions(detection.CURVE_SCORE)
    both: dict[str, Detector] = {
        name: OneStageFaces(OnnxRuntimeBackend(graph, "cpu"), low, name=name)
        for name, graph in (("fp32", onnx), ("int8", small))
    }
    figures = detection.evaluate(both, dev, threshold)["detectors"]
    lost = {key: figures["fp32"][key] - figures["int8"][key] for key in ("recall", "ap")}
    ships = max(lost.values()) <= INT8_MAY_LOSE
    if not ships:
        _log.warning(
            "in int8 the detector loses %.4f of recall and %.4f of AP on dev; at most %s is "
            "allowed: it ships in float32 alone",
            lost["recall"],
            lost["ap"],
            INT8_MAY_LOSE,
        )
    return small, figures | {"bytes": len(small), "sha256": files.sha256(small), "ships": ships}


def remove_int8() -> None:
    """The graph of an earlier network would be left behind where none takes its place."""
    (shipped.ASSETS / f"{NAME}-int8.onnx").unlink(missing_ok=True)


def speed(precisions: Sequence[str]) -> dict[str, Any]:
    """As ``facegeo-bench detectors``: whole calls of each precision and of FaceBoxes, in turns."""
    usual = DetectorOptions()
    opened = {p: open_detector(NAME, usual, "cpu", precision=p) for p in precisions}
    return bench.compare(opened | {bench.BASELINE: open_detector("faceboxes", usual, "cpu")})


def targets(figures: dict[str, Any]) -> dict[str, Any]:
    """Targets of the detector: what it reached, what is wanted, whether that is met."""
    dev, key = figures["aflw2000_3d_dev"], f"{figures['threshold']:g}"
    recall = dev["default"]["recall"]
    false = figures["backgrounds"]["false_per_photo"]["default"]
    rows = {
        "recall on dev": (recall, 0.97, recall >= 0.97),
        "recall on dev, less that of faceboxes": (
            recall - dev["faceboxes"]["recall"],
            -0.01,
            recall >= dev["faceboxes"]["recall"] - 0.01,
        ),
        "recall of tiny faces": (
            figures["tiny_faces"]["default"]["recall"],
            0.8,
            figures["tiny_faces"]["default"]["recall"] >= 0.8,
        ),
    }
    for size, by_name in figures["speed"].items():
        for name in (n for n in ("fp32", "int8") if n in by_name):
            ratio = by_name[name]["time_over_faceboxes"]
            rows[f"time at {size} in {name}, of that of faceboxes"] = (ratio, 0.8, ratio <= 0.8)
    if key in false:
        rows["false boxes a background"] = (false[key], 0.05, false[key] <= 0.05)
    return {
        name: {"reached": float(reached), "wanted": wanted, "met": bool(met)}
        for name, (reached, wanted, met) in rows.items()
    }


def card_text(figures: dict[str, Any]) -> str:
    """``card.md``."""
    onnx, steps = figures["onnx"], f"{figures['steps']:,}"
    if figures["steps"] != figures["of_steps"]:
        steps += f" of {figures['of_steps']:,}"
    if figures["earlier_steps"]:
        steps = f"{figures['earlier_steps']:,} and then {steps}"
    values = {
        "parameters": f"{figures['parameters'] / 1e6:.2f}",
        "megabytes": f"{onnx['bytes'] / 1e6:.1f}",
        "precisions": _precisions_text(onnx),
        "difference": f"{onnx['largest_relative_difference_from_pytorch']:.1e}",
        "tolerance": f"{TOLERANCE:.0e}",
        "steps": steps,
        "threshold": f"{figures['threshold']:g}",
        "face_score": f"{figures['trained_score_of_0.5']:g}",
        "box_scale": " and ".join(f"{scale:g}" for scale in figures["box_scale"]),
        "dev": _dev_table(figures["aflw2000_3d_dev"]),
        "targets": _targets_table(figures["targets"]),
        "backgrounds": str(figures["backgrounds"]["photos"]),
        "photos": _images_text(figures["photos"]),
        "licence": AFLW_LICENCE,
    }
    return fill(read_template(FOLDER), values)


def _precisions_text(onnx: dict[str, Any]) -> str:
    if "int8" not in onnx:
        return "It ships in float32 alone."
    both, sizes = onnx["int8"], f"{onnx['int8']['bytes'] / 1e6:.1f} MB"
    lost = (
        both["fp32"]["recall"] - both["int8"]["recall"],
        both["fp32"]["ap"] - both["int8"]["ap"],
    )
    loss = f"loses {lost[0]:.4f} of recall and {lost[1]:.4f} of AP on dev"
    if not both["ships"]:
        return f"It ships in float32 alone: in 8 bits it {loss}; {INT8_MAY_LOSE} is allowed."
    return (
        f"`detector-int8.onnx` ({sizes}) is the same network in 8 bits, for those who ask, on "
        f"processors\nthat add 8-bit products exactly; it {loss}."
    )


def _dev_table(detectors: dict[str, Any]) -> str:
    keys = ("recall", "precision", "ap", "false_per_photo")
    bins = list(next(iter(detectors.values()))["recall_by_yaw"])
    rows = [
        (name, [*(v[k] for k in keys), *(v["recall_by_yaw"].get(b, float("nan")) for b in bins)])
        for name, v in detectors.items()
    ]
    head = ["detector", "recall", "precision", "AP", "false a photo", *(f"yaw {b}" for b in bins)]
    return "\n".join(table(head, rows))


def _targets_table(rows: dict[str, Any]) -> str:
    lines = ["| target | reached | wanted | met |", "|---|---|---|---|"]
    for name, row in rows.items():
        met = "yes" if row["met"] else "**no**"
        lines.append(f"| {name} | {row['reached']:.3f} | {row['wanted']:g} | {met} |")
    return "\n".join(lines)


def _images_text(counts: dict[str, Any]) -> str:
    if not counts:
        return "Not counted on demo photos."
    lines = ["| boxes on | " + " | ".join(counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for name in next(iter(counts.values())):
        lines.append(f"| {name} | " + " | ".join(str(c[name]) for c in counts.values()) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
