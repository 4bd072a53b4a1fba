"""A photo as 3DDFA_V2 works on it, for comparison: its networks, and its mesh in NumPy.

FaceBoxes in float32, the face cut out and resized, MobileNetV1 x1 in float32, the product with the
dense bases of its face model's size; each in the fastest form that upstream has, ONNX Runtime and
float32 matrices. Where facegeo's own code is faster than upstream's it is used for both: sessions
whose threads do not hinder each other, anchors and boxes, a mesh in buffers that exist. Weights of
MobileNetV1 and of the face model are random: time does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from facegeo.backends import open_graph
from facegeo.bench.mesh import numpy_baseline, random_faces, random_model
from facegeo.bench.timing import Job
from facegeo.detect.faceboxes import FaceBoxesDetector
from facegeo.errors import InvalidInputError
from facegeo.geometry import crop
from facegeo.zoo.store import find

#: Vertices of 3DDFA_V2's face model without neck and ears.
VERTICES = 38_365


@dataclass(frozen=True)
class Upstream:
    """Work that takes as long as upstream's demo for one face of a photo, drawing left out.

    Attributes
    ----------
    whole : callable
        All of it.
    parts : dict of str to callable
        ``detector``, ``network`` and ``mesh``, each alone.
    """

    whole: Job
    parts: dict[str, Job]


def upstream_work(image: np.ndarray) -> Upstream:
    """The work for one photo.

    Raises
    ------
    ModelNotFoundError
        If FaceBoxes is not installed.
    DependencyMissingError
        Without PyTorch, which writes MobileNetV1 as ONNX.
    InvalidInputError
        If FaceBoxes finds no face in the photo: there is nothing to compare then.
    """
    detector = FaceBoxesDetector(find("faceboxes", "detection"), device="cpu", precision="fp32")
    if len(detector(image)) == 0:
        raise InvalidInputError("photo: expected one with a face; FaceBoxes finds none")
    network = open_graph(_mobilenet())
    rng = np.random.default_rng(0)
    mean, bases = random_model(rng, VERTICES, 50)
    out = np.empty((1, VERTICES, 3), np.float32)
    mesh = numpy_baseline(mean, bases, *random_faces(rng, 1, 50), out)
    side = (crop.CROP_SIZE, crop.CROP_SIZE)

    def face() -> np.ndarray:
        roi = (
            crop.rois_from_boxes(detector(image).boxes[:1], crop.find_convention("3ddfa"))[0]
            .round()
            .astype(int)
        )
        x0, y0, x1, y1 = np.maximum(roi, 0)
        return cv2.resize(image[y0:y1, x0:x1], side, interpolation=cv2.INTER_LINEAR)[None]

    def whole() -> None:
        network.run({"crops": face()})
        mesh()

    parts: dict[str, Job] = {
        "detector": partial(detector, image),
        "network": partial(network.run, {"crops": face()}),
        "mesh": mesh,
    }
    return Upstream(whole, parts)


def _mobilenet() -> bytes:
    from facegeo.base.optional import require_torch
    from facegeo.export.to_onnx import regressor_onnx

    require_torch("the comparison with upstream's network")
    from facegeo.networks.backbones.mobilenet_v1 import MobileNetV1
    from facegeo.networks.regressor import ParameterRegressor

    network = ParameterRegressor(MobileNetV1(1.0, 62), crop.find_convention("3ddfa"))
    return regressor_onnx(network.eval(), checks=())
