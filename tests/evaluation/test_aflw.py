"""AFLW with 21 points: both layouts, bad samples, and figures worked out by hand."""

import tarfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from facegeo.conventions import AFLW21_FROM_68
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation.aflw import AflwCrops, evaluate, to_markdown
from facegeo.evaluation.measures import points_21

YAW = np.array([5.0, -40.0, 80.0, 10.0], np.float32)
#: By how many pixels each face is predicted too far to the right.
MISSED = np.array([2.0, 4.0, 6.0, 2.0])


def truth_68(count=4):
    """68 points in a box of 100 x 64 photo pixels: the root of its area is 80."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0.1, 0.9, (count, 68, 2))
    points[:, 0], points[:, 1] = 0, 1
    return points * (100, 64) + (200, 100)


def points_of_21():
    points = points_21(truth_68()).transpose(0, 2, 1).astype(np.float32)
    points[0, 0, 3] = -1  # not visible; its y is whatever it is
    points[0, 1, 3] = 452
    return points


def picture(value):
    return cv2.imencode(".png", np.full((120, 120, 3), value, np.uint8))[1].tobytes()


class Predictor:
    """Knows the truth by the crop's brightness and misses it by so many pixels."""

    crop_size = 120

    def predict_crops(self, crops, rois):
        index = crops[:, 0, 0, 0].astype(int)
        landmarks = np.zeros((len(crops), 68, 3))
        landmarks[..., :2] = truth_68()[index]
        landmarks[..., 0] += MISSED[index, None]
        return SimpleNamespace(landmarks=landmarks)


@pytest.fixture
def archive(tmp_path):
    """The layout of one archive and one file of arrays."""
    (tmp_path / "pictures").mkdir()
    names = [f"image{i}.png" for i in range(4)]
    for index, name in enumerate(names):
        (tmp_path / "pictures" / name).write_bytes(picture(index))
    with tarfile.open(tmp_path / "crops.tar", "w") as tar:
        for name in names:
            tar.add(tmp_path / "pictures" / name, name)
    rois = np.tile(np.array([200, 100, 300, 200], np.uint16), (4, 1))
    arrays = {"names": np.array(names), "pts21": points_of_21(), "roi_box": rois, "yaw_deg": YAW}
    np.savez(tmp_path / "annotations.npz", **arrays)
    return tmp_path


@pytest.fixture
def upstream(tmp_path):
    """3DDFA's layout."""
    pictures, configs = tmp_path / "test.data/AFLW_GT_crop", tmp_path / "test.configs"
    pictures.mkdir(parents=True)
    configs.mkdir()
    names = [f"image{i}.png" for i in range(4)]
    for index, name in enumerate(names):
        (pictures / name).write_bytes(picture(index))
    (tmp_path / "test.data/AFLW_GT_crop.list").write_text("\n".join(names) + "\n")
    np.save(configs / "AFLW_GT_crop_roi_box.npy", np.tile(np.float32([0, 0, 120, 120]), (4, 1)))
    np.save(configs / "AFLW_GT_crop_yaws.npy", YAW)
    np.save(configs / "AFLW_GT_pts21.npy", points_of_21())
    np.save(configs / "AFLW_GT_pts68.npy", 2 * truth_68().transpose(0, 2, 1))
    return tmp_path


def test_the_mapping_takes_means_of_the_68():
    points = np.arange(68.0)[:, None] * np.ones((1, 2))
    wanted = [np.mean(members) for members in AFLW21_FROM_68]
    assert points_21(points)[:, 0] == pytest.approx(wanted)


def test_figures_by_hand_with_the_predictions_own_box(archive):
    report = evaluate(Predictor(), AflwCrops.open(archive))
    # 2, 4, 6 pixels of 80: the invisible point, 300 pixels off, does not count.
    nme = report["nme_percent"]
    assert [nme[b] for b in ("0-30", "30-60", "60-90")] == pytest.approx([2.5, 5.0, 7.5])
    assert nme["mean_of_bins"] == pytest.approx(5.0)
    assert nme["std_of_bins"] == pytest.approx(np.std([2.5, 5, 7.5]))
    assert report["n_by_range"] == {"0-30": 2, "30-60": 1, "60-90": 1}
    assert report["normalised_by"] == "predicted"
    table = to_markdown(report)
    assert "| this model | 2.500 | 5.000 | 7.500 | 5.000 | 2.041 |" in table
    assert "| SynergyNet | 3.76 | 3.92 | 4.48 | 4.06 |" in table
    assert "the model's own 68 points" in table


def test_annotated_68_points_are_what_errors_are_divided_by(upstream):
    """They are spread twice as wide here, so the errors are half as large."""
    report = evaluate(Predictor(), AflwCrops.open(upstream))
    assert report["normalised_by"] == "annotated"
    assert report["nme_percent"]["mean_of_bins"] == pytest.approx(2.5)
    assert "68 annotated points, as in the paper" in to_markdown(report)
    (upstream / "test.configs/AFLW_GT_pts68.npy").unlink()
    report = evaluate(Predictor(), AflwCrops.open(upstream))
    assert report["nme_percent"]["mean_of_bins"] == pytest.approx(5.0)


def test_bad_samples_are_named_and_counted(upstream, caplog):
    (upstream / "test.data/AFLW_GT_crop/image1.png").unlink()
    (upstream / "test.data/AFLW_GT_crop/image2.png").write_bytes(b"no picture")
    points = points_of_21()
    points[0] = -1
    np.save(upstream / "test.configs/AFLW_GT_pts21.npy", points)
    report = evaluate(Predictor(), AflwCrops.open(upstream))
    assert (report["n"], report["left_out"]) == (1, 3)
    for text in ("image0.png: none of its 21", "image1.png", "image2.png", "3 samples left out"):
        assert text in caplog.text
    assert np.isnan(report["nme_percent"]["mean_of_bins"])
    assert "| this model | 2.500 | - | - | - | - |".replace("2.500", "1.250") in to_markdown(report)


def test_files_that_are_missing_or_wrong_are_named(upstream, tmp_path_factory):
    with pytest.raises(UnreadableFileError, match=r"AFLW_GT_crop\.list"):
        AflwCrops.open(tmp_path_factory.mktemp("empty"))
    np.save(upstream / "test.configs/AFLW_GT_crop_yaws.npy", YAW[:2])
    with pytest.raises(CorruptFileError, match=r"yaw angles have shape \(2,\)"):
        AflwCrops.open(upstream)
    (upstream / "test.configs/AFLW_GT_crop_yaws.npy").write_bytes(b"x")
    with pytest.raises(CorruptFileError, match=r"AFLW_GT_crop_yaws\.npy"):
        AflwCrops.open(upstream)
    (upstream / "test.configs/AFLW_GT_crop_yaws.npy").unlink()
    with pytest.raises(UnreadableFileError, match=r"AFLW_GT_crop_yaws\.npy"):
        AflwCrops.open(upstream)
