"""``facegeo demo``: the main job on a photo that is always there."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from facegeo.cli.common import add_engine_options, engine_options
from facegeo.zoo.releases import DEFAULT_DETECTOR, DEFAULT_MODEL, release_of
from facegeo.zoo.store import list_models

_log = logging.getLogger(__name__)


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser(
        "demo", help="measure the face of a sample photo; installs the models it needs"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("facegeo-demo.png"), help="picture to write"
    )
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the annotated sample photo and say where."""
    from facegeo.draw import annotate
    from facegeo.files import write_bytes
    from facegeo.images import encode_photo
    from facegeo.predictor import FaceGeometry
    from facegeo.sample import sample_photo

    if options.model in ("default", DEFAULT_MODEL):
        ensure_installed(DEFAULT_MODEL)
    ensure_installed(DEFAULT_DETECTOR)
    photo = sample_photo()
    faces = FaceGeometry(**engine_options(options))(photo)
    write_bytes(options.out, encode_photo(annotate(photo, faces, ("landmarks", "pose")), ".png"))
    for face in faces:
        pose = face.pose
        print(
            f"face at {face.box.round().astype(int).tolist()}, score {face.score:.3f}: "
            f"yaw {pose.yaw:+.1f}, pitch {pose.pitch:+.1f}, roll {pose.roll:+.1f} degrees"
        )
    print(f"picture: {options.out.resolve()}")
    return 0


def ensure_installed(name: str) -> None:
    """Install a default model that is not there.

    From ``$FACEGEO_SHARED/upstream`` where that is set, else by download.

    Raises
    ------
    DependencyMissingError
        Without the extra ``[torch]``, which converts upstream weights.
    DownloadError
        If it is nowhere to be had.
    """
    if name in list_models():
        return
    shared = os.environ.get("FACEGEO_SHARED")
    if shared and (Path(shared) / "upstream").is_dir():
        _log.info("installing %s from %s", name, shared)
        _import_from(Path(shared) / "upstream", name)
        return
    from facegeo.zoo.download import fetch

    release = release_of(name)
    if release is None:
        raise LookupError(name)
    fetch(release.name)


def _import_from(upstream: Path, name: str) -> None:
    from facegeo.zoo.upstream import import_3ddfa_v2, import_faceboxes

    if name == DEFAULT_DETECTOR:
        import_faceboxes(upstream / "faceboxes" / "FaceBoxesProd.pth", name)
    else:
        import_3ddfa_v2(upstream / "3ddfa_v2", name, landmark_basis=upstream / "3ddfa")
