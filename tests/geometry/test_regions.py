"""Regions that turn with their faces, and when two regions are one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegeo.geometry import crop
from facegeo.geometry.regions import LEAST_LEAN, Regions
from facegeo.images.demo import sample_photo

CONVENTION = crop.find_convention("exact")
ROIS = np.array([[100, 60, 220, 180], [-30, 5, 91, 126]], np.float32)


def upright_face() -> np.ndarray:
    """Landmarks of no one, (1, 68, 2): eyes above the mouth."""
    points = np.random.default_rng(0).uniform(100, 200, (1, 68, 2))
    points[:, 36:48] = (150, 130)
    points[:, 48:] = (150, 180)
    return points


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise, as the viewer sees it, by OpenCV's own convention."""
    matrix = cv2.getRotationMatrix2D((150, 150), -degrees, 1.0)
    return points @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("degrees", [-170.0, -90.0, -25.0, 0.0, 40.0, 90.0, 135.0])
def test_lean_is_clockwise_and_regions_turn_with_it(degrees):
    points = turned(upright_face(), degrees)
    assert crop.lean_of_faces(points)[0] == pytest.approx(degrees, abs=1e-3)
    regions = Regions.from_landmarks(points)
    expected = degrees if abs(degrees) > LEAST_LEAN else 0.0
    assert regions.rotations[0] == pytest.approx(expected, abs=1e-3)
    if expected:  # the same square about the same pixels
        assert regions.sides[0] == pytest.approx(
            Regions.from_landmarks(upright_face()).sides[0], abs=1
        )


@pytest.mark.parametrize("degrees", [90.0, 180.0, -90.0])
def test_a_crop_of_a_turned_image_is_that_of_the_upright_one(degrees):
    """Face and image are turned clockwise; a region that is turned likewise shows it as before."""
    image = sample_photo()
    how = {
        90.0: cv2.ROTATE_90_CLOCKWISE,
        180.0: cv2.ROTATE_180,
        -90.0: cv2.ROTATE_90_COUNTERCLOCKWISE,
    }[degrees]
    side = image.shape[0]
    x0, y0, x1, y1 = 150, 60, 300, 210
    corner = {
        90.0: (side - y1, x0),
        180.0: (side - x1, side - y1),
        -90.0: (y0, side - x1),
    }[degrees]
    there = np.array([[*corner, corner[0] + 150, corner[1] + 150]], np.float32)
    expected = crop.crop_faces(image, np.array([[x0, y0, x1, y1]], np.float32), 96)
    found = crop.crop_faces(cv2.rotate(image, how), there, 96, rotations=np.array([degrees]))
    # warpAffine() places pixels to a thirty-second, resize() exactly.
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 1.0


@pytest.mark.parametrize("name", ["exact", "3ddfa"])
def test_points_of_turned_crops_come_back(name):
    convention = crop.find_convention(name)
    points = np.random.default_rng(1).uniform(0, 120, (2, 68, 3)).astype(np.float32)
    where = {"rotations": np.array([35.0, -120.0], np.float32)}
    there = crop.crop_to_photo(points, ROIS, convention, **where)
    assert np.abs(crop.photo_to_crop(there, ROIS, convention, **where) - points).max() < 1e-3
    pose = np.random.default_rng(2).normal(0, 1, (2, 3, 4)).astype(np.float32)
    affine = crop.pose_to_photo(pose, ROIS, convention, **where)
    vertex = np.array([0.3, -0.2, 0.5, 1.0], np.float32)
    in_crop = crop.pose_to_crop(pose, convention) @ vertex
    expected = crop.crop_to_photo(in_crop[:, None], ROIS, convention, **where)[:, 0]
    np.testing.assert_allclose(affine @ vertex, expected, atol=1e-3)
    np.testing.assert_allclose(
        crop.pose_from_photo(affine, ROIS, convention, **where), pose, atol=1e-3
    )


def test_a_spot_is_found_where_the_turned_crop_shows_it():
    image = np.zeros((300, 300, 3), np.uint8)
    cv2.circle(image, (171, 93), 6, (255, 255, 255), -1, cv2.LINE_AA)
    roi, rotation = np.array([[80, 60, 230, 210]], np.float32), np.array([50.0], np.float32)
    shown = crop.crop_faces(image, roi, 120, rotations=rotation)[0, :, :, 0].astype(float)
    y, x = np.mgrid[:120, :120]
    spot = np.array([[[(x * shown).sum() / shown.sum(), (y * shown).sum() / shown.sum(), 0]]])
    back = crop.crop_to_photo(spot.astype(np.float32), roi, CONVENTION, rotations=rotation)
    assert np.abs(back[0, 0, :2] - [171, 93]).max() < 0.1


def test_regions_differ_by_corner_side_and_turn():
    one = Regions(np.array([[100, 100, 200, 200]], np.float32), np.zeros(1, np.float32))

    def other(roi: tuple[int, ...], degrees: float = 0.0) -> Regions:
        return Regions(np.array([roi], np.float32), np.array([degrees], np.float32))

    assert not one.differ(other((105, 100, 205, 200)))[0]
    assert one.differ(other((109, 100, 209, 200)))[0]
    assert one.differ(other((105, 105, 195, 195)))[0]  # a tenth smaller about the same middle
    assert not one.differ(other((100, 100, 200, 200), 4.0))[0]
    assert one.differ(other((100, 100, 200, 200), 30.0))[0]


def test_what_lies_beyond_is_as_much_farther_off():
    one = Regions(np.array([[100, 100, 200, 200]], np.float32), np.zeros(1, np.float32))
    asked = Regions(np.array([[110, 90, 230, 210]], np.float32), np.array([30.0], np.float32))
    further = one.beyond(asked, 1.5)
    assert further.rois[0].tolist() == [115, 85, 245, 215]  # the middle moved by 20, 0; so 30, 0
    assert further.rotations[0] == 30.0
