"""Steady at rest, quick in motion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facegeo.errors import InvalidInputError
from facegeo.track.filters import OneEuro, OneEuroSettings, RunningMean
from facegeo.track.rotations import rotated, rotation_difference

NOISE = 0.3


def filtered(values, fps=30.0, **how):
    one_euro = OneEuro(OneEuroSettings(), NOISE, **how)
    return np.array([one_euro(value, 1 / fps)[0] for value in values])


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_noise_falls_to_a_quarter(fps):
    raw = np.random.default_rng(0).normal(0, NOISE, (300, 30, 2))
    assert raw[50:].std() / filtered(raw, fps)[50:].std() > 4


def test_noise_of_columns_that_are_not_judged_is_no_motion():
    raw = np.random.default_rng(0).normal(0, NOISE, (300, 30, 3)) * [1, 1, 8]
    assert raw[50:].std() / filtered(raw)[50:].std() < 2
    judged = filtered(raw, judged=slice(0, 2))
    assert (raw[50:].std(axis=(0, 1)) / judged[50:].std(axis=(0, 1)) > 4).all()


@pytest.mark.parametrize("per_frame", [1.0, 10.0])
def test_steady_motion_lags_a_frame_at_most(per_frame):
    # In noises a frame: the slowest turn that must be followed, and a fast one.
    position = np.arange(90) * per_frame * NOISE
    raw = position[:, None, None] + np.random.default_rng(1).normal(0, NOISE, (90, 30, 2))
    behind = (position - filtered(raw).mean(axis=(1, 2)))[40:]
    assert behind.mean() < per_frame * NOISE


def test_a_blink_is_followed_by_its_group_alone():
    raw = np.random.default_rng(2).normal(0, NOISE, (60, 12, 2))
    closed = np.zeros(60)
    closed[40:44] = [5, 8, 5, 1]
    raw[:, 6:] += closed[:, None, None]
    both = filtered(raw, groups=(0, 6))
    assert both[40:44, 6:].mean(axis=(1, 2)).max() > 0.8 * 8
    assert np.abs(both[40:44, :6].mean(axis=(1, 2))).max() < NOISE


def test_rotations_are_filtered_along_the_shortest_way():
    # Across 180 degrees Euler angles jump and averaged matrices shrink; this angle must do neither.
    angles = np.linspace(170, 190, 40)
    turns = Rotation.from_rotvec(np.radians(angles)[:, None] * [0, 1, 0]).as_matrix()
    smooth = filtered(turns, difference=rotation_difference, move=rotated)
    np.testing.assert_allclose(smooth @ smooth.transpose(0, 2, 1), [np.eye(3)] * 40, atol=1e-9)
    np.testing.assert_allclose(smooth[:, 1], [[0, 1, 0]] * 40, atol=1e-9)
    reached = np.degrees(np.arctan2(smooth[:, 0, 2], smooth[:, 0, 0])) % 360
    assert (np.diff(reached) > 0).all()
    assert 172 < reached[-1] < 190


def test_difference_and_move_are_inverse():
    a, b = Rotation.random(2, rng=np.random.default_rng(0)).as_matrix()
    np.testing.assert_allclose(rotated(b, rotation_difference(a, b)), a, atol=1e-12)


def test_running_mean_converges_and_ignores_outliers():
    rng = np.random.default_rng(0)
    mean = RunningMean()
    for index in range(200):
        value = rng.normal(5, 0.1, 40)
        if index > 10 and index % 10 == 0:
            value += 50  # another person's shape, or a bad crop
        result = mean(value)
    assert np.abs(result - 5).max() < 0.2


@pytest.mark.parametrize(
    "bad", [{"cutoff_hz": 0}, {"slow_gain": -1}, {"fast_floor": np.inf}, {"slow_hz": "1"}]
)
def test_refuses_bad_settings(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        OneEuroSettings(**bad)
