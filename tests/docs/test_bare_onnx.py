"""The example on the page on engines that runs a network without facegeo: same points."""

from __future__ import annotations

import re

import cv2
import numpy as np
from helpers.shared_material import REPOSITORY

from facegeo import FaceGeometry
from facegeo.geometry.crop import crop_faces

#: Photo pixels.
TOLERANCE_PX = 0.01


def example() -> str:
    page = (REPOSITORY / "docs" / "engines.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return code


def test_the_bare_example_agrees_with_the_package(sample_photo, tmp_path, monkeypatch):
    face = np.ascontiguousarray(sample_photo[:320, 60:380])
    cv2.imwrite(str(tmp_path / "photo.jpg"), face)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example(), "engines.md", "exec"), names)  # noqa: S102 - code of our own page
    roi = np.float32([[names[key] for key in ("x0", "y0", "x1", "y1")]])
    predictor = FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")
    crops = crop_faces(names["photo"], roi, predictor.crop_size)
    points = predictor.predict_crops(crops, roi).landmarks[0, :, :2]
    assert names["landmarks"].shape == (68, 2)
    assert np.abs(names["landmarks"] - points).max() < TOLERANCE_PX
    # And it is a face that was measured: the detector finds the same one there.
    (found,) = predictor(names["photo"])
    away = np.linalg.norm(found.landmarks[:, :2] - names["landmarks"], axis=1)
    assert away.mean() < 0.03 * np.ptp(names["landmarks"], axis=0).mean()


def test_the_bare_example_is_short_and_bare():
    lines = [line for line in example().splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    assert "import facegeo" not in example() and "from facegeo" not in example()
