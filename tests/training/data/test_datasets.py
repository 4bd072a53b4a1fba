"""Readers on small files of the real layouts, and what becomes of bad samples."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from helpers.training_data import CONVENTION, painted, some_params, write_faces

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation.aflw import AflwCrops
from facegeo.geometry.crop import find_convention, pose_to_crop
from facegeo.geometry.pose import euler_from_rotation
from facegeo.images import decode_photo
from facegeo.images.collections import TarImages
from facegeo.training.data.datasets import (
    landmarks_of,
    read_300wlp_crops,
    read_300wlp_photos,
    read_labelled,
    write_labels,
)
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN


def test_a_labelled_folder_comes_back(faces, model):
    assert len(faces) == 16
    assert faces.skipped == 0
    assert np.array_equal(faces.params, some_params(16))
    crop = decode_photo(faces.pictures.read(3), "")
    columns, rows = np.rint(faces.landmarks[3, :, :2]).astype(int).T
    assert (crop[rows, columns] == (200, 220, 240)).all()


def test_bad_samples_are_named_left_out_and_counted(tmp_path, model, caplog):
    write_faces(tmp_path, model, 6)
    (tmp_path / "crops" / "face01.png").unlink()
    (tmp_path / "crops" / "face03.png").write_bytes(b"not a picture")
    cv2.imwrite(str(tmp_path / "crops" / "face04.png"), np.zeros((64, 64, 3), np.uint8))
    with caplog.at_level(logging.WARNING, "facegeo"):
        left = read_labelled(tmp_path / "labels.npz", tmp_path / "crops")
    assert (len(left), left.skipped) == (3, 3)
    assert list(left.pictures.names) == ["face00.png", "face02.png", "face05.png"]
    assert np.array_equal(left.params, some_params(6)[[0, 2, 5]])
    for name in ("face01.png", "face03.png", "face04.png", "3 samples left out, 3 kept"):
        assert name in caplog.text


def test_labels_say_what_is_seen_and_who_set_it(tmp_path, model):
    """Of samples that are left out nothing is kept; files of before have none of it."""
    plain = write_faces(tmp_path, model, 5)
    assert plain.visibility is plain.manual is plain.manual_points is None
    visibility = np.tile(np.array([[SEEN], [COVERED], [TURNED_AWAY], [UNKNOWN], [SEEN]]), (1, 68))
    points = np.arange(5 * 68 * 2).reshape(5, 68, 2).astype(np.float32)
    points[2, 7] = np.nan
    manual = np.isfinite(points).all(axis=2)
    write_labels(
        tmp_path / "more.npz",
        plain.pictures.names,
        plain.params,
        plain.landmarks,
        plain.morphable_model,
        visibility=visibility,
        manual=manual,
        manual_points=points,
    )
    (tmp_path / "crops" / "face01.png").unlink()
    faces = read_labelled(tmp_path / "more.npz", tmp_path / "crops")
    assert faces.visibility.dtype == np.uint8
    assert faces.visibility[:, 3].tolist() == [0, 2, 255, 0]
    assert faces.manual.dtype == bool
    assert np.array_equal(faces.manual, manual[[0, 2, 3, 4]])
    assert np.array_equal(faces.manual_points, points[[0, 2, 3, 4]], equal_nan=True)
    few = faces.some([3, 1])
    assert list(few.pictures.names) == ["face04.png", "face02.png"]
    assert few.visibility[:, 0].tolist() == [0, 2]
    assert np.array_equal(few.params, plain.params[[4, 2]])


def test_a_tar_archive_is_read_in_place(tmp_path, model):
    write_faces(tmp_path, model, 4)
    with tarfile.open(tmp_path / "crops.tar", "w") as archive:
        for path in sorted((tmp_path / "crops").iterdir()):
            archive.add(path, path.name)
    unpacked = read_labelled(tmp_path / "labels.npz", tmp_path / "crops")
    packed = read_labelled(tmp_path / "labels.npz", tmp_path / "crops.tar")
    assert [packed.pictures.read(i) for i in range(4)] == [
        unpacked.pictures.read(i) for i in range(4)
    ]
    with pytest.raises(UnreadableFileError, match="holds no nobody"):
        TarImages(tmp_path / "crops.tar", ["nobody"]).read(0)


def test_a_damaged_tar_archive_is_refused(tmp_path):
    """With a negative size the same header would come again and again."""
    path = tmp_path / "crops.tar"
    (tmp_path / "a.png").write_bytes(bytes(600))
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "a.png", "a.png")
    whole = bytearray(path.read_bytes())

    def with_size(field: bytes) -> bytes:
        header = whole[:124] + field + whole[136:512]
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header[:512])
        return bytes(header + whole[512:])

    for field in (b"\xff" * 10 + b"\xfc\x00", b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" * 8):
        path.write_bytes(with_size(field))
        with pytest.raises(CorruptFileError, match=r"crops\.tar: not an uncompressed tar"):
            TarImages(path)
    path.write_bytes(with_size(b"00000001130\0"))
    assert TarImages(path).names == ["a.png"]


def test_label_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(UnreadableFileError, match="no such file"):
        read_labelled(tmp_path / "labels.npz", tmp_path)
    np.savez(tmp_path / "labels.npz", names=np.array(["a"]))
    with pytest.raises(CorruptFileError, match=r"not a label file .*'params'"):
        read_labelled(tmp_path / "labels.npz", tmp_path)


def test_visibility_of_another_size_is_refused(tmp_path, model):
    write_faces(tmp_path, model, 2)
    with np.load(tmp_path / "labels.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "labels.npz", **arrays, visibility=np.zeros((2, 21), np.uint8))
    with pytest.raises(CorruptFileError, match=r"not a label file \(visibility: expected shape"):
        read_labelled(tmp_path / "labels.npz", tmp_path / "crops")


def write_train_aug(folder: Path, params: np.ndarray, crops: list[np.ndarray]) -> None:
    """3DDFA's ``train_aug_120x120`` layout: list file, whitened parameters, statistics."""
    mean, std = params.mean(axis=0), params.std(axis=0) + 0.1
    (folder / "train_aug_120x120").mkdir()
    names = [f"AFW_{i}.jpg" for i in range(len(crops))]
    for name, crop in zip(names, crops, strict=True):
        cv2.imwrite(str(folder / "train_aug_120x120" / name), crop)
    (folder / "list.train").write_text("\n".join(names) + "\n")
    with (folder / "param_all_norm_v201.pkl").open("wb") as file:
        pickle.dump((params - mean) / std, file)
    with (folder / "param_whitening.pkl").open("wb") as file:
        pickle.dump({"param_mean": mean, "param_std": std}, file)


