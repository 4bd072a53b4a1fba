"""Rotations and Euler angles."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facegeo.geometry import pose

FORWARD, UP = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])


def random_rotations(count: int = 2000) -> np.ndarray:
    return Rotation.random(count, random_state=0).as_matrix()


def at_the_poles(epsilon: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    angles = rng.uniform(-180, 180, (200, 3))
    angles[:, 0] = np.repeat([90 - epsilon, -90 + epsilon], 100)
    return pose.rotation_from_euler(angles)


@pytest.mark.parametrize(
    "rotations",
    [random_rotations(), *(at_the_poles(e) for e in (0, 1e-7, 1e-4, 1e-2, 1))],
    ids=["random", "90", "90-1e-7", "90-1e-4", "90-1e-2", "89"],
)
def test_euler_angles_give_the_rotation_back(rotations):
    again = pose.rotation_from_euler(pose.euler_from_rotation(rotations))
    assert np.abs(again - rotations).max() < 1e-6


def test_float32_rotations_survive_at_the_pole():
    rotations = at_the_poles(0.02).astype(np.float32)
    again = pose.rotation_from_euler(pose.euler_from_rotation(rotations))
    assert np.abs(again - rotations).max() < 1e-3


def test_roll_is_zero_at_the_poles():
    angles = pose.euler_from_rotation(at_the_poles(0))
    assert np.all(angles[:, 2] == 0)
    assert np.allclose(np.abs(angles[:, 0]), 90)


@pytest.mark.parametrize(
    ("angles", "moved", "direction"),
    [
        # yaw, pitch, roll; what is looked at; where it points then (x right, y up, z to the viewer)
        ((20, 0, 0), FORWARD, (-1, 0, 1)),  # turned to the picture's left
        ((0, 20, 0), FORWARD, (0, 1, 1)),  # looks up
        ((0, 0, 20), UP, (1, 1, 0)),  # leans to the picture's right
    ],
)
def test_signs(angles, moved, direction):
    result = pose.rotation_from_euler(np.array([angles]))[0] @ moved
    assert np.array_equal(np.sign(np.round(result, 9)), direction)


def test_rotation_matches_scipy_in_transposed_form():
    """Rx Ry Rz with 3DDFA's elementary matrices, which are the transposes of the usual ones."""
    angles = np.random.default_rng(2).uniform(-180, 180, (50, 3))
    yaw, pitch, roll = angles.T
    expected = Rotation.from_euler("XYZ", -np.column_stack([pitch, yaw, roll]), degrees=True)
    assert np.allclose(pose.rotation_from_euler(angles), expected.as_matrix(), atol=1e-12)


def test_nearest_rotation_is_a_rotation_and_beats_its_neighbours():
    rng = np.random.default_rng(3)
    matrices = rng.normal(size=(200, 3, 3))
    nearest = pose.nearest_rotation(matrices)
    assert np.allclose(nearest @ nearest.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(nearest), 1)
    distance = np.linalg.norm(matrices - nearest, axis=(1, 2))
    for _ in range(20):
        turned = nearest @ Rotation.from_rotvec(0.1 * rng.normal(size=(200, 3))).as_matrix()
        assert (np.linalg.norm(matrices - turned, axis=(1, 2)) >= distance - 1e-9).all()


def test_decomposition_of_a_similarity_is_exact():
    rng = np.random.default_rng(4)
    scale, rotation = rng.uniform(1e-4, 10, 50), random_rotations(50)
    translation = rng.normal(size=(50, 3))
    affine = np.concatenate([scale[:, None, None] * rotation, translation[:, :, None]], axis=2)
    found = pose.decompose_affine(affine)
    for value, expected in zip(found, (scale, rotation, translation), strict=True):
        assert np.allclose(value, expected, rtol=1e-10, atol=1e-12)


def test_upstream_formula_agrees_where_it_is_exact():
    """Without pitch and roll, upstream's yaw is right; pitch and roll always are."""
    yaw_only = np.array([[a, 0, 0] for a in (-80, -20, 0, 45)], float)
    affine = np.pad(pose.rotation_from_euler(yaw_only), ((0, 0), (0, 0), (0, 1)))
    assert np.allclose(pose.upstream_euler(affine), yaw_only, atol=1e-9)
    mixed = np.array([[30.0, 20, 10]])
    affine = np.pad(pose.rotation_from_euler(mixed), ((0, 0), (0, 0), (0, 1)))
    assert np.allclose(pose.upstream_euler(affine)[:, 1:], mixed[:, 1:], atol=1e-9)
    assert abs(pose.upstream_euler(affine)[0, 0] - 30) > 1


def test_annotated_poses_of_aflw2000_follow_the_same_convention(dev):
    """The annotated rotation of a face and the 3D points annotated on it must agree."""
    angles = dev.poses_deg()
    counted = np.abs(angles).max(axis=1) < 99
    again = pose.euler_from_rotation(pose.rotation_from_euler(angles[counted]))
    inside = np.abs(angles[counted][:, 0]) < 90
    assert np.allclose(again[inside], angles[counted][inside], atol=1e-4)
