"""Index tables."""

import numpy as np

from facegeo.conventions import AFLW21_FROM_68, LANDMARK_MIRROR, LANDMARK_REGIONS


def test_mirroring_twice_changes_nothing_and_swaps_the_named_sides():
    assert np.array_equal(LANDMARK_MIRROR[LANDMARK_MIRROR], np.arange(68))
    for side in ("eyebrow", "eye"):
        left, right = LANDMARK_REGIONS[f"left_{side}"], LANDMARK_REGIONS[f"right_{side}"]
        assert set(LANDMARK_MIRROR[left]) == set(right)


def test_mirrored_frontal_face_stays_in_order(dev):
    """On frontal faces a mirrored point lies near its partner; a wrong table is off by far more."""
    frontal = dev.reannotated[np.abs(dev.yaw_deg) < 5]
    centred = frontal - frontal.mean(axis=1, keepdims=True)
    mirrored = centred[:, LANDMARK_MIRROR] * [-1, 1]
    size = np.ptp(centred, axis=1).mean(axis=1)
    distance = np.linalg.norm(mirrored.mean(axis=0) - centred.mean(axis=0), axis=1)
    assert distance.max() < 0.05 * size.mean()


def test_regions_cover_all_points_once():
    assert sorted(i for region in LANDMARK_REGIONS.values() for i in region) == list(range(68))


def test_aflw_points_are_where_their_names_say():
    assert len(AFLW21_FROM_68) == 21
    assert AFLW21_FROM_68[7] == tuple(LANDMARK_REGIONS["right_eye"])  # centre of the right eye
    assert AFLW21_FROM_68[14] == (30,)  # nose tip
    assert AFLW21_FROM_68[20] == (8,)  # chin