def read_train_aug(folder: Path, model):
    return read_300wlp_crops(
        folder / "list.train",
        folder / "param_all_norm_v201.pkl",
        folder / "train_aug_120x120",
        folder / "param_whitening.pkl",
        model,
    )


def test_300wlp_crops_keep_their_place(tmp_path, model):
    upstream = some_params(3)
    points = landmarks_of(upstream, model, find_convention("3ddfa"))
    write_train_aug(tmp_path, upstream, [painted(p) for p in points])
    found = read_train_aug(tmp_path, model)
    assert found.morphable_model == model.name
    # Other numbers, for another rule; the same crop pixels.
    assert np.abs(found.landmarks - points).max() < 1e-3
    assert np.abs(landmarks_of(found.params, model, CONVENTION) - points).max() < 1e-3
    assert np.abs(found.params[:, 3] - upstream[:, 3] + 1).max() < 1e-4


def test_300wlp_crops_of_another_length_are_refused(tmp_path, model):
    write_train_aug(tmp_path, some_params(3), [painted(np.zeros((68, 3)))] * 3)
    (tmp_path / "list.train").write_text("one.jpg\n")
    with pytest.raises(CorruptFileError, match=r"expected an array of shape \(1, 62\)"):
        read_train_aug(tmp_path, model)


def write_300wlp_photo(path: Path, landmarks_model, angles_deg, scale, height=200):
    """A photo with its ``.mat``; landmarks in photo pixels come back."""
    from facegeo.geometry.pose import rotation_from_euler

    yaw, pitch, roll = angles_deg
    rotation = rotation_from_euler(np.array([angles_deg]))[0]
    placed = scale * landmarks_model @ rotation.T + (100, 95, 0)  # y up, counted from 1
    points = placed * (1, -1, 1) + (-1, height, 0)
    photo = np.full((height, 200, 3), 60, np.uint8)
    for x, y in np.rint(points[:, :2]).astype(int).tolist():
        cv2.circle(photo, (x, y), 1, (240, 240, 240), -1)
    cv2.imwrite(str(path), photo)
    return points, np.array([[*np.radians([pitch, yaw, roll]), 100, 95, 0, scale]])


def test_300wlp_photos_are_cropped_and_fitted(tmp_path, model):
    folder = tmp_path / "300W_LP" / "AFW"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shape, expression = rng.normal(0, 0.5, (1, 40)), rng.normal(0, 0.5, (1, 10))
    points = model.landmarks(shape.astype(np.float32), expression.astype(np.float32))[0]
    angles = (20.0, -10.0, 8.0)
    _, pose = write_300wlp_photo(folder / "AFW_1.jpg", points, angles, 0.6)
    content = {"Pose_Para": pose, "Shape_Para": shape.T, "Exp_Para": expression.T}
    scipy.io.savemat(folder / "AFW_1.mat", content)
    cv2.imwrite(str(folder / "AFW_2.jpg"), np.zeros((50, 50, 3), np.uint8))  # no .mat

    found = read_300wlp_photos(tmp_path / "300W_LP", model, model, tmp_path / "crops")
    assert (len(found), found.skipped) == (1, 1)
    crop = decode_photo(found.pictures.read(0), "")
    columns, rows = np.rint(found.landmarks[0, :, :2]).astype(int).T
    assert (crop[rows, columns, 0] > 120).all()
    fitted = landmarks_of(found.params, model, CONVENTION)
    assert np.abs(fitted - found.landmarks).max() < 0.5
    turned = pose_to_crop(found.params[:, :12].reshape(-1, 3, 4), CONVENTION)[:, :, :3]
    turned[:, 1] *= -1
    rotation = turned / np.linalg.norm(turned, axis=2, keepdims=True)
    assert np.abs(euler_from_rotation(rotation)[0] - angles).max() < 0.05


def test_aflw_regions_do_not_wrap_around(tmp_path, model):
    write_faces(tmp_path, model, 2)
    with tarfile.open(tmp_path / "crops.tar", "w") as archive:
        for path in sorted((tmp_path / "crops").iterdir()):
            archive.add(path, path.name)
    points = np.full((2, 2, 21), 50.0, np.float32)
    points[1, :, 4] = -1
    np.savez(
        tmp_path / "annotations.npz",
        names=np.array(["face00.png", "face01.png"]),
        pts21=points,
        roi_box=np.array([[60000, 10, 60200, 210], [5, 5, 105, 105]], np.uint16),
        yaw_deg=np.zeros(2, np.float32),
    )
    data = AflwCrops.open(tmp_path)
    assert (data.rois[:, 2:] - data.rois[:, :2]).tolist() == [[200, 200], [100, 100]]
    assert (~data.visible).sum() == 1
    assert dataclasses.is_dataclass(data)
