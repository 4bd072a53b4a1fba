"""The protocol gives upstream's published figures."""

import io
import json
import tarfile

import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation.aflw2000 import Aflw2000, evaluate


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
    from facegeo.crop import CONVENTIONS, crop_to_photo, photo_to_crop
    from facegeo.evaluation.aflw2000 import predict
    from facegeo.evaluation.measures import by_yaw, normalised_mean_error

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
    with pytest.raises(CorruptFileError, match=r"a\.jpg"):
        data.crops()
