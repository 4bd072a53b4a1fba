"""The thin-plate surface through the controls."""

from __future__ import annotations

import numpy as np
from generic_build.controls import average_controls
from generic_build.surface import fit_surface


def test_passes_through_controls_of_no_softness() -> None:
    chart, points, _ = average_controls()
    surface = fit_surface(chart, points, np.zeros(len(chart)))
    assert np.abs(surface(chart) - points).max() < 1e-5


def test_is_symmetric() -> None:
    surface = fit_surface(*average_controls())
    chart = np.random.default_rng(0).uniform([0, -180], [120, 70], (200, 2))
    left, right = surface(chart), surface(chart * [-1, 1])
    assert np.abs(left - right * [-1, 1, 1]).max() < 1e-7


def test_plane_stays_a_plane() -> None:
    chart = np.random.default_rng(1).uniform([1, -50], [50, 50], (40, 2))
    points = np.stack([2 * chart[:, 0], chart[:, 1] + 3, 5 - chart[:, 1]], -1)
    surface = fit_surface(chart, points, np.full(40, 10.0))
    other = np.array([[17.0, 4.0], [60.0, -70.0]])
    expected = np.stack([2 * other[:, 0], other[:, 1] + 3, 5 - other[:, 1]], -1)
    np.testing.assert_allclose(surface(other), expected, atol=1e-8)
