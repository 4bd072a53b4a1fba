"""``facegeo label``: labels for training, made from an installed model and manual points."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facegeo.cli.common import number, print_json
from facegeo.errors import InvalidInputError


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("label", help="make labels for training")
    sets = parser.add_subparsers(title="data sets", metavar="DATASET", required=True)
    aflw = sets.add_parser(
        "aflw",
        help="AFLW's crops with 21 manual points, or 68",
        description="Average a model's parameters over views of each crop, correct them by the "
        "manual points, and fit the shipped face model to the corrected landmarks. With --manual, "
        "68 points with their visibility count too; MERL-RAV's test faces whose name has an even "
        "CRC-32 are then never in the labels.",
    )
    aflw.add_argument(
        "folder", type=Path, metavar="DIR", help="folder with annotations.npz and crops.tar"
    )
    aflw.add_argument("--teacher", required=True, help="installed landmark model")
    aflw.add_argument("--out", type=Path, required=True, metavar="FILE", help="labels (.npz)")
    aflw.add_argument("--views", type=number(int, 1), default=8, help="views of each crop (8)")
    aflw.add_argument(
        "--trust",
        type=number(float, 0, 1),
        help="part of the correction by manual points that is taken; by default the one that "
        "measured best",
    )
    aflw.add_argument(
        "--overshoot",
        type=number(float, -45, 45),
        metavar="DEG",
        help="how much too far to the side the teacher turns a head in profile; by default what "
        "was measured for mb05",
    )
    aflw.add_argument(
        "--manual", type=Path, metavar="FILE", help="MERL-RAV's points of these crops (.npz)"
    )
    _add_validation(aflw)
    aflw.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    aflw.set_defaults(run=run_aflw)
    points = sets.add_parser(
        "points",
        help="photos of one face each with 68 manual points",
        description="As 'aflw --manual', of pictures with 68 points and nothing else; the crops to "
        "train on are cut out of them. One face in ten, by the CRC-32 of its name, is never in the "
        "labels.",
    )
    points.add_argument(
        "folder", type=Path, metavar="DIR", help="folder with annotations.npz and crops.tar"
    )
    points.add_argument("--teacher", required=True, help="installed landmark model")
    points.add_argument("--out", type=Path, required=True, metavar="FILE", help="labels (.npz)")
    points.add_argument(
        "--pictures", type=Path, required=True, metavar="TAR", help="crops to write, 120 pixels"
    )
    points.add_argument("--views", type=number(int, 1), default=8, help="views of each crop (8)")
    _add_validation(points)
    points.add_argument(
        "--large", type=Path, metavar="TAR", help="the same crops with more pixels, to write"
    )
    points.add_argument(
        "--large-size",
        type=number(int, 1, 1024),
        default=256,
        metavar="PX",
        help="side of these (256)",
    )
    points.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    points.set_defaults(run=run_points)
    synthetic = sets.add_parser(
        "synthetic",
        help="faces that facegeo draws itself, and their labels",
        description="Draw random faces of the shipped face model and label them: crops.tar and "
        "labels.npz. For trying a training out; a network for photos needs photos.",
    )
    synthetic.add_argument("folder", type=Path, metavar="DIR", help="folder to write to")
    synthetic.add_argument("--count", type=number(int, 1), default=2000, help="faces (2000)")
    synthetic.add_argument("--seed", type=number(int, 0), default=0, help="another: other faces")
    synthetic.set_defaults(run=run_synthetic)
    _add_rendered(sets)
    again = sets.add_parser(
        "again",
        help="existing labels, with what networks say of the same photos",
        description="Means of labels and of networks' answers, each averaged over views of a crop "
        "and their mirror images: less noise than the labels alone.",
    )
    again.add_argument("labels", type=Path, metavar="LABELS", help="label file (.npz)")
    again.add_argument(
        "--pictures", type=Path, required=True, metavar="DIR_OR_TAR", help="the labels' crops"
    )
    again.add_argument(
        "--network",
        type=_weighted,
        action="append",
        required=True,
        metavar="NAME=WEIGHT",
        help="installed landmark model and its part of the mean; the labels have the rest of 1",
    )
    again.add_argument("--out", type=Path, required=True, metavar="FILE", help="labels (.npz)")
    again.add_argument("--views", type=number(int, 1), default=5, help="views of each crop (5)")
    again.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    again.set_defaults(run=run_again)


def _add_rendered(sets: Any) -> None:
    rendered = sets.add_parser(
        "rendered",
        help="labelled photos with other expressions, and whole heads, drawn with exact labels",
        description="Draw faces of the shipped face model with skins of labelled photos: over the "
        "photo with another expression, over it with other eyes only, and alone before photos "
        "without faces. Eyes shut and look around, cheeks puff, tongues come out. Half are alone, "
        "a third over photos, and a sixth have other eyes only. Writes crops.tar and labels.npz.",
    )
    rendered.add_argument("folder", type=Path, metavar="DIR", help="folder to write to")
    rendered.add_argument(
        "--faces",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="labels of photos (.npz), of the shipped face model; several times: several sets",
    )
    rendered.add_argument(
        "--pictures",
        type=Path,
        action="append",
        required=True,
        metavar="DIR_OR_TAR",
        help="the crops of each",
    )
    rendered.add_argument(
        "--backgrounds",
        type=Path,
        required=True,
        metavar="DIR_OR_TAR",
        help="photos without faces; one in five is left for evaluation",
    )
    rendered.add_argument("--count", type=number(int, 1), default=20000, help="faces (20000)")
    rendered.add_argument(
        "--only", choices=("photos", "eyes", "alone"), help="one kind of the three"
    )
    rendered.add_argument("--seed", type=number(int, 0), default=0, help="another: other faces")
    rendered.add_argument(
        "--workers", type=number(int, 0), default=0, help="processes (0: this one alone)"
    )
    rendered.set_defaults(run=run_rendered)


def _add_validation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help="labels of the faces that nothing is trained on, to write (.npz)",
    )


def run_aflw(options: argparse.Namespace) -> int:
    """Label AFLW's crops; the report goes to standard output."""
    from facegeo.morphable import MorphableModel
    from facegeo.training.labels.aflw import label_aflw
    from facegeo.training.labels.from_points import label_aflw_with_points
    from facegeo.training.labels.teacher import Teacher

    given = {"trust": options.trust, "yaw_bias_deg": options.overshoot}
    chosen = {name: value for name, value in given.items() if value is not None}
    if options.manual is None and options.validation is not None:
        raise InvalidInputError("--validation: expected --manual too, whose points it is made of")
    if options.manual is not None and chosen:
        raise InvalidInputError(
            "--manual: expected neither --trust nor --overshoot, of which it has its own"
        )
    teacher = Teacher.open(options.teacher, device=options.device)
    model = MorphableModel.default()
    views = int(options.views)
    if options.manual is None:
        report = label_aflw(options.folder, teacher, model, options.out, views=views, **chosen)
    else:
        report = label_aflw_with_points(
            options.folder,
            teacher,
            model,
            options.manual,
            options.out,
            validation=options.validation,
            views=views,
        )
    print_json(report)
    return 0


