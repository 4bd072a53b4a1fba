"""Readers of 68 manual points, on small files of the real layouts."""

from __future__ import annotations

import tarfile
import zlib

import cv2
import numpy as np
import pytest

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN
from facegeo.training.labels.manual import PointFaces, one_in, read_merl_rav

NAMES = [f"image{k}.jpg" for k in range(6)]
ROIS = np.tile(np.array([10, 20, 250, 260], np.float32), (6, 1))


def merl_arrays() -> dict[str, np.ndarray]:
    """Four of six crops, in another order; the last of them is not recommended."""
    points = np.random.default_rng(0).uniform(20, 100, (4, 68, 2)).astype(np.float32)
    state = np.zeros((4, 68), np.int8)
    state[:, :5], state[:, 5:9] = TURNED_AWAY, COVERED
    points[:, :5] = np.nan
    index = np.array([4, 0, 3, 5], np.int32)
    return {
        "index": index,
        "names": np.array(NAMES)[index],
        "pts68": points,
        "state": state,
        "recommended": np.array([True, True, True, False]),
        "split": np.array(["test", "train", "test", "test"]),
    }


def test_merl_rav_is_joined_by_row_and_name(tmp_path):
    arrays = merl_arrays()
    np.savez(tmp_path / "merl.npz", **arrays)
    merl = read_merl_rav(tmp_path / "merl.npz", NAMES, ROIS)
    assert merl.recommended.tolist() == [True, False, False, True, True, False]
    np.testing.assert_allclose(merl.manual.points[4], arrays["pts68"][0], atol=1e-5)
    np.testing.assert_allclose(merl.manual.points[0], arrays["pts68"][1], atol=1e-5)
    assert np.isnan(merl.manual.points[[1, 2, 5]]).all()
    assert (merl.manual.state[[1, 2, 5]] == UNKNOWN).all()
    assert merl.manual.state[3, [0, 5, 9]].tolist() == [TURNED_AWAY, COVERED, SEEN]
    assert merl.manual.is_set[3].tolist() == [False] * 5 + [True] * 63


def test_what_validates_is_told_by_split_and_name_alone(tmp_path):
    np.savez(tmp_path / "merl.npz", **merl_arrays())
    merl = read_merl_rav(tmp_path / "merl.npz", NAMES, ROIS)
    test = np.array([False, False, False, True, True, True])
    even = np.array([zlib.crc32(name.encode()) % 2 == 0 for name in NAMES])
    assert (merl.validation == (test & even)).all()
    assert one_in(10, ["a"]).tolist() == [zlib.crc32(b"a") % 10 == 0]


def test_y_of_a_crop_that_is_no_square_gets_its_own_scale(tmp_path):
    arrays = merl_arrays()
    np.savez(tmp_path / "merl.npz", **arrays)
    rois = ROIS.copy()
    rois[4, 3] += 60  # 240 wide, 300 high
    found = read_merl_rav(tmp_path / "merl.npz", NAMES, rois).manual.points[4]
    given = arrays["pts68"][0].astype(float)
    # A photo pixel y0 + 24 lies at (24 + 0.5) * 120 / 240 - 0.5 = 11.75 in the file, and at
    # (24 + 0.5) * 120 / 300 - 0.5 = 9.3 in the crop.
    assert pytest.approx(9.3) == (11.75 + 0.5) * 240 / 300 - 0.5
    np.testing.assert_allclose(found[5:, 1], (given[5:, 1] + 0.5) * 0.8 - 0.5, atol=1e-5)
    np.testing.assert_allclose(found[5:, 0], given[5:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("names", np.array(["other.jpg"] * 4), "rows and names of these crops"),
        ("index", np.array([4, 0, 3, 6]), "rows and names of these crops"),
        ("index", np.array([4, 0, 4, 5]), "a different row"),
        ("index", np.array([-1, 0, 3, 5]), "a different row"),
        ("state", np.full((4, 68), 3), "state"),
        ("pts68", np.zeros((4, 21, 2)), "pts68: expected shape"),
        ("split", np.array(["test"]), "split"),
    ],
)
def test_points_of_other_crops_are_refused(tmp_path, key, value, said):
    np.savez(tmp_path / "merl.npz", **merl_arrays() | {key: value})
    with pytest.raises(CorruptFileError, match=f"merl.npz.*{said}"):
        read_merl_rav(tmp_path / "merl.npz", NAMES, ROIS)


def write_point_faces(folder, count=3, size=256):
    """Grey pictures with a soft bright dot at landmark 30."""
    rng = np.random.default_rng(1)
    points = rng.uniform(60, 200, (count, 68, 2))
    points[:, 0], points[:, 1] = (50, 60), (210, 200)
    points[:, 30] = rng.normal((120.3, 131.7), 4, (count, 2))
    names = [f"face{k}.png" for k in range(count)]
    rows, columns = np.mgrid[0:size, 0:size]
    with tarfile.open(folder / "crops.tar", "w") as archive:
        for name, (x, y) in zip(names, points[:, 30], strict=True):
            dot = 60 + 190 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
            picture = np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)
            cv2.imwrite(str(folder / name), picture)
            archive.add(folder / name, name)
    np.savez(folder / "annotations.npz", names=np.array(names), pts68=points.astype(np.float32))
    return points


@pytest.mark.parametrize("size", [120, 200])
def test_points_lie_in_the_crop_where_the_picture_shows_them(tmp_path, size):
    write_point_faces(tmp_path)
    faces = PointFaces.open(tmp_path)
    assert len(faces) == 3
    manual = faces.manual(size)
    assert (manual.state == UNKNOWN).all()
    assert manual.is_set.all()
    for index in range(3):
        crop = faces.crop(index, size)
        assert crop.shape == (size, size, 3)
        bright = np.clip(crop[..., 0].astype(float) - 80, 0, None)
        rows, columns = np.mgrid[0:size, 0:size]
        place = np.array([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()
        np.testing.assert_allclose(manual.points[index, 30], place, atol=0.05)


def test_the_crop_is_the_one_that_the_landmarks_ask_for(tmp_path):
    """Points in a box of 160 x 140 pixels: a square of 160 sqrt(2) = 226 about its middle."""
    write_point_faces(tmp_path)
    faces = PointFaces.open(tmp_path)
    assert faces.rois[0].tolist() == [17, 17, 243, 243]


def test_annotations_that_are_none_are_refused(tmp_path):
    write_point_faces(tmp_path)
    np.savez(tmp_path / "annotations.npz", names=np.array(["a"]), pts68=np.zeros((1, 21, 2)))
    with pytest.raises(CorruptFileError, match="pts68: expected shape"):
        PointFaces.open(tmp_path)
    (tmp_path / "annotations.npz").unlink()
    with pytest.raises(UnreadableFileError):
        PointFaces.open(tmp_path)
