"""``facegeo predict``: photos to annotated photos and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from facegeo.detect.base import DetectorOptions
from facegeo.errors import FacegeoError, UnreadableFileError
from facegeo.images import find_photos
from facegeo.results import PhotoResult

_DEFAULT_OUT = Path("facegeo-out")


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "predict",
        help="find and measure every face of photos",
        description="Find and measure every face. For NAME.jpg, writes NAME.faces.jpg (annotated) "
        "and NAME.faces.json into the output folder; with --json and no --out, only prints.",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="files or folders")
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
        help=f"comma-separated: {', '.join(FORMATS)}; a textured mesh of each face",
    )
    parser.add_argument(
        "--face-model",
        metavar="NAME",
        help="face model to fit for the mesh: facegeo-generic, an imported one, or an .npz file "
        "(default: the network's own, else facegeo-generic)",
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

    jobs = _plan(options.photos)
    writer = _Writer(
        options.out or (None if options.json else _DEFAULT_OUT),
        OutputOptions(options.draw, options.save),
        _face_model(options.face_model),
    )
    presence_filter = None if options.no_second_opinion else PresenceFilter()
    predictor = FaceGeometry(
        second_opinion=presence_filter,
        max_faces=options.max_faces,
        min_face_size=options.min_size,
        **detector_options(options),
        **backend_options(options),
    )
    failed = 0
    array: AbstractContextManager[JsonArray | None] = JsonArray() if options.json else nullcontext()
    with array as printed, _progress(len(jobs)) as bar:
        for result in predictor.predict_photos([job.photo for job in jobs]):
            job = jobs[result.index]
            record, image, error = writer.write(result, job)
            failed += error is not None
            if error is not None:
                bar.write(f"facegeo: error: {_naming(job.photo, error)}", file=sys.stderr)
            if printed is not None:
                printed.append(record)
            elif error is None:
                bar.write(_summary(job, len(result.faces), image), file=sys.stdout)
            bar.update()
    return 1 if failed else 0


@dataclass(frozen=True)
class _Job:
    """A photo and where its results go, relative to the output folder and without an ending."""

    photo: Path
    target: Path


def _plan(paths: list[Path]) -> list[_Job]:
    """All photos of files and folders, with targets that differ from each other."""
    jobs: list[_Job] = []
    taken: set[Path] = set()
    for image, target in _expand(paths):
        unique, count = target, 1
        while unique in taken:
            count += 1
            unique = target.with_name(f"{target.name}-{count}")
        taken.add(unique)
        jobs.append(_Job(image, unique))
    return jobs


def _expand(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.stem)
            continue
        found = find_photos(path)
        if not found:
            raise UnreadableFileError(f"{path}: the folder holds no photos")
        for image in found:
            yield image, image.relative_to(path).with_suffix("")


@dataclass(frozen=True)
class _Writer:
    """Writer of the wanted results to a folder; without a folder nothing is written."""

    out: Path | None
    wanted: OutputOptions
    face_model: Any

    def write(
        self, result: PhotoResult, job: _Job
    ) -> tuple[dict[str, Any], Path | None, FacegeoError | None]:
        """A photo's record, its annotated image, and what went wrong, if anything did."""
        if result.photo is None:
            return _record(result, job, result.error), None, result.error
        record = _record(result, job, None)
        outputs = ImageOutputs(result.photo, result.faces, self.wanted, self.face_model)
        try:
            if self.out is None:
                return record | outputs.record(), None, None
            suffix = job.photo.suffix.lower()
            return record, outputs.write(self.out / job.target, suffix, record), None
        except FacegeoError as error:
            return _record(result, job, error), None, error


def _face_model(name: str | None) -> Any:
    from facegeo.zoo.face_models import load_face_model

    return None if name is None else load_face_model(name)


def _record(result: PhotoResult, job: _Job, error: FacegeoError | None) -> dict[str, Any]:
    height, width = (None, None) if result.photo is None else result.photo.shape[:2]
    return {
        "photo": str(job.photo),
        "width": width,
        "height": height,
        "faces": [face.to_dict() for face in result.faces],
        "error": None if error is None else str(error),
    }


def _summary(job: _Job, count: int, image: Path | None) -> str:
    faces = f"{count or 'no'} face{'' if count == 1 else 's'}"
    return f"{job.photo}: {faces}" + (f" -> {image}" if image else "")


def _naming(image: Path, error: FacegeoError) -> str:
    text = str(error)
    return text if str(image) in text else f"{image}: {text}"


def _progress(total: int) -> Any:
    from tqdm import tqdm

    # disable=None: no bar where standard error is not a terminal
    return tqdm(total=total, unit="photo", disable=True if total < 2 else None)
