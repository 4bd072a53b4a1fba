"""Boxes, regions, crops and the way back."""

import cv2
import numpy as np
import pytest

from facegeo.errors import InvalidInputError
from facegeo.geometry import crop

RULES = list(crop.CONVENTIONS.values())


@pytest.mark.parametrize("convention", RULES, ids=lambda convention: convention.name)
def test_crop_to_photo_and_back(convention):
    rng = np.random.default_rng(0)
    rois = np.array([[10, 20, 250, 260], [-30, 5, 91, 130]], np.float32)
    points = rng.uniform(0, 120, (2, 68, 3)).astype(np.float32)
    there = crop.crop_to_photo(points, rois, convention)
    assert np.abs(crop.photo_to_crop(there, rois, convention) - points).max() < 1e-4


@pytest.mark.parametrize("convention", RULES, ids=lambda convention: convention.name)
def test_pose_to_photo_equals_the_steps_one_by_one(convention):
    rng = np.random.default_rng(1)
    pose = rng.normal(size=(3, 3, 4)).astype(np.float32)
    rois = np.array([[10, 20, 250, 260], [-30, 5, 91, 130], [0, 0, 120, 120]], np.float32)
    vertices = rng.normal(size=(3, 5, 3)).astype(np.float32)
    posed = vertices @ pose[:, :, :3].transpose(0, 2, 1) + pose[:, None, :, 3]
    to_crop = crop.crop_from_pose_frame(convention)
    in_crop = posed @ to_crop[:, :3].T + to_crop[:, 3]
    expected = crop.crop_to_photo(in_crop.astype(np.float32), rois, convention)
    affine = crop.pose_to_photo(pose, rois, convention)
    found = vertices @ affine[:, :, :3].transpose(0, 2, 1) + affine[:, None, :, 3]
    assert np.abs(found - expected).max() < 1e-3


def test_upstream_frame_is_one_based_with_y_up():
    to_crop = crop.crop_from_pose_frame(crop.CONVENTIONS["3ddfa"])
    assert np.array_equal(to_crop @ [1, 120, 1, 1], [0, 0, 0])  # X-1, 120-Y, Z-1
    assert np.array_equal(to_crop @ [120, 1, 5, 1], [119, 119, 4])


def test_upstream_scaling_is_that_of_the_reference():
    rois = np.array([[154, 164, 373, 383]], np.float32)
    points = np.array([[[60, 30, 10]]], np.float32)
    found = crop.crop_to_photo(points, rois, crop.CONVENTIONS["3ddfa"])
    assert np.allclose(found, [[[60 * 219 / 120 + 154, 30 * 219 / 120 + 164, 10 * 219 / 120]]])


def blob(x: float, y: float, size: tuple[int, int]) -> np.ndarray:
    """A photo with a soft spot centred at (x, y)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 14.0**2))
    return np.repeat(spot[:, :, None], 3, axis=2).round().astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    weight = image[:, :, 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("side", [60, 120, 180, 240])
def test_the_exact_convention_undoes_the_resize(side):
    """A spot's centre found in the crop maps to where it was put, to a twentieth of a pixel."""
    photo = blob(203.3, 151.7, (300, 400))
    centre = np.array([200, 150])
    corner = centre - side // 2
    roi = np.concatenate([corner, corner + side])[None].astype(np.float32)
    inside = blob(203.3 - corner[0], 151.7 - corner[1], (side, side))
    truth = centroid(inside) + corner  # of the spot as the region cuts it
    found = np.append(centroid(crop.crop_faces(photo, roi)[0]), 0)[None, None]
    error = crop.crop_to_photo(found, roi, crop.CONVENTIONS["exact"])[0, 0, :2] - truth
    assert np.abs(error).max() < 0.05
    upstream = crop.crop_to_photo(found, roi, crop.CONVENTIONS["3ddfa"])[0, 0, :2] - truth
    shift = 0.5 - 0.5 * side / 120  # what upstream ignores
    assert np.allclose(upstream, shift, atol=0.05)


