"""Error measures by hand-worked values."""

import numpy as np
import pytest

from facegeo.evaluation import measures
from facegeo.evaluation.measures import by_yaw, normalised_mean_error, pose_errors


def test_nme_is_mean_distance_over_the_root_of_the_box_area():
    truth = np.array([[[0.0, 0], [40, 0], [0, 10], [40, 10]]])  # box 40 x 10, root 20
    predicted = truth + np.array([[3, 4], [0, 0], [0, 0], [3, 4]])  # distances 5, 0, 0, 5
    assert normalised_mean_error(predicted, truth) == pytest.approx([100 * 2.5 / 20])


def test_bins_are_of_absolute_yaw_and_each_end_belongs_to_the_lower_bin():
    yaw = np.array([0, -30, 30.1, -60, 61, 90])
    means = by_yaw(np.array([1.0, 3, 5, 7, 9, 11]), yaw)
    assert means == {"0-30": 2, "30-60": 6, "60-90": 10, "mean_of_bins": 6}


def test_an_empty_bin_is_no_number():
    means = by_yaw(np.array([1.0]), np.array([0.0]))
    assert np.isnan(means["60-90"]) and np.isnan(means["mean_of_bins"])


def test_pose_errors_leave_out_photos_beyond_99_degrees():
    truth = np.array([[10.0, 20, 30], [0, 0, -99.5], [-10, 0, 0]])
    predicted = np.array([[11.0, 18, 33], [50, 50, 50], [-13, 0, 1]])
    errors = pose_errors(predicted, truth)
    assert errors == pytest.approx({"n": 2, "yaw": 2, "pitch": 1, "roll": 2, "mean": 5 / 3})


def test_roc_area_counts_pairs_in_order():
    from facegeo.evaluation.measures import roc_area

    # 3 > 1, 3 > 2, 2 > 1, and 2 = 2 as a half, of four pairs
    assert roc_area(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == 3.5 / 4
    assert roc_area(np.array([0.0]), np.array([1.0, 2.0])) == 0.0


def test_the_cumulative_distribution_counts_what_is_no_number_as_a_miss():
    from facegeo.evaluation.measures import cumulative

    errors = np.array([1.0, 3.0, np.nan, np.inf])
    assert cumulative(errors, np.array([0.0, 1.0, 2.0, 3.0])).tolist() == [0, 0.25, 0.25, 0.5]
    assert np.isnan(cumulative(np.zeros(0), np.array([1.0]))).all()


def test_published_means_are_the_means_of_their_columns():
    """A digit that was copied wrongly would show."""
    from facegeo.evaluation import published

    # As printed there; their columns do not give their means.
    printed = {2.65: "SynergyNet", 6.01: "SSRNet-MD", 4.15: "QuatNet", 3.97: "TriNet"}
    printed[4.65] = "SSR-Net-MD"
    tables = (
        published.AFLW2000_ORIGINAL,
        published.AFLW2000_REANNOTATED,
        published.AFLW2000_POSE,
        published.AFLW21,
        published.BIWI,
    )
    for name, (*parts, mean) in (row for table in tables for row in table.items()):
        if printed.get(mean) != name:
            assert mean == pytest.approx(np.mean(parts), abs=0.0101), name


def test_the_eye_aspect_ratio_is_opening_over_width():
    points = np.zeros((1, 68, 3))
    points[0, 36:42, :2] = [(0, 0), (1, 2), (3, 2), (4, 0), (3, -2), (1, -2)]
    points[0, 42:48, :2] = [(0, 0), (1, 0), (3, 0), (4, 0), (3, 0), (1, 0)]
    assert measures.eye_aspect_ratio(points).tolist() == [[1.0, 0.0]]


def test_an_ellipse_holds_the_part_that_it_promises():
    rng = np.random.default_rng(0)
    factor = np.array([[2.0, 0], [1.5, 0.7]])
    errors = rng.normal(size=(20000, 2)) @ factor.T
    matrix = factor @ factor.T
    covariance = np.tile([matrix[0, 0], matrix[0, 1], matrix[1, 1]], (20000, 1))
    for part in (0.5, 0.9):
        assert measures.within_ellipse(errors, covariance, part).mean() == pytest.approx(
            part, abs=0.01
        )
