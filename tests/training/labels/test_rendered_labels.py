"""Label files of rendered faces: read as others are, joined with others, the same for a seed."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

from facegeo.cli import main
from facegeo.conventions import LANDMARK_REGIONS
from facegeo.errors import InvalidInputError
from facegeo.images.collections import open_images
from facegeo.morphable import MorphableModel
from facegeo.synthetic.expressions import EYE_SHAPES
from facegeo.training.data.datasets import landmarks_of, read_labelled
from facegeo.training.data.joining import joined
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN
from facegeo.training.labels.rendered import CONVENTION, KINDS, RenderedRows, write_rendered
from facegeo.training.labels.synthetic import write_synthetic
from facegeo.zoo.face_models import load_face_model

EYES = [*LANDMARK_REGIONS["right_eye"], *LANDMARK_REGIONS["left_eye"]]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_face_model("default", detail="low")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn faces in place of photos, and backgrounds of noise."""
    folder = tmp_path_factory.mktemp("faces")
    write_synthetic(folder, 24, seed=1)
    rng = np.random.default_rng(0)
    (folder / "backgrounds").mkdir()
    for number in range(6):
        noise = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "backgrounds" / f"{number}.png"), noise)
    return folder


@pytest.fixture(scope="module")
def photos(folder):
    return read_labelled(folder / "labels.npz", folder / "crops.tar")


@pytest.fixture(scope="module")
def backgrounds(folder):
    return open_images(folder / "backgrounds")


@pytest.fixture(scope="module")
def rows(photos, model, backgrounds) -> RenderedRows:
    return RenderedRows(photos, model, backgrounds)


@pytest.fixture(scope="module")
def written(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    report = write_rendered(folder, rows, 12)
    return report, read_labelled(report["labels"], report["pictures"])


def test_what_is_written_is_read_with_its_truth(rows, written):
    report, faces = written
    assert [report[kind] for kind in ("faces", *KINDS)] == [12, 4, 2, 6]
    assert len(faces) == 12 and faces.skipped == 0 and faces.morphable_model == "facegeo-head"
    assert faces.gaze is not None and faces.exact_expression is not None
    assert np.linalg.norm(faces.gaze, axis=2) == pytest.approx(np.ones((12, 2)), abs=1e-4)
    known = {SEEN, COVERED, TURNED_AWAY, UNKNOWN}
    assert set(np.unique(faces.visibility).tolist()) <= known
    eyes_only = np.isin(MorphableModel.default().expression_names, EYE_SHAPES)
    for number in range(12):
        kind = rows.kind(number)
        assert (faces.exact_expression[number] == (eyes_only if kind == "eyes" else True)).all()
        drawn = np.flatnonzero(faces.manual[number])
        assert set(EYES) <= set(drawn.tolist())
        assert len(drawn) == {"alone": 68, "photos": 32, "eyes": 12}[kind]
        assert UNKNOWN not in faces.visibility[number, drawn]
    exact = landmarks_of(faces.params, MorphableModel.default(), CONVENTION)
    assert faces.landmarks[:, EYES] == pytest.approx(exact[:, EYES], abs=1e-2)


def test_a_number_and_a_seed_make_one_face(rows, photos, model, backgrounds):
    # In another order, by other rows.
    again = RenderedRows(photos, model, backgrounds)
    for number in (5, 2, 0):
        first, second = rows(number), again(number)
        for field in dataclasses.fields(first):
            assert np.array_equal(getattr(first, field.name), getattr(second, field.name))
    other = RenderedRows(photos, model, backgrounds, seed=1)
    assert not np.array_equal(other(0).crop, rows(0).crop)


def test_a_set_without_gaze_is_joined_with_one_that_has_it(photos, written):
    both = joined([photos, written[1]])
    assert np.isnan(both.gaze[: len(photos)]).all() and np.isfinite(both.gaze[len(photos) :]).all()
    assert not both.exact_expression[: len(photos)].any()
    assert both.visibility.shape == (36, 68) and (both.visibility[:24] == UNKNOWN).all()


def test_photos_with_covered_features_and_profiles_lend_nothing(photos, model, backgrounds):
    visibility = np.full((len(photos), 68), SEEN, np.uint8)
    visibility[:, 40] = COVERED
    covered = dataclasses.replace(photos, visibility=visibility)
    with pytest.raises(InvalidInputError, match="none of 24"):
        RenderedRows(covered, model, backgrounds)
    # A hand on the chin is none of the features.
    visibility[:, 40], visibility[:, 8] = SEEN, COVERED
    rows = RenderedRows(covered, model, backgrounds, only="photos")
    assert rows(0).visibility[8] == COVERED


def test_labels_of_another_model_and_models_without_eyes_are_refused(photos, model, backgrounds):
    with pytest.raises(InvalidInputError, match="expected labels of facegeo-head"):
        other = dataclasses.replace(photos, morphable_model="other")
        RenderedRows(other, model, backgrounds)
    blind = dataclasses.replace(MorphableModel.default(), eyes=None)
    with pytest.raises(InvalidInputError, match="has no eyes"):
        RenderedRows(photos, blind, backgrounds)


def test_the_command_draws_one_kind_with_workers(folder, tmp_path, capsys):
    command = ["label", "rendered", str(tmp_path / "out"), "--count", "3", "--only", "eyes"]
    command += ["--faces", str(folder / "labels.npz"), "--pictures", str(folder / "crops.tar")]
    command += ["--backgrounds", str(folder / "backgrounds"), "--seed", "2"]
    assert main([*command, "--workers", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["eyes"] == report["faces"] == 3
    assert len(read_labelled(report["labels"], report["pictures"])) == 3