def test_regions_of_boxes_follow_3ddfa_v2():
    boxes = np.array([[1699.813, 278.499, 2057.769, 762.435]])
    (roi,) = crop.rois_from_boxes(boxes, crop.CONVENTIONS["3ddfa"])
    assert np.abs(roi - [1546.291, 246.899, 2211.291, 911.899]).max() <= 0.5
    assert roi[2] - roi[0] == roi[3] - roi[1] == 665
    assert np.array_equal(roi, np.round(roi))
    with pytest.raises(TypeError, match="convention"):  # there is no other rule to fall back on
        crop.rois_from_boxes(boxes)


def test_regions_of_landmarks_are_squares_about_their_box():
    points = np.zeros((1, 68, 3), np.float32)
    points[0, 0], points[0, 1] = (100, 50, 0), (200, 90, 7)
    points[0, 2:] = (150, 70, 0)
    (roi,) = crop.rois_from_landmarks(points)
    side = 2 * np.sqrt(2) * 50
    expected = [150 - side / 2, 70 - side / 2, 150 + side / 2, 70 + side / 2]
    assert np.abs(roi - expected).max() < 1  # corner and side are rounded to whole pixels
    assert roi[2] - roi[0] == roi[3] - roi[1] == round(side)


def test_boxes_around_landmarks_give_the_regions_of_the_landmarks():
    points = np.random.default_rng(5).uniform(0, 300, (9, 68, 3)).astype(np.float32)
    boxes = crop.landmark_boxes(points)
    np.testing.assert_array_equal(boxes[:, :2], points[..., :2].min(axis=1))
    np.testing.assert_array_equal(boxes[:, 2:], points[..., :2].max(axis=1))
    assert np.array_equal(crop.rois_around(boxes), crop.rois_from_landmarks(points))


def test_crops_are_black_outside_the_photo_and_equal_a_plain_resize_inside():
    photo = np.random.default_rng(2).integers(0, 256, (200, 300, 3), np.uint8)
    inside, outside = crop.crop_faces(photo, np.array([[20, 10, 180, 170], [-100, -100, 100, 100]]))
    assert np.array_equal(inside, cv2.resize(photo[10:170, 20:180], (120, 120)))
    assert not outside[:58, :58].any()
    assert outside[62:, 62:].any()


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        ([500, 10, 600, 110], "overlaps the photo"),
        ([10, -200, 110, -100], "overlaps the photo"),
        ([10, 10, 10.4, 10.4], "at least one pixel"),
        ([-9000, -9000, 9000, 9000], "photos wide"),
        ([10, np.nan, 50, 50], "finite"),
    ],
)
def test_useless_regions_are_refused(roi, message):
    with pytest.raises(InvalidInputError, match=message):
        crop.check_rois(np.array([[0, 0, 50, 50], roi], np.float32), (300, 400))


def test_unknown_convention_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="3ddfa, exact"):
        crop.find_convention("opencv")


@pytest.mark.parametrize("turned", [False, True])
def test_covariances_move_as_the_points_do(turned):
    """Of many points that scatter by them in the crop, the scatter in the photo."""
    rng = np.random.default_rng(0)
    covariance = np.array([[[4.0, 1.5, 1.0]], [[0.5, -0.3, 2.0]]], np.float32)
    rois = np.array([[10, 20, 310, 380], [-30, 5, 91, 130]], np.float32)
    rotations = np.array([35.0, -120.0]) if turned else None
    convention = crop.find_convention("exact")
    found = crop.covariance_to_photo(covariance, rois, convention, rotations)
    assert found.shape == (2, 1, 2, 2) and found.dtype == np.float32
    for face in range(2):
        xx, xy, yy = covariance[face, 0]
        points = np.full((1, 50000, 3), 60.0, np.float32)
        points[0, :, :2] += rng.multivariate_normal((0, 0), [[xx, xy], [xy, yy]], 50000)
        turn = None if rotations is None else rotations[face : face + 1]
        placed = crop.crop_to_photo(points, rois[face : face + 1], convention, rotations=turn)
        scatter = np.cov(placed[0, :, :2].T)
        assert np.abs(found[face, 0] - scatter).max() < 0.03 * scatter.max()
