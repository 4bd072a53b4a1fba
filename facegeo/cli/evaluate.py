"""``facegeo eval``: the papers' protocols on data that you have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegeo.backends import AUTO
from facegeo.cli.common import (
    add_backend_options,
    add_json_option,
    backend_options,
    number,
    print_json,
)
from facegeo.detect.base import DetectorOptions
from facegeo.errors import InvalidInputError

if TYPE_CHECKING:
    from facegeo.detect import Detector

_AFLW2000_FOLDER = "folder with annotations.npz, crops.tar, images.tar"


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("eval", help="measure a model by the papers' protocols")
    protocols = parser.add_subparsers(title="protocols", metavar="PROTOCOL", required=True)
    aflw2000 = protocols.add_parser("aflw2000-3d", help="68 landmarks and head orientation")
    _add_data(aflw2000, _AFLW2000_FOLDER)
    _add_source(aflw2000)
    _add_common(aflw2000, run_aflw2000)
    aflw21 = protocols.add_parser("aflw21", help="AFLW, full set, 21 landmarks")
    _add_data(aflw21, "folder with annotations.npz and crops.tar, or 3DDFA's AFLW_GT_crop layout")
    _add_common(aflw21, run_aflw21)
    biwi = protocols.add_parser("biwi", help="BIWI Kinect head pose, faces found by the detector")
    _add_data(biwi, "folder with a folder NN a sequence: frame_*_rgb.png, _pose.txt, rgb.cal")
    biwi.add_argument(
        "--sequences", default="", metavar="NN,NN", help="use only these (default: all)"
    )
    _add_frames(biwi)
    _add_common(biwi, run_biwi)
    videos = protocols.add_parser("300vw", help="68 landmarks on the frames of videos")
    _add_data(videos, "folder with a folder NNN a video: vid.avi, annot/000001.pts")
    _add_frames(videos)
    _add_common(videos, run_300vw)
    presence = protocols.add_parser("presence", help="faces against what is none, as ROC area")
    _add_data(presence, _AFLW2000_FOLDER)
    _add_backgrounds(presence)
    _add_source(presence)
    _add_common(presence, run_presence)
    second = protocols.add_parser(
        "second-opinion", help="false boxes that presence rejects, and faces that it costs"
    )
    _add_data(second, _AFLW2000_FOLDER)
    _add_backgrounds(second)
    second.add_argument("--detector", default=AUTO, help="auto, or an installed detection model")
    second.add_argument(
        "--sure", type=number(float, 0, 1), metavar="S", help="score of boxes that need no opinion"
    )
    add_backend_options(second)
    _add_outputs(second, run_presence_filter, curve=False)
    detection = protocols.add_parser("detection", help="face boxes: recall, precision, AP")
    _add_data(detection, "folder as for aflw2000-3d, or WIDER FACE: *_bbx_gt.txt and images/")
    detection.add_argument(
        "--detectors",
        default="default,faceboxes",
        metavar="NAMES",
        help="comma-separated: shipped or installed detection models, or .onnx files of "
        "facegeo's own detector (default: default,faceboxes)",
    )
    detection.add_argument("--device", default=AUTO, help="auto, cpu, cuda or cuda:N")
    detection.add_argument(
        "--score", type=number(float, 0, 1), default=DetectorOptions.score_threshold, metavar="S"
    )
    detection.add_argument(
        "--iou", type=number(float, 0, 1), default=0.4, metavar="R", help="of a found face (0.4)"
    )
    detection.add_argument(
        "--backgrounds",
        type=Path,
        metavar="TAR_OR_DIR",
        help="count false boxes, beside faceboxes, on the photos that training holds back",
    )
    _add_outputs(detection, run_detection)


def run_aflw2000(options: argparse.Namespace) -> int:
    """Evaluate on AFLW2000-3D."""
    from facegeo.evaluation.aflw2000 import Aflw2000, evaluate, to_markdown

    data = Aflw2000.open(options.data)
    predictor = _predictor(options)
    report = evaluate(predictor, data, options.source)
    return _finish_model(options, predictor, report, to_markdown(report))


def run_aflw21(options: argparse.Namespace) -> int:
    """Evaluate on AFLW with 21 points."""
    from facegeo.evaluation.aflw import AflwCrops, evaluate, to_markdown

    data = AflwCrops.open(options.data)
    predictor = _predictor(options)
    report = evaluate(predictor, data)
    return _finish_model(options, predictor, report, to_markdown(report))


def run_biwi(options: argparse.Namespace) -> int:
    """Evaluate on BIWI."""
    from facegeo.evaluation.biwi import evaluate, to_markdown

    chosen = [name for name in options.sequences.split(",") if name]
    predictor = _predictor(options, detector=options.detector)
    report = evaluate(predictor, options.data, chosen, int(options.every))
    return _finish_model(options, predictor, report, to_markdown(report))


def run_300vw(options: argparse.Namespace) -> int:
    """Evaluate on videos laid out as 300VW."""
    from facegeo.evaluation.vw300 import evaluate, to_markdown

    predictor = _predictor(options, detector=options.detector)
    report = evaluate(predictor, options.data, int(options.every))
    return _finish_model(options, predictor, report, to_markdown(report))


def run_presence(options: argparse.Namespace) -> int:
    """Evaluate the presence output."""
    from facegeo.evaluation.aflw2000 import Aflw2000
    from facegeo.evaluation.presence import Backgrounds, evaluate, to_markdown

    data = Aflw2000.open(options.data)
    predictor = _predictor(options)
    report = evaluate(predictor, data, Backgrounds.open(options.backgrounds), options.source)
    return _finish_model(options, predictor, report, to_markdown(report))


def run_detection(options: argparse.Namespace) -> int:
    """Compare face detectors."""
    from facegeo.detect import open_detector
    from facegeo.evaluation.detection import (
        CURVE_SCORE,
        evaluate,
        on_backgrounds,
        to_markdown,
    )

    low = DetectorOptions(CURVE_SCORE)
    names = [name.strip() for name in options.detectors.split(",") if name.strip()]
    detectors = {_short(name): _detector(name, low, options.device) for name in names}
    if not detectors:
        raise InvalidInputError("--detectors: expected at least one name")
    report = evaluate(detectors, options.data, options.score, options.iou)
    if options.backgrounds is not None:
        reference = detectors.get("faceboxes") or open_detector("faceboxes", low, options.device)
        scores = sorted({0.3, 0.4, 0.5, 0.6, 0.7, options.score})
        report["backgrounds"] = on_backgrounds(detectors, reference, options.backgrounds, scores)
    run = {name: detector.name for name, detector in detectors.items()}
    said = ", ".join(n if n == of else f"{n} ({of})" for n, of in run.items())
    heading = f"Detectors: {said}."
    markdown = to_markdown(report)
    # Each detector's figures stand at the top of the JSON, under the name that was given.
    return _finish(options, run, heading, report | report.pop("detectors"), markdown)


def run_presence_filter(options: argparse.Namespace) -> int:
    """Try thresholds of the presence filter."""
    from facegeo.detect import PresenceFilter, open_detector
    from facegeo.evaluation.detection import CURVE_SCORE
    from facegeo.evaluation.presence_filter import SCORES, evaluate, to_markdown

    detector = open_detector(options.detector, DetectorOptions(min(SCORES)), options.device)
    reference = open_detector("faceboxes", DetectorOptions(CURVE_SCORE), options.device)
    predictor = _predictor(options)
    sure = PresenceFilter.sure_score if options.sure is None else options.sure
    report = evaluate(predictor, detector, reference, options.data, options.backgrounds, sure)
    return _finish_model(options, predictor, report, to_markdown(report))


def _detector(name: str, options: DetectorOptions, device: str) -> Detector:
    from facegeo.detect import open_detector
    from facegeo.detect.one_stage import OneStageFaces

    if name.endswith(".onnx"):
        return OneStageFaces.from_file(name, options, device=device)
    return open_detector(name, options, device)


def _short(name: str) -> str:
    return Path(name).stem if name.endswith(".onnx") else name


def _add_frames(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every", type=number(int, 1), default=1, metavar="N", help="use each N-th frame (1)"
    )
    parser.add_argument("--detector", default=AUTO, help="auto, or an installed detection model")


def _add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=what)


def _add_backgrounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backgrounds",
        type=Path,
        required=True,
        metavar="TAR_OR_DIR",
        help="photos without faces; those that training holds back are used",
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="source",
        choices=("crops", "photos"),
        default="crops",
        help="the data set's own crops, or cropped afresh from its photos",
    )


def _add_common(parser: argparse.ArgumentParser, run: Any) -> None:
    add_backend_options(parser)
    _add_outputs(parser, run)


def _add_outputs(parser: argparse.ArgumentParser, run: Any, curve: bool = True) -> None:
    add_json_option(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    if curve:
        parser.add_argument("--curve", type=Path, metavar="FILE", help="draw it there, as PNG")
    parser.set_defaults(run=run, curve=None)


def _predictor(options: argparse.Namespace, **more: Any) -> Any:
    from facegeo.predictor import FaceGeometry

    return FaceGeometry(**backend_options(options), **more)


def _finish_model(
    options: argparse.Namespace, predictor: Any, report: dict[str, Any], markdown: str
) -> int:
    network = predictor.network
    run = {
        "model": predictor.card.name,
        "backend": network.name,
        "device": network.device,
        "precision": network.precision,
    }
    heading = f"Model {run['model']}, {run['backend']}, {run['device']}, {run['precision']}."
    return _finish(options, run, heading, report, markdown)


def _finish(
    options: argparse.Namespace,
    run: dict[str, str],
    heading: str,
    report: dict[str, Any],
    markdown: str,
) -> int:
    """Print the report, and write what was asked for."""
    from facegeo.base.files import write_bytes
    from facegeo.evaluation.report import curve_png

    markdown = f"{heading}\n\n{markdown}"
    if options.markdown is not None:
        write_bytes(options.markdown, f"{markdown}\n".encode())
    if options.curve is not None:
        write_bytes(options.curve, curve_png(report["curve"]))
    if options.json:
        print_json({"run": run} | report)
    else:
        print(markdown)
    return 0
