"""Label files with 68 manual points: what the head hides, shut eyes, and the two commands."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest

from facegeo.cli import main
from facegeo.conventions import LANDMARK_REGIONS
from facegeo.geometry.crop import find_convention, pose_from_crop
from facegeo.geometry.params import join, split
from facegeo.geometry.pose import decompose_affine, rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of, read_labelled
from facegeo.training.data.visibility import TURNED_AWAY, UNKNOWN
from facegeo.training.labels.correction import FitAccuracy, fitted_labels
from facegeo.training.labels.from_points import fit_accuracy
from facegeo.training.labels.manual import one_in
from facegeo.training.labels.visibility import derived_visibility

EXACT = find_convention("exact")
HEAD = MorphableModel.default()


def heads(yaw_deg, **expression: float) -> np.ndarray:
    """Mean faces in the middle of a crop, ``(N, P)``."""
    count = len(yaw_deg)
    angles = np.zeros((count, 3))
    angles[:, 0] = yaw_deg
    affine = np.zeros((count, 3, 4))
    scale = 80 / np.ptp(HEAD.landmark_basis.mean[:, 0])
    affine[:, :, :3] = scale * rotation_from_euler(angles) * np.array([1, -1, 1])[:, None]
    affine[:, :2, 3] = 60
    values = np.zeros((count, HEAD.num_expression))
    for name, value in expression.items():
        values[:, HEAD.expression_names.index(name)] = value
    shape = np.zeros((count, HEAD.num_shape))
    return join(pose_from_crop(affine, EXACT), shape, values).astype(np.float32)


def test_a_turned_head_hides_its_far_eye_and_a_frontal_one_nothing():
    found = derived_visibility(HEAD, CoarseFace(HEAD, EXACT), heads([0.0, 80.0, -80.0]))
    assert found.dtype == np.uint8
    assert (found[0] == UNKNOWN).all()
    right, left = (list(LANDMARK_REGIONS[f"{side}_eye"]) for side in ("right", "left"))
    # Positive yaw: the person looks to their own right, and their right eye is on the far side.
    assert (found[1, right] == TURNED_AWAY).mean() > 0.5
    assert (found[1, left] == UNKNOWN).all()
    assert (found[2, left] == TURNED_AWAY).mean() > 0.5
    assert (found[2, right] == UNKNOWN).all()
    # Of the jaw a head does not tell it.
    assert (found[:, list(LANDMARK_REGIONS["jaw"])] == UNKNOWN).all()


def aspect(points: np.ndarray) -> np.ndarray:
    """Eye aspect ratio of the person's right eye, ``(N,)``."""
    eye = points[:, 36:42, :2]
    open_ = np.linalg.norm(eye[:, [1, 2]] - eye[:, [5, 4]], axis=2).sum(axis=1)
    return np.asarray(open_ / (2 * np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1)))


