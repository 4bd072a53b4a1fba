"""``facegeo demo``: the main job on a photo that is always there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facegeo.cli.common import add_backend_options, backend_options


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("demo", help="measure the face of a sample photo")
    parser.add_argument(
        "--out", type=Path, default=Path("facegeo-demo.png"), help="picture to write"
    )
    add_backend_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the annotated sample photo and say where."""
    from facegeo.base.files import write_bytes
    from facegeo.images import encode_photo
    from facegeo.images.demo import sample_photo
    from facegeo.predictor import FaceGeometry
    from facegeo.render.annotate import annotate

    image = sample_photo()
    faces = FaceGeometry(**backend_options(options))(image)
    write_bytes(options.out, encode_photo(annotate(image, faces, ("landmarks", "pose")), ".png"))
    for face in faces:
        pose = face.pose
        print(
            f"face at {face.box.round().astype(int).tolist()}, score {face.score:.3f}: "
            f"yaw {pose.yaw:+.1f}, pitch {pose.pitch:+.1f}, roll {pose.roll:+.1f} degrees"
        )
    print(f"picture: {options.out.resolve()}")
    return 0
