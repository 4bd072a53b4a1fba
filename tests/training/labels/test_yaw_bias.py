"""Heads turned too far to the side are turned back, and it is found by how much they were."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.geometry.pose import euler_from_rotation, rotation_from_euler
from facegeo.training.labels.yaw_bias import turned_back, with_depth_turned, yaw_bias_deg


def test_a_profile_is_turned_back_by_all_of_it_and_a_frontal_face_by_nothing():
    yaw = np.array([0.0, 30.0, -30.0, 85.0, -85.0])
    angles = np.stack([yaw, 0 * yaw, 0 * yaw], axis=1)
    back = euler_from_rotation(turned_back(rotation_from_euler(angles), 3.0))
    assert back[:, 0] == pytest.approx(yaw - 3.0 * np.sin(np.radians(yaw)))
    assert back[:, 1:] == pytest.approx(0, abs=1e-9)


def test_the_turn_is_about_the_heads_own_axis():
    """A head lying on its side that looks up the picture is turned back down the picture."""
    lying = rotation_from_euler(np.array([[0.0, 0.0, 90.0]]))
    aside = lying @ rotation_from_euler(np.array([[60.0, 0.0, 0.0]]))
    yaw = euler_from_rotation(aside)[0, 0]
    back = turned_back(aside, 4.0)[0]
    relative = euler_from_rotation((aside[0].T @ back)[None])[0]
    assert relative == pytest.approx([-4.0 * np.sin(np.radians(yaw)), 0, 0], abs=1e-9)


def test_the_overshoot_is_found_under_noise():
    rng = np.random.default_rng(0)
    angles = rng.uniform((-88, -30, -40), (88, 30, 40), (2000, 3))
    truth = rotation_from_euler(angles)
    sine = np.sin(np.radians(angles[:, :1]))
    too_far = truth @ rotation_from_euler(np.concatenate([2.5 * sine, 0 * sine, 0 * sine], axis=1))
    noise = rotation_from_euler(rng.normal(0, 3, (2000, 3)))
    assert yaw_bias_deg(too_far @ noise, truth) == pytest.approx(2.5, abs=0.3)
    assert yaw_bias_deg(truth @ noise, truth) == pytest.approx(0.0, abs=0.3)
    assert yaw_bias_deg(rotation_from_euler(np.zeros((3, 3))), np.tile(np.eye(3), (3, 1, 1))) == 0


def test_landmarks_get_the_depth_of_the_turned_head_and_stay_in_the_picture():
    rng = np.random.default_rng(1)
    head = rng.normal(0, 40, (5, 68, 3))
    y_down = np.array([1.0, -1.0, 1.0])
    angles = rng.uniform((-80, -30, -40), (80, 30, 40), (5, 3))
    rotation = rotation_from_euler(angles)
    turned = turned_back(rotation, 5.0)

    def drawn(how):
        centred = head - head.mean(axis=1, keepdims=True)
        return (0.6 * centred @ np.swapaxes(how, 1, 2)) * y_down + (60.0, 55.0, 7.0)

    before, wanted = drawn(rotation), drawn(turned)
    found = with_depth_turned(before, rotation, turned)
    np.testing.assert_array_equal(found[..., :2], before[..., :2])
    np.testing.assert_allclose(found[..., 2], wanted[..., 2], atol=1e-9)
    assert np.abs(before[..., 2] - wanted[..., 2]).max() > 1
