"""Make the pictures of the documentation: from the sample photo and the face model.

python docs/make_pictures.py [demo] [axes] [landmarks68] [pixels] [turned] [rendered]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from tools import convention_pictures, training_pictures

from facegeo import FaceGeometry
from facegeo.base.files import write_bytes
from facegeo.images import encode_photo
from facegeo.images.demo import sample_photo
from facegeo.render import draw_mesh
from facegeo.render.annotate import annotate
from facegeo.surface.dense import dense_faces

_IMAGES = Path(__file__).parent / "images"


def demo() -> np.ndarray:
    """Picture of what the predictor finds in a photo: landmarks and pose, and the dense mesh."""
    part = np.ascontiguousarray(sample_photo()[:280, 110:350])
    photo = cv2.resize(part, None, fx=2.4, fy=2.4, interpolation=cv2.INTER_CUBIC)
    faces = FaceGeometry()(photo)
    dense = dense_faces(faces)
    flat = annotate(photo, faces, ["landmarks", "pose"])
    mesh = draw_mesh(photo, dense.vertices, dense.model.triangles)
    return np.concatenate([flat, mesh], axis=1)


#: File -> what draws it.
PICTURES = {
    "demo.jpg": demo,
    "axes.jpg": convention_pictures.axes_picture,
    "landmarks68.jpg": convention_pictures.landmarks_picture,
    "pixels.jpg": convention_pictures.pixels_picture,
    "turned.jpg": training_pictures.turned_picture,
    "rendered.jpg": training_pictures.rendered_picture,
}


def main(wanted: list[str]) -> None:
    """Draw all, or those that are named without their ending."""
    for name, draw in PICTURES.items():
        if not wanted or Path(name).stem in wanted:
            write_bytes(_IMAGES / name, encode_photo(draw(), Path(name).suffix))


if __name__ == "__main__":
    main(sys.argv[1:])
