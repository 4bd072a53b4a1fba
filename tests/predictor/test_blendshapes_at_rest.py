"""Expressions of real faces whose mouths are shut: hardly any, as ARKit means 0."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.morphable_data import shared

from facegeo import FaceGeometry
from facegeo.geometry.crop import resized_crops
from facegeo.images.collections import decoded, open_images
from facegeo.morphable import MorphableModel
from facegeo.morphable.following import follow_landmarks


@pytest.mark.parametrize("model", ["synergy-mbv2", "synergy-fast"])
def test_faces_with_shut_lips_have_hardly_any_expression(model):
    with np.load(shared("data", "labels", "validation_merl.npz")) as labels:
        manual, state, yaw = labels["pts68"], labels["state"], labels["yaw_deg"]
    with np.load(shared("data", "labels", "validation.npz")) as labels:
        names = labels["names"]
    size = np.sqrt(np.prod(np.ptp(manual, axis=1), axis=1))
    gap = np.linalg.norm(manual[:, [61, 62, 63]] - manual[:, [67, 66, 65]], axis=2).mean(axis=1)
    frontal = np.flatnonzero((state < 2).all(axis=1) & (np.abs(yaw) < 25))
    shut = frontal[gap[frontal] < 0.012 * size[frontal]][:80]
    images = open_images(shared("data", "aflw_train", "crops.tar"))
    rows = [images.names.index(name) for name in names[shut]]
    photos = np.stack(list(decoded(images, rows)))
    predictor = FaceGeometry(model, detector=None, device="cpu")
    crops = resized_crops(photos, predictor.crop_size)
    rois = np.tile(np.array([0, 0, 120, 120], np.float32), (len(crops), 1))
    faces = predictor.predict_crops(crops, rois)
    head = MorphableModel.default()
    columns = faces.landmarks, faces.shape, faces.expression, faces.affine
    found = follow_landmarks(head.landmark_basis, *columns).expression
    for expression in (faces.expression, found):
        mean = dict(zip(head.expression_names, expression.mean(axis=0), strict=True))
        assert max(mean.values()) < 0.2, max(mean, key=mean.get)
        assert expression.mean() < 0.04
