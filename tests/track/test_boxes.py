"""Boxes against boxes."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.track.boxes import assign, grow, overlaps, shares, steady

BOX = np.array([[0, 0, 10, 10]], float)


@pytest.mark.parametrize(
    ("other", "iou", "share"),
    [
        pytest.param([0, 0, 10, 10], 1, 1, id="same"),
        pytest.param([5, 0, 15, 10], 1 / 3, 1 / 2, id="half"),
        pytest.param([2, 2, 4, 4], 0.04, 1, id="inside"),
        pytest.param([20, 20, 30, 30], 0, 0, id="apart"),
        pytest.param([3, 3, 3, 3], 0, 0, id="empty"),
    ],
)
def test_overlap(other, iou, share):
    assert overlaps(BOX, np.array([other], float))[0, 0] == pytest.approx(iou)
    assert shares(BOX, np.array([other], float))[0, 0] == pytest.approx(share)
    assert shares(np.array([other], float), BOX)[0, 0] == pytest.approx(share)


def test_assignment_is_the_best_of_all_not_the_first_best():
    # The first box's favourite is also the second's only one.
    a = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], float)
    b = np.array([[2, 0, 12, 10], [-6, 0, 4, 10]], float)
    assert sorted(assign(a, b, 0.2)) == [(0, 1), (1, 0)]


def test_too_little_overlap_is_no_pair_and_costs_no_other():
    a = np.array([[0, 0, 10, 10], [100, 0, 110, 10]], float)
    b = np.array([[8, 0, 18, 10], [100, 0, 110, 10]], float)
    assert assign(a, b, 0.3) == [(1, 1)]
    assert assign(a[:0], b, 0.3) == []


def test_regions_stay_until_they_must_move():
    old = np.array([[0, 0, 100, 100]] * 2, float)
    new = old + np.array([[1.5], [3.0]])
    np.testing.assert_array_equal(steady(new, old, 0.02), [[0, 0, 100, 100], [3, 3, 103, 103]])


def test_grown_boxes():
    np.testing.assert_allclose(grow(BOX, 2), [[-5, -5, 15, 15]])
