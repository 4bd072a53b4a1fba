"""``facegeo predict``: photos to annotated photos and JSON."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegeo.cli.common import (
    JsonArray,
    add_backend_options,
    add_detector_options,
    add_json_option,
    backend_options,
    detector_options,
    number,
    some_of,
)
from facegeo.cli.outputs import FORMATS, STYLES, ImageOutputs, OutputOptions
from facegeo.cli.photo_jobs import Job, Plan, plan_jobs, skipped_text
from facegeo.detect.base import DetectorOptions
from facegeo.errors import FacegeoError, InvalidInputError, MissingBasisError
from facegeo.render.annotate import check_outputs
from facegeo.results import PhotoResult

if TYPE_CHECKING:
    from facegeo.predictor import FaceGeometry

_log = logging.getLogger(__name__)

_DEFAULT_OUT = Path("facegeo-out")


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "predict",
        help="find and measure every face of photos",
        description="Find and measure every face. For NAME.jpg, writes NAME.faces.jpg (annotated) "
        "and NAME.faces.json into the output folder; with --json and no --out, only prints.",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files or folders")
    parser.add_argument("--out", type=Path, help=f"output folder (default: {_DEFAULT_OUT})")
    parser.add_argument(
        "--draw",
        type=some_of(STYLES),
        default=("landmarks", "pose"),
        metavar="STYLES",
        help=f"comma-separated: {', '.join(STYLES)} (default: landmarks,pose); depth, pncc and uv "
        "are pictures of their own",
    )
    parser.add_argument(
        "--save",
        type=some_of(FORMATS),
        default=(),
        metavar="FORMATS",
        help=f"comma-separated: {', '.join(FORMATS)}; a textured mesh of each face; "
        "depth is a map of the photo in millimetres (NPY, 16-bit PNG)",
    )
    parser.add_argument(
        "--targets",
        action=argparse.BooleanOptionalAction,
        help="of glb: the expressions as morph targets, whose weights show the face's own; without "
        "them a quarter of the size (default: --targets)",
    )
    parser.add_argument(
        "--opacity",
        type=number(float, 0, 1),
        metavar="X",
        help="how much the drawing covers the photo, 0 to 1 (default: as each style has it)",
    )
    parser.add_argument(
        "--face-model",
        metavar="NAME",
        help="face model to fit for meshes that are drawn or saved, and for their blendshapes: "
        "facegeo-head, an imported one, or an .npz file (default: the network's own, else "
        "facegeo-head)",
    )
    parser.add_argument(
        "--coarse-mesh",
        action="store_true",
        help="draw and save meshes as the network's parameters have them, through "
        "coarse_landmarks; blendshapes are theirs, too (default: moved onto landmarks)",
    )
    add_json_option(parser)
    add_backend_options(parser)
    add_detector_options(parser)
    parser.add_argument(
        "--no-second-opinion",
        action="store_true",
        help="keep doubtful boxes even where the landmark network sees no face",
    )
    parser.add_argument("--max-faces", type=number(int, 1), help="keep the best N a photo")
    parser.add_argument(
        "--min-size", type=number(float, 0), default=DetectorOptions.min_size, help="pixels"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Process all photos; 1 if any failed."""
    from facegeo.detect import PresenceFilter
    from facegeo.predictor import FaceGeometry

    out = options.out or (None if options.json else _DEFAULT_OUT)
    plan = plan_jobs(options.photos, out or _DEFAULT_OUT)
    jobs = plan.jobs
    wanted = OutputOptions(
        options.draw,
        options.save,
        options.opacity,
        options.targets is not False,
        options.coarse_mesh,
    )
    _check_effect(options, wanted, out)
    writer = _Writer(out, wanted, _face_model(options.face_model))
    presence_filter = None if options.no_second_opinion else PresenceFilter()
    predictor = FaceGeometry(
        second_opinion=presence_filter,
        max_faces=options.max_faces,
        min_face_size=options.min_size,
        **detector_options(options),
        **backend_options(options),
    )
    check_outputs(wanted.styles, predictor.network.output_metadata)
    if options.coarse_mesh:
        _check_dense(predictor)
    for problem in plan.problems:
        print(f"facegeo: error: {problem}", file=sys.stderr)
    failed = faces = 0
    array: AbstractContextManager[JsonArray | None] = JsonArray() if options.json else nullcontext()
    with array as printed, _progress(len(jobs)) as bar:
        for result in predictor.predict_photos([job.photo for job in jobs]):
            job = jobs[result.index]
            record, image, error = writer.write(result, job)
            failed += error is not None
            faces += len(record["faces"])
            if error is not None:
                bar.write(f"facegeo: error: {_naming(job, error)}", file=sys.stderr)
            if printed is not None:
                printed.append(record)
            elif error is None:
                bar.write(_summary(job, len(result.faces), image), file=sys.stdout)
            bar.update()
    if plan.has_folder or len(jobs) > 1:
        _report(plan, faces, failed, out)
    return 1 if failed or plan.problems else 0


