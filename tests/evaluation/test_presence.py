"""Presence: areas of a network that is known, the split that training shares, what goes wrong."""

import io
import json
import tarfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.io

from facegeo.cli import main
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.evaluation.aflw2000 import Aflw2000
from facegeo.evaluation.presence import Backgrounds, evaluate, roc_curve, to_markdown


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture
def faces(tmp_path):
    """Eight bright faces, 60 x 60, in the middle of crops that are their photos' own pixels."""
    count = 8
    points = np.random.default_rng(0).uniform(30, 90, (count, 3, 68)).astype(np.float32)
    points[:, :, 0], points[:, :, 1] = 30, 90
    photo = np.full((120, 120, 3), 60, np.uint8)
    photo[30:90, 30:90] = 220
    names = [f"face{i}.png" for i in range(count)]
    np.savez(
        tmp_path / "annotations.npz",
        names=np.array(names),
        pts68_original=points + 40,
        pts68_reannotated=points[:, :2] + 40,
        roi_box=np.tile(np.array([40, 40, 160, 160]), (count, 1)),
        yaw_deg=np.zeros(count),
    )
    wide = np.full((200, 200, 3), 60, np.uint8)
    wide[40:160, 40:160] = photo
    matrix = io.BytesIO()
    scipy.io.savemat(matrix, {"Pose_Para": np.zeros((1, 7))})
    with (
        tarfile.open(tmp_path / "crops.tar", "w") as crops,
        tarfile.open(tmp_path / "images.tar", "w") as photos,
    ):
        for name in names:
            add(crops, name, png(photo))
            add(photos, name, png(wide))
            add(photos, name.replace("png", "mat"), matrix.getvalue())
    return Aflw2000.open(tmp_path)


@pytest.fixture
def backgrounds(tmp_path):
    """Eleven photos; those held back (0, 5, 10) are dark, the others as bright as faces."""
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    for index in range(11):
        value = 10 if index % 5 == 0 else 220
        (folder / f"{index:02d}.png").write_bytes(png(np.full((90, 140, 3), value, np.uint8)))
    return folder


class Predictor:
    """Presence is how bright the middle of the crop is."""

    card = SimpleNamespace(name="known")
    crop_size = 120

    def predict_crops(self, crops, rois):
        middle = crops[:, 40:80, 40:80].mean(axis=(1, 2, 3)) / 255
        return SimpleNamespace(presence=middle.astype(np.float32))


class Blind(Predictor):
    def predict_crops(self, crops, rois):
        return SimpleNamespace(presence=np.full(len(crops), np.nan, np.float32))


@pytest.mark.parametrize("source", ["crops", "photos"])
def test_areas_of_a_network_that_is_known(faces, backgrounds, source):
    found = Backgrounds.open(backgrounds)
    assert found.names == ("00.png", "05.png", "10.png") and found.of == 11
    report = evaluate(Predictor(), faces, found, source)
    assert report["roc_area"] == {"backgrounds": 1.0, "shifted": 1.0, "turned": 0.5}
    assert report["n"] == 8 and report["n_backgrounds"] == 15
    assert report["median"]["backgrounds"] == pytest.approx(10 / 255, abs=1e-3)
    # Half of the face, 30 pixels, leaves a part of the middle bright.
    assert 0.25 < report["median"]["shifted"] < report["median"]["faces"]
    table = to_markdown(report)
    assert "| 15 background crops | 1.0000 | 0.9950 |" in table
    assert "3 of 11 photos" in table


def test_a_network_that_sees_nothing_has_half_the_area(faces, backgrounds):
    class Constant(Predictor):
        def predict_crops(self, crops, rois):
            return SimpleNamespace(presence=np.ones(len(crops), np.float32))

    report = evaluate(Constant(), faces, Backgrounds.open(backgrounds))
    assert report["roc_area"] == {"backgrounds": 0.5, "shifted": 0.5, "turned": 0.5}


def test_the_curve_encloses_the_area():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 900), rng.normal(0, 1, 150)
    from facegeo.evaluation.measures import roc_area

    curve = roc_curve(positive, negative)
    x, y = np.array(curve["x"]), np.array(curve["y"])
    assert x[0] == 0 and x[-1] == 1 and (np.diff(x) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(roc_area(positive, negative), abs=0.01)


def test_squares_are_the_same_each_time_and_bad_photos_are_counted(backgrounds, caplog):
    first = Backgrounds.open(backgrounds)
    assert np.array_equal(first.crops, Backgrounds.open(backgrounds).crops)
    (backgrounds / "05.png").write_bytes(b"no picture")
    found = Backgrounds.open(backgrounds)
    assert found.names == ("00.png", "10.png") and found.left_out == 1
    assert "05.png: not an image that can be decoded" in caplog.text
    for name in ("00.png", "10.png"):
        (backgrounds / name).write_bytes(b"")
    with pytest.raises(CorruptFileError, match="none of 3 held-back"):
        Backgrounds.open(backgrounds)


def test_a_model_without_presence_is_refused(faces, backgrounds):
    with pytest.raises(InvalidInputError, match="'known' has no presence output"):
        evaluate(Blind(), faces, Backgrounds.open(backgrounds))


def test_the_command_says_that_the_released_model_has_none(models, faces, backgrounds, capsys):
    arguments = ["--data", str(faces.folder), "--backgrounds", str(backgrounds)]
    assert main(["eval", "presence", *arguments, "--model", "mb05", "--json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "'mb05' has no presence output" in line


def test_training_leaves_the_held_back_photos_out(backgrounds):
    pytest.importorskip("torch")
    from facegeo.synthetic.negatives import held_back_backgrounds, training_backgrounds
    from facegeo.training.detector.sources import read_backgrounds

    held_back = {"00.png", "05.png", "10.png"}
    names = set(training_backgrounds(str(backgrounds)).names)
    assert len(names) == 8 and not names & held_back
    archive = backgrounds.parent / "backgrounds.tar"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(backgrounds.iterdir(), reverse=True):
            tar.add(path, path.name)
    assert set(training_backgrounds(str(archive)).names) == names
    trained, photos = read_backgrounds(archive)
    assert set(trained) == names and all(photo.mean() == 220 for photo in photos)
    assert set(held_back_backgrounds(archive).names) == held_back


def test_the_report_is_plain_numbers(faces, backgrounds):
    report = evaluate(Predictor(), faces, Backgrounds.open(backgrounds))
    assert json.loads(json.dumps(report)) == report
