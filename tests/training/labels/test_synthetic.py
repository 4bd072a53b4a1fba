"""Drawn faces: labelled right, says a network that knows nothing of how they were drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facegeo import FaceGeometry, MorphableModel
from facegeo.cli import main
from facegeo.errors import InvalidInputError
from facegeo.evaluation.measures import normalised_mean_error
from facegeo.geometry.crop import crop_faces, rois_from_landmarks
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine, euler_from_rotation
from facegeo.training.data.datasets import landmarks_of, read_labelled
from facegeo.training.labels.synthetic import CONVENTION, FacePainter


@pytest.fixture(scope="module")
def painter() -> FacePainter:
    return FacePainter(MorphableModel.default())


@pytest.fixture(scope="module")
def drawn(painter):
    return painter.draw(60, seed=3)


def test_a_network_that_learnt_from_photos_finds_the_landmarks_where_the_labels_are(drawn):
    predictor = FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")
    rois = rois_from_landmarks(drawn.landmarks)
    found = np.concatenate(
        [
            predictor.predict_crops(
                crop_faces(crop, roi[None], predictor.crop_size), roi[None]
            ).landmarks
            for crop, roi in zip(drawn.crops, rois, strict=True)
        ]
    )
    errors = normalised_mean_error(found[..., :2], drawn.landmarks[..., :2])
    assert np.median(errors) < 5.0  # percent of the face's size


def test_faces_vary_and_fill_their_crops(drawn):
    _, rotation, _ = decompose_affine(split(drawn.params).pose)
    angles = euler_from_rotation(rotation)
    assert (np.ptp(angles, axis=0) > (80, 30, 30)).all()
    assert (np.abs(angles) < (65, 40, 40)).all()
    rois = rois_from_landmarks(drawn.landmarks)
    sides, middles = rois[:, 2] - rois[:, 0], (rois[:, :2] + rois[:, 2:]) / 2
    assert np.abs(sides - 120).mean() < 10 and np.abs(middles - 60).mean() < 5
    assert drawn.crops.reshape(60, -1).mean(axis=1).std() > 10  # light and background


def test_labels_are_of_the_face_model(drawn):
    points = landmarks_of(drawn.params, MorphableModel.default(), CONVENTION)
    np.testing.assert_allclose(points, drawn.landmarks, atol=1e-4)


def test_a_face_is_the_same_whatever_the_count(painter, drawn):
    again = painter.draw(2, seed=3)
    np.testing.assert_array_equal(again.crops, drawn.crops[:2])
    assert not np.array_equal(painter.draw(1, seed=4).crops, drawn.crops[:1])
    with pytest.raises(InvalidInputError, match="count"):
        painter.draw(0)


def test_the_command_writes_what_training_reads(tmp_path, capsys):
    assert main(["label", "synthetic", str(tmp_path / "faces"), "--count", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    faces = read_labelled(report["labels"], report["pictures"])
    assert len(faces) == report["faces"] == 3
    assert faces.morphable_model == "facegeo-head" and faces.skipped == 0
