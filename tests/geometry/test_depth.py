"""Depth is counted from the eyes, whatever the network and wherever its crop lay."""

from __future__ import annotations

import numpy as np

from facegeo import FaceGeometry
from facegeo.conventions import DEPTH_ORIGIN, LANDMARK_REGIONS
from facegeo.geometry.depth import from_eyes
from facegeo.images.demo import sample_photo

BOX = np.array([181.0, 60, 270, 172])


def test_the_origin_is_the_outer_corners():
    assert (LANDMARK_REGIONS["right_eye"][0], LANDMARK_REGIONS["left_eye"][3]) == DEPTH_ORIGIN
    points = np.random.default_rng(0).normal(0, 9, (3, 68, 3)).astype(np.float32)
    moved, depths = from_eyes(points)
    np.testing.assert_allclose(depths, (points[:, 36, 2] + points[:, 45, 2]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(moved[..., :2], points[..., :2])
    np.testing.assert_allclose(moved[:, [36, 45], 2].mean(axis=1), 0, atol=1e-5)


def test_landmarks_coarse_landmarks_and_mesh_begin_at_the_eyes():
    predictor = FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")
    (face,) = predictor(sample_photo(), boxes=BOX)
    rows = predictor.mesh_source.morphable.landmark_rows
    assert abs(face.landmarks[[36, 45], 2].mean()) < 1e-3
    assert abs(face.coarse_landmarks[[36, 45], 2].mean()) < 1e-3
    assert np.abs(face.coarse_mesh.vertices[rows] - face.coarse_landmarks).max() < 1e-2
    where = {"rois": face.roi[None], "rotations": np.array([face.roi_rotation])}
    vertices = predictor.reconstruct(face.params[None], **where)[0]
    np.testing.assert_allclose(vertices, face.coarse_mesh.vertices, atol=1e-2)
    # The nose stands before the eyes and the jaw's ends lie behind them.
    assert face.landmarks[30, 2] > 5 > -5 > face.landmarks[[0, 16], 2].max()


def test_depth_hardly_moves_with_the_box():
    """It moved by 5 to 21 pixels once."""
    predictor = FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32", recrop=False)
    photo = sample_photo()
    (expected,) = predictor(photo, boxes=BOX)
    middle, half = (BOX[:2] + BOX[2:]) / 2, (BOX[2:] - BOX[:2]) / 2
    for factor in (0.85, 1.2):
        box = np.concatenate([middle - factor * half, middle + factor * half])
        (face,) = predictor(photo, boxes=box)
        assert np.abs(face.landmarks[:, 2] - expected.landmarks[:, 2]).mean() < 3
