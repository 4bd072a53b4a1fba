"""Make the pictures of the documentation from the sample photo.

python docs/make_pictures.py
"""

from pathlib import Path

import cv2
import numpy as np

from facegeo import FaceGeometry
from facegeo.dense import dense_faces
from facegeo.draw import annotate
from facegeo.files import write_bytes
from facegeo.images import encode_photo
from facegeo.raster import draw_mesh
from facegeo.sample import sample_photo

_IMAGES = Path(__file__).parent / "images"


def main() -> None:
    part = np.ascontiguousarray(sample_photo()[:280, 110:350])
    photo = cv2.resize(part, None, fx=2.4, fy=2.4, interpolation=cv2.INTER_CUBIC)
    faces = FaceGeometry()(photo)
    dense = dense_faces(faces)
    flat = annotate(photo, faces, ["landmarks", "pose"])
    mesh = draw_mesh(photo, dense.vertices, dense.model.triangles)
    picture = np.concatenate([flat, mesh], axis=1)
    write_bytes(_IMAGES / "demo.jpg", encode_photo(picture, ".jpg"))


if __name__ == "__main__":
    main()
