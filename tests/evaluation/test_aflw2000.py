"""The protocol gives upstream's published figures."""

import io
import json
import tarfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.io

from facegeo import FaceGeometry
from facegeo.errors import CorruptFileError, InvalidImageError, UnreadableFileError
from facegeo.evaluation.aflw2000 import Aflw2000, evaluate, to_markdown


@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_figures_of_the_released_weights(models, dev, shared, backend):
    reference = json.loads((shared / "reference/mb05_aflw2000_dev_metrics.json").read_text())
    report = evaluate(FaceGeometry("mb05", backend=backend), dev)
    assert report["n"] == 500
    for points in ("original", "reannotated"):
        assert report["nme_percent"][points] == pytest.approx(
            reference[f"nme_percent_{points}"], abs=0.005
        )
    assert report["pose_mae_deg"] == pytest.approx(reference["pose_mae_deg"], abs=0.005)


def test_figures_from_photos_cropped_afresh(predictor, dev):
    report = evaluate(predictor, dev, "photos")
    assert report["nme_percent"]["original"]["mean_of_bins"] == pytest.approx(3.75, abs=0.01)


def test_undoing_the_resize_exactly_lowers_the_error_of_the_released_weights(predictor, dev):
    """What the crop convention is about: half a pixel of the crop."""
    from facegeo.evaluation.aflw2000 import predict
    from facegeo.evaluation.measures import by_yaw, normalised_mean_error
    from facegeo.geometry.crop import CONVENTIONS, crop_to_photo, photo_to_crop

    batch = predict(predictor, dev, "photos")
    in_crop = photo_to_crop(batch.landmarks, dev.rois, CONVENTIONS["3ddfa"])
    points = crop_to_photo(in_crop, dev.rois, CONVENTIONS["exact"])[:, :, :2]
    error = by_yaw(normalised_mean_error(points, dev.original), dev.yaw_deg)
    assert error["mean_of_bins"] == pytest.approx(3.66, abs=0.01)


def folder_of(path, **changes):
    """A data folder of one face, with some arrays changed or left out."""
    arrays = {
        "names": np.array(["a.jpg"]),
        "pts68_original": np.zeros((1, 3, 68), np.float32),
        "pts68_reannotated": np.zeros((1, 2, 68), np.float32),
        "roi_box": np.zeros((1, 4), np.float32),
        "yaw_deg": np.zeros(1, np.float32),
    } | changes
    np.savez(path / "annotations.npz", **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"roi_box": None}, "roi_box"), ({"yaw_deg": np.zeros(3)}, "yaw_deg has shape")],
)
def test_wrong_annotations_are_named(tmp_path, changes, message):
    with pytest.raises(CorruptFileError, match=message):
        Aflw2000.open(folder_of(tmp_path, **changes))


def test_missing_and_damaged_archives_are_named(tmp_path):
    with pytest.raises(UnreadableFileError, match="annotations"):
        Aflw2000.open(tmp_path)
    data = Aflw2000.open(folder_of(tmp_path))
    with pytest.raises(UnreadableFileError, match=r"crops\.tar"):
        data.crops()
    with tarfile.open(tmp_path / "crops.tar", "w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"text"))
    with pytest.raises(InvalidImageError, match=r"a\.jpg"):
        data.crops()


def archive_of(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def mat(**content):
    file = io.BytesIO()
    scipy.io.savemat(file, content)
    return file.getvalue()


def picture(side):
    return cv2.imencode(".png", np.zeros((side, side, 3), np.uint8))[1].tobytes()


class Predictor:
    """Every landmark at (3, 4); the crops that it saw."""

    crop_size = 120

    def predict_crops(self, crops, rois):
        self.seen = len(crops)
        assert len(rois) == len(crops)
        landmarks = np.tile(np.array([3.0, 4, 0]), (len(crops), 68, 1))
        params = np.zeros((len(crops), 62), np.float32)
        params[:, :12] = np.eye(3, 4).reshape(-1)
        return SimpleNamespace(
            landmarks=landmarks, params=params, angles_deg=np.tile([6.0, 0, 0], (len(crops), 1))
        )


@pytest.mark.parametrize("source", ["crops", "photos"])
def test_bad_samples_are_named_and_counted(tmp_path, caplog, source):
    """Of seven faces two can be used: one of them has yaw 12, the other yaw 0."""
    names = [f"{name}.png" for name in "abcdefg"]
    points = np.zeros((7, 3, 68))
    points[:, :2, 0] = 100  # a box of 100 x 100
    points[6, 0, 5] = np.nan
    data = {
        "names": np.array(names),
        "pts68_original": points,
        "pts68_reannotated": points[:, :2],
        "roi_box": np.tile([0, 0, 120, 120], (7, 1)),
        "yaw_deg": np.zeros(7),
    }
    good = mat(Pose_Para=np.zeros((1, 7)))
    turned = mat(Pose_Para=np.radians([[0, 12, 0, 0, 0, 0, 0]]))
    annotations = {
        "a.mat": good, "b.mat": good, "c.mat": turned, "d.mat": mat(Other=1), "e.mat": b"no mat",
        "g.mat": good,
    }  # fmt: skip
    photos = {name: picture(120) for name in names} | {"b.png": b"no picture"}
    archive_of(tmp_path / "crops.tar", photos)
    archive_of(tmp_path / "images.tar", photos | annotations)
    predictor = Predictor()
    report = evaluate(predictor, Aflw2000.open(folder_of(tmp_path, **data)), source)
    assert (report["n"], report["left_out"], predictor.seen) == (2, 5, 2)
    assert report["pose_mae_deg_exact"]["yaw"] == pytest.approx(6)
    for text in ("b.png", "d.mat has no usable", "e.mat", "holds no f.mat", "g.png", "5 samples"):
        assert text in caplog.text
    assert "could not be used: 5." in to_markdown(report)
    archive_of(tmp_path / "crops.tar", {name: picture(60) for name in names})
    if source == "crops":
        with pytest.raises(CorruptFileError, match="none of 7"):
            evaluate(predictor, Aflw2000.open(tmp_path), source)
        assert "a.png is 60x60" in caplog.text
