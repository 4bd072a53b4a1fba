"""What chooses: errors at manual points, eyes, visibility and ellipses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from facegeo.errors import CorruptFileError
from facegeo.training.data.datasets import write_labels
from facegeo.training.landmarks import validation
from facegeo.training.landmarks.validation import ValidationSet


@pytest.fixture
def known(faces):
    points = faces.landmarks[..., :2].copy()
    states = np.zeros((16, 68), np.uint8)
    points[:, :5], states[:, :5] = np.nan, 2
    return dataclasses.replace(faces, manual_points=points, visibility=states)


def measured(monkeypatch, faces, offset=(0.0, 0.0), **outputs):
    monkeypatch.setattr(validation, "predict", lambda *_: outputs)
    crops = np.zeros((16, 120, 120, 3), np.uint8)
    return ValidationSet(faces, crops, offset).measure(None, torch.device("cpu"))


def test_errors_are_those_of_the_points_that_were_set(monkeypatch, known):
    found = known.landmarks.copy()
    found[:, :5] += 50  # nobody knows where these are
    assert measured(monkeypatch, known, landmarks=found)["nme"] == pytest.approx(0, abs=1e-6)
    found[:, 5:, 0] += 2
    report = measured(monkeypatch, known, landmarks=found)
    size = np.sqrt(np.ptp(known.landmarks[..., :2], axis=1).prod(axis=1))
    assert 0.7 * 200 / size.mean() < report["nme"] < 1.4 * 200 / size.mean()
    # Labels that are moved by two pixels teach a network to answer so.
    moved = measured(monkeypatch, known, (2.0, 0.0), landmarks=found)
    assert moved["nme"] == pytest.approx(0, abs=1e-5)
    assert report["eyes"] == pytest.approx(1)
    # None of these faces looks to the side by more than 60 degrees.
    assert "nme_60-90" not in report and np.isfinite(list(report.values())).all()


def test_eyes_that_do_not_follow_the_lids_are_seen(monkeypatch, known):
    found = known.landmarks.copy()
    found[:, 36:48] = found[:, 36:48].mean(axis=0)  # the same in every face
    assert measured(monkeypatch, known, landmarks=found)["eyes"] == 0


def test_visibility_and_ellipses_are_measured(monkeypatch, known):
    rng = np.random.default_rng(0)
    found = known.landmarks.copy()
    found[..., :2] += rng.normal(0, 3, (16, 68, 2)).astype(np.float32)
    covariance = np.tile(np.array([9.0, 0, 9.0]), (16, 68, 1))
    visibility = np.full((16, 68), 0.9)
    visibility[:, :5] = 0.2
    outputs = {"landmarks": found, "covariance": covariance, "visibility": visibility}
    report = measured(monkeypatch, known, **outputs)
    assert report["visibility_auc"] == 1
    assert report["within_90"] == pytest.approx(0.9, abs=0.03)


def test_labels_without_manual_points_are_refused(tmp_path, model):
    from helpers.training_data import write_faces

    write_faces(tmp_path / "faces", model, 2)
    with pytest.raises(CorruptFileError, match=r"data\.validation.*manual points"):
        ValidationSet.open(tmp_path / "faces" / "labels.npz", tmp_path / "faces" / "crops", (0, 0))


def test_faces_without_points_are_left_out_and_sets_told_apart(tmp_path, model, known):
    for folder, missing in (("one", 6), ("two", 0), ("none", 16)):
        points = known.manual_points.copy()
        points[:missing] = np.nan
        names = [f"face{i:02d}.png" for i in range(16)]
        more = {"visibility": known.visibility, "manual_points": points}
        where = tmp_path / folder / "labels.npz"
        where.parent.mkdir()
        write_labels(where, names, known.params, known.landmarks, model.name, **more)
    crops = [str(known.pictures._images.folder)] * 2
    paths = [str(tmp_path / folder / "labels.npz") for folder in ("one", "two")]
    sets = validation.open_validation(paths, crops, (0.0, 0.0))
    assert [len(one.crops) for one in sets.values()] == [10, 16]
    assert [*sets] == [f"validation/{tmp_path.as_posix()}/{name}/labels" for name in ("one", "two")]
    assert [*validation.open_validation(paths[:1], crops[:1], (0.0, 0.0))] == ["validation/labels"]
    with pytest.raises(CorruptFileError, match="manual points"):
        ValidationSet.open(tmp_path / "none" / "labels.npz", crops[0], (0, 0))