def test_the_fitted_head_shuts_eyes_that_people_set_shut():
    params = heads([0.0, 10.0, -20.0], eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    landmarks = landmarks_of(params, HEAD, EXACT).astype(np.float64)
    landmarks += np.random.default_rng(0).normal(0, 0.5, landmarks.shape)
    landmarks[:, 36:48] = landmarks_of(params, HEAD, EXACT)[:, 36:48]
    rotation = decompose_affine(split(params).pose)[1]
    drawn = [
        aspect(
            landmarks_of(
                fitted_labels(
                    HEAD, landmarks, rotation, EXACT, calibration=np.eye(3), accuracy=accuracy
                ).params,
                HEAD,
                EXACT,
            )
        )
        for accuracy in (FitAccuracy(), fit_accuracy())
    ]
    truth = aspect(landmarks)
    assert (np.abs(drawn[1] - truth) < 0.5 * np.abs(drawn[0] - truth)).all()
    assert np.abs(drawn[1] - truth).max() < 0.05


def test_depth_of_the_landmarks_bends_no_face_after_the_first_round():
    params = heads([0.0, 20.0])
    landmarks = landmarks_of(params, HEAD, EXACT).astype(np.float64)
    rotation = decompose_affine(split(params).pose)[1]
    wrong = landmarks.copy()
    wrong[..., 2] *= 1.3
    misses = []
    for rounds in (1, 2, 4):
        accuracy = FitAccuracy(rounds=rounds)
        fitted = fitted_labels(
            HEAD, wrong, rotation, EXACT, calibration=np.eye(3), accuracy=accuracy
        )
        drawn = landmarks_of(fitted.params, HEAD, EXACT)
        misses.append(np.linalg.norm((drawn - landmarks)[..., :2], axis=2).mean())
    assert misses[0] > misses[1] > misses[2]


def copied(source, target, count: int) -> None:
    """The first faces of a folder of crops with annotations."""
    with np.load(source / "annotations.npz") as archive:
        few = {key: archive[key][:count] for key in archive.files}
    np.savez(target / "annotations.npz", **few)
    with (
        tarfile.open(source / "crops.tar") as whole,
        tarfile.open(target / "crops.tar", "w") as part,
    ):
        for name in few["names"]:
            member = whole.getmember(str(name))
            part.addfile(member, whole.extractfile(member))


def test_the_command_labels_aflw_with_manual_points(models, shared, tmp_path, capsys):
    source = shared / "data" / "aflw_train"
    merl_file = shared / "data" / "merl_rav" / "merl_rav.npz"
    if not merl_file.is_file():
        pytest.skip("needs MERL-RAV's points")
    copied(source, tmp_path, 40)
    with np.load(merl_file) as archive:
        first = {key: archive[key][archive["index"] < 40] for key in archive.files}
    np.savez(tmp_path / "merl.npz", **first)
    out, aside = tmp_path / "labels.npz", tmp_path / "validation.npz"
    arguments = ["--teacher", "mb05", "--out", str(out), "--views", "2", "--device", "cpu"]
    manual = ["--manual", str(tmp_path / "merl.npz"), "--validation", str(aside)]
    assert main(["label", "aflw", str(tmp_path), *arguments, *manual]) == 0
    report = json.loads(capsys.readouterr().out)
    faces, held_out = (read_labelled(path, tmp_path / "crops.tar") for path in (out, aside))
    assert len(faces) == report["kept"] >= 25
    assert len(held_out) == report["validation"] >= 1
    names = set(faces.pictures.names) | set(held_out.pictures.names)
    assert len(names) == len(faces) + len(held_out)
    test = first["split"] == "test"
    even = one_in(2, first["names"])
    assert not set(first["names"][test & even]) & set(faces.pictures.names)
    assert set(held_out.pictures.names) <= set(first["names"][test & even & first["recommended"]])
    assert held_out.manual_points is not None and held_out.visibility is not None
    rows = {name: row for row, name in enumerate(first["names"])}
    for index, name in enumerate(held_out.pictures.names):
        assert np.array_equal(held_out.visibility[index], first["state"][rows[name]])
        there = held_out.manual[index]
        assert np.array_equal(there, np.isfinite(first["pts68"][rows[name], :, 0]))
        seen = there & (held_out.visibility[index] == 0)
        seen[:17] = False
        far = held_out.landmarks[index, :, :2] - held_out.manual_points[index]
        assert np.linalg.norm(far[seen], axis=1).mean() < 3
    assert faces.offset_px == (0.0, 0.0)


def test_the_command_labels_photos_with_points(models, shared, tmp_path, capsys):
    source = shared / "data" / "faces256" / "train"
    if not source.is_dir():
        pytest.skip("needs photos with 68 points")
    copied(source, tmp_path, 24)
    files = {name: str(tmp_path / name) for name in ("a.npz", "b.npz", "small.tar", "large.tar")}
    arguments = ["--teacher", "mb05", "--views", "2", "--device", "cpu"]
    arguments += ["--out", files["a.npz"], "--validation", files["b.npz"]]
    arguments += ["--pictures", files["small.tar"], "--large", files["large.tar"]]
    assert main(["label", "points", str(tmp_path), *arguments, "--large-size", "200"]) == 0
    report = json.loads(capsys.readouterr().out)
    faces, held_out = (
        read_labelled(files[name], files["small.tar"]) for name in ("a.npz", "b.npz")
    )
    assert (len(faces), len(held_out)) == (report["kept"], report["validation"])
    assert not one_in(10, faces.pictures.names).any()
    assert one_in(10, held_out.pictures.names).all()
    assert faces.manual.all()
    distance = np.linalg.norm(faces.landmarks[..., :2] - faces.manual_points, axis=2)
    assert distance[:, 17:].mean() < 1.5
    coarse = landmarks_of(faces.params, HEAD, EXACT)
    assert np.linalg.norm((coarse - faces.landmarks)[..., :2], axis=2).mean() < 1.0
    with tarfile.open(files["large.tar"]) as archive:
        assert set(archive.getnames()) == set(faces.pictures.names) | set(held_out.pictures.names)


def test_options_that_need_manual_points_say_so(tmp_path, capsys):
    base = ["label", "aflw", str(tmp_path), "--teacher", "mb05", "--out", str(tmp_path / "a.npz")]
    for more, said in (
        (["--validation", "b.npz"], "--manual too"),
        (["--manual", "m.npz", "--trust", "0.5"], "neither --trust nor --overshoot"),
    ):
        assert main([*base, *more]) != 0
        assert said in capsys.readouterr().err
