"""A photo as 3DDFA_V2 works on it, for comparison: its networks, and its mesh in NumPy.

FaceBoxes in float32, the face resized, MobileNetV1 x1 in float32, the product with the dense bases
of its face model's size; each in the fastest form that upstream has, ONNX Runtime and float32
matrices. Weights of MobileNetV1 and of the face model are random: time does not depend on them.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo import crop
from facegeo.bench.mesh import numpy_baseline, random_faces, random_model
from facegeo.bench.timing import Job
from facegeo.detect import open_detector

#: Vertices of 3DDFA_V2's face model without neck and ears.
VERTICES = 38_365


def upstream_job(photo: np.ndarray) -> Job:
    """What takes as long as upstream's demo for one face of a photo, drawing left out.

    Raises
    ------
    ModelNotFoundError
        If FaceBoxes is not installed.
    DependencyMissingError
        Without PyTorch, which writes MobileNetV1 as ONNX.
    """
    import onnxruntime

    detector = open_detector("faceboxes", device="cpu")
    session = onnxruntime.InferenceSession(_mobilenet(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    mean, bases = random_model(rng, VERTICES, 50)
    out = np.empty((1, VERTICES, 3), np.float32)
    mesh = numpy_baseline(mean, bases, *random_faces(rng, 1, 50), out)
    side = (crop.CROP_SIZE, crop.CROP_SIZE)

    def work() -> None:
        roi = crop.rois_from_boxes(detector(photo).boxes[:1])[0].round().astype(int)
        x0, y0, x1, y1 = np.maximum(roi, 0)
        face = cv2.resize(photo[y0:y1, x0:x1], side, interpolation=cv2.INTER_LINEAR)
        session.run(None, {"crops": face[None]})
        mesh()

    return work


def _mobilenet() -> bytes:
    from facegeo.exporting import regressor_onnx, require_torch

    require_torch("the comparison with upstream's network")
    from facegeo.networks.mobilenet_v1 import MobileNetV1
    from facegeo.networks.regressor import ParameterRegressor

    network = ParameterRegressor(MobileNetV1(1.0, 62), crop.convention("3ddfa"))
    return regressor_onnx(network.eval(), checks=())
