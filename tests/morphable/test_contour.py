"""Jaw points on the silhouette of a posed head."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.cage_data import cage_arrays, write_cage
from helpers.morphable_data import ellipsoid

from facegeo.errors import InvalidInputError, MissingBasisError
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.render.zbuffer import rasterize

HEAD = Path(__file__).parents[2] / "facegeo/assets/facegeo-head.npz"
JAW = slice(0, 17)


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return MorphableModel.load(HEAD)


def people(head: MorphableModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    shape = 0.8 * np.random.default_rng(0).normal(size=(count, head.num_shape))
    return shape.astype(np.float32), np.zeros((count, head.num_expression), np.float32)


def placed(yaw: float, count: int = 1, lean: float = 0) -> np.ndarray:
    """Poses in photo pixels, two to a millimetre; the photo is turned by ``lean`` at last."""
    turn = rotation_from_euler(np.array([[0.0, 0, lean]])) @ rotation_from_euler(
        np.array([[yaw, 0.0, 0.0]] * count)
    )
    linear = 2 * turn * np.array([1, -1, 1])[:, None]
    return np.concatenate([linear, np.full((count, 3, 1), 250.0)], axis=2).astype(np.float32)


def outline_of(head: MorphableModel, vertices: np.ndarray) -> np.ndarray:
    """Distance of every pixel from the outline of face and scalp, (500, 500)."""
    face = head.regions["face"] | head.regions["scalp"] | head.regions["lips"]
    triangles = head.triangles[face[head.triangles].all(axis=1)]
    mask = (rasterize(vertices, triangles, 500, 500).mesh >= 0).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9)))  # holes of the eyes
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    return np.maximum(inside, cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5))


@pytest.mark.parametrize("yaw", [30, 45, 60, -30, -45, -60])
@pytest.mark.parametrize("lean", [0, 25])
def test_far_jaw_points_of_a_turned_head_lie_on_its_outline(head, yaw, lean):
    shape, expression = people(head, 3)
    pose = placed(yaw, 3, lean)
    found = head.landmarks(shape, expression, pose, contour="silhouette")
    true = head.landmarks(shape, expression, pose)
    # At 60 degrees the nose stands before the cheek: rows end there.
    rows = np.arange(1, 8) if abs(yaw) < 60 else np.arange(3, 8)
    far = rows if yaw > 0 else 16 - rows
    near = np.arange(11, 16) if yaw > 0 else np.arange(1, 6)
    before, after = [], []
    for n, vertices in enumerate(head.vertices(shape, expression, pose)):
        size = np.sqrt(np.ptp(true[n, :, :2], axis=0).prod())
        distance = outline_of(head, vertices) / size
        for points, column in ((true, before), (found, after)):
            x, y = np.rint(points[n, far, :2]).astype(int).T
            column.append(distance[y, x])
    assert np.mean(after) < 0.01 and np.max(after) < (0.015 if abs(yaw) < 60 else 0.025)
    assert np.mean(before) > 3 * np.mean(after)
    np.testing.assert_allclose(found[:, near], true[:, near], atol=1e-3)
    np.testing.assert_array_equal(found[:, 17:], true[:, 17:])


def test_from_the_front_they_are_the_points_of_the_surface(head):
    shape, expression = people(head, 5)
    pose = placed(0, 5)
    found = head.landmarks(shape, expression, pose, contour="silhouette")
    true = head.landmarks(shape, expression, pose)
    size = np.sqrt(np.ptp(true[..., :2], axis=1).prod(axis=1))
    distance = np.linalg.norm((found - true)[..., :2], axis=2) / size[:, None]
    assert distance.max() < 0.015
    # Without a pose the head is seen from the front.
    front = head.landmarks(shape, expression, contour="silhouette")
    own = head.landmarks(shape, expression)
    assert np.linalg.norm((front - own)[..., :2], axis=2).max() < 0.015 * size.max() / 2


def test_a_mirrored_head_has_the_mirrored_outline(head):
    from facegeo.conventions import LANDMARK_MIRROR

    shape, expression = people(head, 1)
    mirror = head.mirror
    other = shape[:, mirror.shape_index] * mirror.shape_sign
    a = head.landmarks(shape, expression, placed(40), contour="silhouette")[0]
    b = head.landmarks(other, expression, placed(-40), contour="silhouette")[0]
    expected = b[LANDMARK_MIRROR] * (-1, 1, 1) + (500, 0, 0)
    np.testing.assert_allclose(a, expected, atol=0.05)


def test_no_faces_have_no_outline(head):
    nothing = np.zeros((0, head.num_shape)), np.zeros((0, head.num_expression))
    assert head.landmarks(*nothing, np.zeros((0, 3, 4)), contour="silhouette").shape == (0, 68, 3)


def test_a_model_without_rows_says_so():
    model = ellipsoid()
    columns = (np.zeros((1, 6), np.float32), np.zeros((1, 3), np.float32))
    with pytest.raises(MissingBasisError, match="'ellipsoid' has no layout 'silhouette'"):
        model.landmarks(*columns, contour="silhouette")


def test_arguments_that_do_not_fit_are_named(head):
    shape, expression = people(head, 1)
    with pytest.raises(InvalidInputError, match="contour: expected 'surface', or 'silhouette'"):
        head.landmarks(shape, expression, contour="outline")
    with pytest.raises(InvalidInputError, match="got 'silhouette' with 'iris'"):
        head.landmarks(shape, expression, layout="iris", contour="silhouette")


def test_rows_of_another_number_are_refused(cache, tmp_path):
    arrays = cage_arrays()
    crown = {
        f"landmarks__silhouette__{key}": arrays[f"landmarks/crown/{key}"]
        for key in ("rows", "indptr", "indices", "weights")
    }
    model = MorphableModel.load(write_cage(tmp_path / "ball.npz", **crown))
    columns = (np.zeros((1, model.num_shape)), np.zeros((1, model.num_expression)))
    with pytest.raises(InvalidInputError, match="expected 17 rows of as many points, got 9"):
        model.landmarks(*columns, contour="silhouette")
