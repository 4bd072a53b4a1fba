"""``facegeo predict``: photos to annotated photos and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegeo.cli.common import (
    JsonArray,
    add_engine_options,
    add_json_option,
    engine_options,
    number,
)
from facegeo.draw import ANNOTATORS, annotate
from facegeo.errors import FacegeoError, UnreadableFileError
from facegeo.files import write_bytes
from facegeo.images import encode_photo, find_photos
from facegeo.results import PhotoResult

_DEFAULT_OUT = Path("facegeo-out")

#: Formats that an annotated photo is written back in; others become JPEG.
_WRITTEN_AS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


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
        type=_styles,
        default=("landmarks", "pose"),
        metavar="STYLES",
        help=f"comma-separated: {', '.join(ANNOTATORS)} (default: landmarks,pose)",
    )
    add_json_option(parser)
    add_engine_options(parser)
    parser.add_argument("--detector", default="auto", help="auto, cascade or an installed model")
    parser.add_argument("--score", type=number(float, 0, 1), default=0.5, help="lowest confidence")
    parser.add_argument("--max-faces", type=number(int, 1), help="keep the best N a photo")
    parser.add_argument("--min-size", type=number(float, 0), default=0.0, help="pixels")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Process all photos; 1 if any failed."""
    from facegeo.predictor import FaceGeometry

    jobs = _plan(options.photos)
    out = options.out or (None if options.json else _DEFAULT_OUT)
    predictor = FaceGeometry(
        detector=options.detector,
        score_threshold=options.score,
        max_faces=options.max_faces,
        min_face_size=options.min_size,
        **engine_options(options),
    )
    failed = 0
    array: AbstractContextManager[JsonArray | None] = JsonArray() if options.json else nullcontext()
    with array as printed, _progress(len(jobs)) as bar:
        for result in predictor.predict_photos([job.photo for job in jobs]):
            job = jobs[result.index]
            error = result.error or _write(result, job, out, options.draw)
            failed += error is not None
            if error is not None:
                bar.write(f"facegeo: error: {_naming(job.photo, error)}", file=sys.stderr)
            if printed is not None:
                printed.append(_record(result, job, error))
            elif error is None:
                bar.write(_summary(result, job, out), file=sys.stdout)
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
    for photo, target in _expand(paths):
        unique, count = target, 1
        while unique in taken:
            count += 1
            unique = target.with_name(f"{target.name}-{count}")
        taken.add(unique)
        jobs.append(_Job(photo, unique))
    return jobs


def _expand(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.stem)
            continue
        found = find_photos(path)
        if not found:
            raise UnreadableFileError(f"{path}: the folder holds no photos")
        for photo in found:
            yield photo, photo.relative_to(path).with_suffix("")


def _write(
    result: PhotoResult, job: _Job, out: Path | None, styles: tuple[str, ...]
) -> FacegeoError | None:
    """Write a photo's files; what went wrong, if anything did."""
    if out is None or result.photo is None:
        return None
    picture, data = _targets(job, out)
    try:
        annotated = annotate(result.photo, result.faces, styles)
        write_bytes(picture, encode_photo(annotated, picture.suffix))
        write_bytes(data, json.dumps(_record(result, job, None), indent=1).encode())
    except FacegeoError as error:
        return error
    return None


def _targets(job: _Job, out: Path) -> tuple[Path, Path]:
    suffix = job.photo.suffix.lower()
    picture = f"{job.target.name}.faces{suffix if suffix in _WRITTEN_AS else '.jpg'}"
    folder = out / job.target.parent
    return folder / picture, folder / f"{job.target.name}.faces.json"


def _record(result: PhotoResult, job: _Job, error: FacegeoError | None) -> dict[str, Any]:
    height, width = (None, None) if result.photo is None else result.photo.shape[:2]
    return {
        "photo": str(job.photo),
        "width": width,
        "height": height,
        "faces": [face.to_dict() for face in result.faces],
        "error": None if error is None else str(error),
    }


def _summary(result: PhotoResult, job: _Job, out: Path | None) -> str:
    count = len(result.faces)
    faces = f"{count or 'no'} face{'' if count == 1 else 's'}"
    return f"{job.photo}: {faces}" + (f" -> {_targets(job, out)[0]}" if out else "")


def _naming(photo: Path, error: FacegeoError) -> str:
    text = str(error)
    return text if str(photo) in text else f"{photo}: {text}"


def _progress(total: int) -> Any:
    from tqdm import tqdm

    # disable=None: no bar where standard error is not a terminal
    return tqdm(total=total, unit="photo", disable=True if total < 2 else None)


def _styles(text: str) -> tuple[str, ...]:
    styles = tuple(style.strip() for style in text.split(",") if style.strip())
    unknown = [style for style in styles if style not in ANNOTATORS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(ANNOTATORS)}, got {unknown[0]!r}"
        )
    return styles
