"""Heads turned to the side: the picture, the landmarks and the parameters turn as one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.training_data import CONVENTION, dotted_face, place_of_dot

from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine, euler_from_rotation, rotation_from_euler
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.head_turn import HeadTurn, random_turn, steady_point
from facegeo.training.data.sample import Sample

#: Outer corner of the eye, corner of the mouth and wing of the nose that a face shows which looks
#: to the picture's left, and the tip of its nose.
SEEN_FROM_THE_RIGHT = (45, 54, 35, 30)


def yaw_of(sample: Sample) -> float:
    rotation = decompose_affine(split(sample.params[None]).pose)[1]
    return float(euler_from_rotation(rotation)[0, 0])


@pytest.fixture(scope="module")
def turn(model) -> HeadTurn:
    return HeadTurn(CoarseFace(model, CONVENTION), np.zeros(3))


@pytest.mark.parametrize("angle", [-50.0, -20.0, 20.0, 50.0])
def test_the_yaw_grows_by_the_angle(model, turn, angle):
    assert yaw_of(turn(dotted_face(model), angle)) == pytest.approx(angle, abs=1e-3)
    looking_left = dotted_face(model, (15.0, 0.0, 0.0))
    assert yaw_of(turn(looking_left, angle)) == pytest.approx(15 + angle, abs=1e-3)


@pytest.mark.parametrize("nod", [-15.0, 15.0])
def test_a_nod_raises_or_lowers_the_chin(model, turn, nod):
    turned = turn(dotted_face(model), 0.0, nod)
    rotation = decompose_affine(split(turned.params[None]).pose)[1]
    assert euler_from_rotation(rotation)[0] == pytest.approx([0, nod, 0], abs=1e-3)
    # Crop pixels, y down: with the chin raised the tip of the nose is nearer to the brows.
    lengths = [np.diff(s.landmarks[[27, 30], 1])[0] for s in (dotted_face(model), turned)]
    assert (lengths[1] < lengths[0]) == (nod > 0)


def test_the_turn_is_about_the_heads_own_axis(model, turn):
    """A head that lies on its side nods away from the viewer instead."""
    turned = turn(dotted_face(model, (0.0, 0.0, 90.0)), 30.0)
    rotation = decompose_affine(split(turned.params[None]).pose)[1][0]
    before = rotation_from_euler(np.array([[0.0, 0.0, 90.0]]))[0]
    up = np.array([0.0, 1.0, 0.0])
    assert np.abs(rotation @ up - before @ up).max() < 1e-5
    forward = np.array([0.0, 0.0, 1.0])
    assert rotation @ forward @ before @ forward == pytest.approx(np.cos(np.pi / 6), abs=1e-5)


@pytest.mark.parametrize("angle", [-55.0, 25.0, 55.0])
def test_parameters_and_landmarks_agree(model, turn, angle):
    turned = turn(dotted_face(model, (5.0, 12.0, -8.0)), angle)
    of_params = landmarks_of(turned.params[None], model, CONVENTION)[0]
    assert np.abs(of_params - turned.landmarks).max() < 1e-3


def test_what_is_not_in_the_parameters_turns_along(model, turn):
    sample = dotted_face(model)
    refined = sample.landmarks.copy()
    refined[30] += (0, 0, 5)  # a longer nose points to where the face looks
    longer = turn(Sample(sample.crop, sample.params, refined), 90.0)
    usual = turn(sample, 90.0)
    difference = longer.landmarks[30] - usual.landmarks[30]
    # The box of the landmarks stays in its place, so all move by half of it.
    assert np.abs(longer.landmarks - usual.landmarks)[0, 0] == pytest.approx(2.5, abs=0.05)
    assert difference[0] == pytest.approx(-2.5, abs=0.05)
    assert abs(difference[1]) < 1e-3


@pytest.mark.parametrize("angle", [20.0, 40.0, 55.0])
@pytest.mark.parametrize("point", SEEN_FROM_THE_RIGHT)
def test_the_picture_turns_with_the_points(model, turn, angle, point):
    turned = turn(dotted_face(model, dots=(point,)), angle, 8.0)
    found = place_of_dot(turned.crop)
    assert np.abs(found - turned.landmarks[point, :2]).max() < 1.5
    moved = np.abs(turned.landmarks - dotted_face(model).landmarks)[point, 0]
    assert moved > 2 or point == 45


def test_the_box_of_the_face_and_the_far_background_stay(model, turn):
    sample = dotted_face(model)
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    sample = Sample(noise, sample.params, sample.landmarks)
    turned = turn(sample, 40.0)
    middles = [
        (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
        for points in (sample.landmarks, turned.landmarks)
    ]
    assert np.abs(middles[0] - middles[1]).max() < 1e-3
    corner = np.s_[:12, :12]
    smooth = cv2.absdiff(turned.crop[corner], noise[corner])
    assert smooth.mean() < 12
    assert cv2.absdiff(turned.crop, noise)[50:70, 50:70].mean() > 40


@pytest.mark.parametrize("pivot", [(0.0, 0.0, 0.0), (4.0, -20.0, -80.0)])
def test_the_steady_point_is_found_and_keeps_its_depth(model, pivot):
    rng = np.random.default_rng(0)
    pose = np.zeros((40, 3, 4))
    scale = rng.uniform(0.3, 0.5, (40, 1, 1))
    pose[:, :, :3] = scale * rotation_from_euler(rng.uniform(-60, 60, (40, 3)))
    pose[:, :2, 3] = rng.normal(60, 5, (40, 2))
    pose[:, 2, 3] = -30 - pose[:, 2, :3] @ pivot
    params = np.zeros((40, 62), np.float32)
    params[:, :12] = pose.reshape(40, 12)
    assert steady_point(params, CONVENTION) == pytest.approx(pivot, abs=0.01)
    turned = HeadTurn(CoarseFace(model, CONVENTION), np.array(pivot))(dotted_face(model), 45.0)
    depths = [
        split(sample.params[None]).pose[0, 2] @ [*pivot, 1.0]
        for sample in (dotted_face(model), turned)
    ]
    assert depths[0] == pytest.approx(depths[1], abs=1e-3)


def test_no_turn_changes_nothing(model, turn):
    sample = dotted_face(model)
    assert turn(sample, 0.0) is sample


def test_a_face_outside_its_crop_is_left_in_peace(model, turn):
    sample = dotted_face(model)
    params, landmarks = sample.params.copy(), sample.landmarks + np.float32([400, 0, 0])
    params[3] += 400
    turned = turn(Sample(sample.crop, params, landmarks), 30.0)
    assert np.array_equal(turned.crop, sample.crop)


def test_random_turns_lead_to_the_side():
    rng = np.random.default_rng(0)
    for yaw in (-70.0, -30.0, 12.0, 60.0):
        turns = np.array([random_turn(yaw, rng) for _ in range(300)])
        ends = yaw + turns[:, 0]
        assert (np.sign(ends) == np.sign(yaw)).all()
        assert (np.abs(ends) >= abs(yaw) + 10).all() and np.abs(ends).max() <= 88
        assert np.ptp(ends) > 0.8 * (min(88 - abs(yaw), 60) - 10)
        assert 12 < turns[:, 1].max() <= 15 and -15 <= turns[:, 1].min() < -12
    frontal = [random_turn(1.0, rng)[0] for _ in range(300)]
    assert 90 < sum(angle > 0 for angle in frontal) < 210
    assert random_turn(80.0, rng)[0] == 0