def _check_effect(options: argparse.Namespace, wanted: OutputOptions, out: Path | None) -> None:
    """InvalidInputError for an option that would change nothing."""
    if options.targets is not None and ("glb" not in wanted.formats or out is None):
        flag = "--targets" if options.targets else "--no-targets"
        raise InvalidInputError(f"{flag}: expected --save glb, too, and files that are written")
    given = {"--coarse-mesh": options.coarse_mesh, "--face-model": options.face_model is not None}
    for flag in (flag for flag, is_given in given.items() if is_given and not wanted.dense):
        raise InvalidInputError(
            f"{flag}: expected a mesh that is drawn or saved, too, such as by --draw mesh"
        )
    if all(given.values()):
        raise InvalidInputError(
            "--coarse-mesh: expected no --face-model, whose parameters are fitted to the landmarks"
        )


def _check_dense(predictor: FaceGeometry) -> None:
    """InvalidInputError where the network's own parameters give no mesh."""
    try:
        _ = predictor.mesh_source.morphable
    except MissingBasisError as error:
        raise InvalidInputError(f"--coarse-mesh: {error}") from error


def _report(plan: Plan, faces: int, failed: int, out: Path | None) -> None:
    """The last lines: what was done, and what was not read and why."""
    for path, reason in plan.skipped.items():
        _log.info("%s: not read: %s", path, reason)
    if plan.skipped:
        print(f"facegeo: not read: {skipped_text(plan.skipped)}", file=sys.stderr)
    done = f"{_count(len(plan.jobs), 'photo')}, {_count(faces, 'face')}, {failed} failed"
    print(f"facegeo: {done}" + (f" -> {out}" if out else ""), file=sys.stderr)


@dataclass(frozen=True)
class _Writer:
    """Writer of the wanted results to a folder; without a folder nothing is written."""

    out: Path | None
    wanted: OutputOptions
    face_model: Any

    def write(
        self, result: PhotoResult, job: Job
    ) -> tuple[dict[str, Any], Path | None, FacegeoError | None]:
        """A photo's record, its annotated image, and what went wrong, if anything did."""
        if result.photo is None:
            return _record(result, job, result.error), None, result.error
        record = _record(result, job, None)
        outputs = ImageOutputs(result.photo, result.faces, self.wanted, self.face_model)
        try:
            record = outputs.completed(record)
            if self.out is None:
                return record, None, None
            suffix = Path(job.photo).suffix.lower()
            return record, outputs.write(self.out / job.target, suffix, record), None
        except FacegeoError as error:
            return _record(result, job, error), None, error


def _face_model(name: str | None) -> Any:
    from facegeo.zoo.face_models import load_face_model

    return None if name is None else load_face_model(name)


def _record(result: PhotoResult, job: Job, error: FacegeoError | None) -> dict[str, Any]:
    height, width = (None, None) if result.photo is None else result.photo.shape[:2]
    return {
        "photo": job.name,
        "width": width,
        "height": height,
        "faces": [face.to_dict() for face in result.faces],
        "error": None if error is None else str(error),
    }


def _summary(job: Job, count: int, image: Path | None) -> str:
    return f"{job.name}: {_count(count, 'face')}" + (f" -> {image}" if image else "")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _naming(job: Job, error: FacegeoError) -> str:
    text = str(error)
    return text if job.name in text else f"{job.name}: {text}"


def _progress(total: int) -> Any:
    from tqdm import tqdm

    # disable=None: no bar where standard error is not a terminal
    return tqdm(total=total, unit="photo", disable=True if total < 2 else None)
