"""Labels made anew: answers about views come back to the crop, conventions are taken out."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from helpers.morphable_data import generic_model

from facegeo.cli import main
from facegeo.conventions import NUM_PARAMS
from facegeo.errors import InvalidInputError
from facegeo.geometry import pose
from facegeo.geometry.params import join, split
from facegeo.training.data.datasets import LabelledFaces, landmarks_of, read_labelled, write_labels
from facegeo.training.labels.relabel import CONVENTION, Prediction, predict_views, relabelled
from facegeo.training.labels.yaw_bias import turned_back, with_depth_turned

MODEL = generic_model()


def turned(angle_deg: np.ndarray) -> np.ndarray:
    """Heads turned in the picture's plane, clockwise for the viewer."""
    zero = np.zeros_like(angle_deg)
    return pose.rotation_from_euler(np.stack([zero, zero, angle_deg], axis=1))


class DotsNetwork:
    """Sees a bright and a less bright dot: all landmarks lie on one, the head points to the other.

    Half a pixel of its answers is always wrong to the right, as the picture has it.
    """

    card = SimpleNamespace(crop_convention="exact", name="dots")
    crop_size = 120

    def __init__(self) -> None:
        self.network = self

    def run(self, inputs):
        crops = inputs["crops"].astype(np.float32)
        bright, other = (self.centre(crops, *range_) for range_ in ((180, 256), (60, 180)))
        along = other - bright
        angle = np.degrees(np.arctan2(along[:, 0], -along[:, 1]))
        points = np.zeros((len(crops), 68, 3), np.float32)
        points[..., :2] = bright[:, None] + (0.5, 0)
        affine = np.concatenate([turned(angle), np.zeros((len(crops), 3, 1))], axis=2)
        zero = np.zeros((len(crops), NUM_PARAMS - 12))
        return {"landmarks": points, "params": join(affine, zero[:, :40], zero[:, 40:])}

    @staticmethod
    def centre(crops, low, high):
        # Blue tells the dots apart; red is how much of a dot a pixel holds.
        found = crops[..., 2] * ((crops[..., 0] >= low) & (crops[..., 0] < high))
        total = found.sum(axis=(1, 2))
        y, x = np.mgrid[:120, :120]
        return np.stack([(found * x).sum((1, 2)) / total, (found * y).sum((1, 2)) / total], 1)


def dotted(bright, other) -> np.ndarray:
    crop = np.zeros((120, 120, 3), np.uint8)
    for centre, blue in ((bright, 220), (other, 120)):
        cv2.circle(crop, centre, 5, (blue, 0, 255), -1)
        cv2.circle(crop, centre, 9, (blue, 0, 0), 2)
    return crop


def test_answers_come_back_to_the_crop_and_mirror_images_cancel_what_is_one_sided():
    bright = [(60, 70), (50, 66), (70, 64)]
    other = [(60, 40), (64, 40), (40, 60)]
    crops = np.stack([dotted(*pair) for pair in zip(bright, other, strict=True)])
    said = predict_views(DotsNetwork(), crops, views=4)
    assert np.abs(said.landmarks[:, 0, :2] - bright).max() < 0.35
    along = np.array(other, float) - bright
    wanted = turned(np.degrees(np.arctan2(along[:, 0], -along[:, 1])))
    relative = np.swapaxes(said.rotation, 1, 2) @ wanted
    cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    errors = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert errors.max() < 2


def labelled(rng: np.random.Generator, count: int = 12) -> LabelledFaces:
    angles = rng.uniform(-30, 30, (count, 3))
    affine = np.zeros((count, 3, 4))
    affine[:, :, :3] = 0.4 * pose.rotation_from_euler(angles)
    affine[:, :2, 3] = 60
    params = join(affine, rng.normal(size=(count, 40)), rng.normal(size=(count, 10)))
    params = params.astype(np.float32)
    return LabelledFaces(None, params, landmarks_of(params, MODEL, CONVENTION), MODEL.name)


def rotations(params: np.ndarray) -> np.ndarray:
    return pose.decompose_affine(split(params).pose)[1]


def test_a_network_of_another_convention_changes_nothing():
    faces = labelled(np.random.default_rng(0))
    turn = pose.rotation_from_euler(np.array([[2.0, -4.0, 1.0]]))[0]
    own = rotations(faces.params)
    too_far = turned_back(own, -3.0)
    points = with_depth_turned(faces.landmarks, own, too_far)
    other = Prediction(points + np.array([1.0, -0.5, 3.0]), too_far @ turn)
    assert np.abs(points[..., 2] - faces.landmarks[..., 2]).max() > 0.5
    alone = relabelled(faces, MODEL, [], [])
    made = relabelled(faces, MODEL, [other], [0.6])
    np.testing.assert_allclose(made.landmarks[..., :2], faces.landmarks[..., :2], atol=1e-3)
    # Depth there and back again is exact but for 1 - cos 3 degrees.
    np.testing.assert_allclose(made.landmarks[..., 2], alone.landmarks[..., 2], atol=0.1)
    np.testing.assert_allclose(rotations(made.params), rotations(faces.params), atol=3e-3)


def test_errors_on_both_sides_of_the_truth_shrink():
    rng = np.random.default_rng(1)
    faces = labelled(rng)
    noise = rng.normal(size=faces.landmarks.shape)
    wrong = LabelledFaces(None, faces.params, faces.landmarks + noise, MODEL.name)
    said = Prediction(faces.landmarks - noise, rotations(faces.params))
    made = relabelled(wrong, MODEL, [said], [0.5])
    assert np.abs(made.landmarks - faces.landmarks).mean() < 0.1 * np.abs(noise).mean()


@pytest.mark.parametrize("weights", [(0.6, 0.6), (-0.1, 0.2)])
def test_weights_that_are_no_parts_are_refused(weights):
    faces = labelled(np.random.default_rng(0), 2)
    same = Prediction(faces.landmarks, rotations(faces.params))
    with pytest.raises(InvalidInputError, match="weights"):
        relabelled(faces, MODEL, [same, same], weights)


def test_the_command_writes_labels_of_the_same_faces(tmp_path, installed_tiny, monkeypatch, capsys):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_tiny))
    faces = labelled(np.random.default_rng(0), 3)
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), dotted((60, 70), (60, 40)))
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    seen = np.tile(np.arange(68, dtype=np.uint8) % 3, (len(names), 1))
    write_labels(
        old, names, faces.params, faces.landmarks, MODEL.name, (0.5, 0.25), visibility=seen
    )
    command = ["label", "again", str(old), "--pictures", str(tmp_path), "--out", str(new)]
    assert main([*command, "--network", "tiny=0.25", "--views", "1"]) == 0
    found = read_labelled(new, tmp_path)
    assert np.array_equal(found.visibility, seen)
    assert found.offset_px == (0.5, 0.25) and found.pictures.names == names
    assert not np.allclose(found.landmarks, faces.landmarks)
    assert '"tiny": 0.25' in capsys.readouterr().out
    for bad in ("tiny", "tiny=2", "=0.5"):
        with pytest.raises(SystemExit):
            main([*command, "--network", bad])
