"""A smoothed face is still one face: its parts belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.morphable_data import generic_model
from helpers.video_data import NoMesh

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import find_convention, pose_from_photo, pose_to_photo
from facegeo.geometry.depth import from_eyes
from facegeo.geometry.params import join, split
from facegeo.geometry.pose import euler_from_rotation, rotation_from_euler
from facegeo.results import FaceBatch
from facegeo.track import FaceSmoother, Smoothing
from facegeo.track.smoothing import REGIONS

CONVENTION = find_convention("exact")
ROI = np.array([[100, 50, 340, 290]], np.float32)


class GenericMesh:
    """The default face model as a mesh source."""

    unit_mm = 1.0
    morphable = generic_model()


def face(angles, noise=0.0, seed=0, source=GenericMesh):
    """A face of the generic model, turned, with noise on its shape and pose."""
    rng = np.random.default_rng(seed)
    model = GenericMesh.morphable
    pose = np.zeros((1, 3, 4), np.float32)
    pose[0, :, :3] = rotation_from_euler(np.array([angles]))[0] * 0.5
    pose[0, :, 3] = [60, 60, 0]
    pose += noise * 0.01 * rng.standard_normal(pose.shape)
    shape = 1.0 + noise * rng.standard_normal((1, 40))
    expression = np.full((1, 10), 0.2) + noise * 0.1 * rng.standard_normal((1, 10))
    params = join(pose, shape, expression).astype(np.float32)
    pose, shape, expression = split(params)
    points = model.landmarks(shape, expression, pose_to_photo(pose, ROI, CONVENTION))
    points, depths = from_eyes(points)
    presence = np.array([0.9], np.float32)
    batch = FaceBatch(params, points, points, presence, ROI, CONVENTION, depths=depths)
    return batch.faces(np.zeros((1, 4), np.float32), np.ones(1), source())[0]


def test_groups_are_the_named_regions():
    starts = {region.start for region in LANDMARK_REGIONS.values()}
    assert set(REGIONS) <= starts


def test_parameters_place_the_face_where_affine_and_landmarks_say():
    smoother = FaceSmoother()
    for index in range(20):
        smooth = smoother(face([index, 5, 3], 0.2, index), index / 30, CONVENTION)
    pose, shape, expression = split(smooth.params[None])
    np.testing.assert_allclose(pose_to_photo(pose, ROI, CONVENTION)[0], smooth.affine, atol=1e-3)
    model = GenericMesh.morphable
    again = model.landmarks(shape, expression, smooth.affine[None])[0]
    np.testing.assert_array_equal(again[:, :2], smooth.coarse_landmarks[:, :2])
    # Depth is counted from the eyes once for all points: a float32 is rounded elsewhere.
    np.testing.assert_allclose(again[:, 2], smooth.coarse_landmarks[:, 2], rtol=0, atol=5e-5)
    assert np.abs(smooth.coarse_landmarks - smooth.landmarks).mean() < 3
    angles = euler_from_rotation(smooth.pose.rotation[None])[0]
    assert (smooth.pose.yaw, smooth.pose.pitch) == pytest.approx(angles[:2])


def test_pose_from_photo_is_the_inverse():
    pose = np.random.default_rng(0).normal(0, 1, (1, 3, 4)).astype(np.float32)
    for name in ("exact", "3ddfa"):
        convention = find_convention(name)
        there = pose_to_photo(pose, ROI, convention)
        np.testing.assert_allclose(pose_from_photo(there, ROI, convention), pose, atol=1e-4)


def test_the_first_face_is_as_measured():
    measured = face([20, 5, 3])
    smooth = FaceSmoother()(measured, 0.0, CONVENTION)
    np.testing.assert_allclose(smooth.landmarks, measured.landmarks, atol=1e-4)
    np.testing.assert_allclose(smooth.coarse_landmarks, measured.coarse_landmarks, atol=1e-2)
    np.testing.assert_allclose(smooth.affine, measured.affine, atol=1e-3)


def test_one_person_has_one_shape():
    smoother = FaceSmoother()
    shapes = [
        split(smoother(face([0, 0, 0], 0.3, index), index / 30, CONVENTION).params[None]).shape[0]
        for index in range(60)
    ]
    assert np.abs(shapes[-1] - 1).mean() < 0.1 < np.abs(shapes[0] - 1).mean()
    assert np.abs(shapes[-1] - shapes[-2]).max() < 0.05
    own = FaceSmoother(Smoothing(share_shape=False))
    measured = face([0, 0, 0], 0.3, 5)
    own(face([0, 0, 0]), 0.0, CONVENTION)
    smooth = own(measured, 0.03, CONVENTION)
    np.testing.assert_array_equal(smooth.params[12:52], measured.params[12:52])


def test_after_a_break_the_place_is_new_and_the_shape_is_kept():
    smoother = FaceSmoother()
    for index in range(30):
        smoother(face([0, 0, 0], 0.3, index), index / 30, CONVENTION)
    measured = face([40, 0, 0], 0.3, 99)
    back = smoother(measured, 5.0, CONVENTION)
    np.testing.assert_allclose(back.landmarks, measured.landmarks, atol=1e-4)
    assert np.abs(back.params[12:52] - 1).mean() < 0.15


def test_without_dense_bases_coarse_landmarks_are_the_smoothed_ones():
    smooth = FaceSmoother()(face([0, 0, 0], source=NoMesh), 0.0, CONVENTION)
    assert smooth.coarse_landmarks is smooth.landmarks


@pytest.mark.parametrize(
    "bad",
    [{"filter": 3}, {"landmark_noise": 0}, {"rotation_noise": "1"}, {"share_shape": "no"}],
    ids=str,
)
def test_refuses_bad_settings(bad):
    with pytest.raises(InvalidInputError, match=f"^{next(iter(bad))}: expected .*, got"):
        Smoothing(**bad)


def test_points_that_the_network_is_unsure_of_are_smoothed_more():
    """The same noise on all points: those of wide ellipses shake less, and none lags in motion."""
    wide = slice(0, 8)
    covariance = np.tile(np.eye(2, dtype=np.float32), (68, 1, 1))
    covariance[wide] *= 16

    def path(known: bool, speed: float) -> np.ndarray:
        rng, smoother, points = np.random.default_rng(0), FaceSmoother(), []
        still = face([0, 0, 0])
        for frame in range(60):
            moved = still.landmarks + np.float32([speed * frame, 0, 0])
            moved[:, :2] += rng.normal(0, 0.25, (68, 2)).astype(np.float32)
            given = {"covariance": covariance} if known else {}
            now = replace(still, landmarks=moved, **given)
            points.append(smoother(now, frame / 30, CONVENTION).landmarks[:, :2])
        return np.array(points)

    shaking = [np.abs(np.diff(path(known, 0.0)[10:], axis=0)).mean(axis=(0, 2)) for known in (0, 1)]
    assert shaking[1][wide].mean() < 0.7 * shaking[0][wide].mean()
    assert shaking[1][8:] == pytest.approx(shaking[0][8:])
    lag = [path(known, 6.0)[-1, :, 0] for known in (False, True)]
    assert np.abs(lag[1] - lag[0]).max() < 1.5