def run_points(options: argparse.Namespace) -> int:
    """Label photos with 68 points; the report goes to standard output."""
    from facegeo.morphable import MorphableModel
    from facegeo.training.labels.from_points import label_points
    from facegeo.training.labels.teacher import Teacher

    report = label_points(
        options.folder,
        Teacher.open(options.teacher, device=options.device),
        MorphableModel.default(),
        options.out,
        options.pictures,
        validation=options.validation,
        large=None if options.large is None else (options.large, int(options.large_size)),
        views=int(options.views),
    )
    print_json(report)
    return 0


def run_synthetic(options: argparse.Namespace) -> int:
    """Draw faces; the report goes to standard output."""
    from facegeo.training.labels.synthetic import write_synthetic

    print_json(write_synthetic(options.folder, int(options.count), int(options.seed)))
    return 0


def run_rendered(options: argparse.Namespace) -> int:
    """Draw faces with skins of photos; the report goes to standard output."""
    from facegeo.synthetic.negatives import training_backgrounds
    from facegeo.training.data.joining import read_sets
    from facegeo.training.labels.rendered import RenderedRows, write_rendered
    from facegeo.zoo.face_models import load_face_model

    rows = RenderedRows(
        read_sets(options.faces, options.pictures),
        load_face_model("default", detail="low"),
        training_backgrounds(options.backgrounds),
        options.only,
        int(options.seed),
    )
    report = write_rendered(options.folder, rows, int(options.count), int(options.workers))
    print_json(report)
    return 0


def run_again(options: argparse.Namespace) -> int:
    """Make labels anew; the report goes to standard output."""
    from facegeo.morphable import MorphableModel
    from facegeo.predictor import FaceGeometry
    from facegeo.training.data.datasets import read_labelled
    from facegeo.training.labels.relabel import relabel

    faces = read_labelled(options.labels, options.pictures)
    networks = [
        (FaceGeometry(name, device=options.device), weight) for name, weight in options.network
    ]
    model = MorphableModel.default()
    print_json(relabel(faces, model, networks, options.out, views=int(options.views)))
    return 0


def _weighted(text: str) -> tuple[str, float]:
    """``NAME=WEIGHT``."""
    name, _, weight = text.rpartition("=")
    try:
        if not name:
            raise ValueError
        return name, number(float, 0, 1)(weight)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(
            f"expected NAME=WEIGHT with a weight from 0 to 1, got {text!r}"
        ) from error
