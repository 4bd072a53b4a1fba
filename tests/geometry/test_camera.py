import numpy as np
import pytest
from helpers.morphable_data import ellipsoid
from scipy.spatial.transform import Rotation

from facegeo.errors import InvalidInputError
from facegeo.geometry.camera import to_metric

CAMERA = np.array([[1200.0, 0, 640], [0, 1200, 360], [0, 0, 1]])


def test_on_the_axis_position_follows_from_size() -> None:
    # 2 px a millimetre with a focal length of 1200 px: 600 mm away; the picture's centre: no shift.
    pose = to_metric([2.0], np.eye(3)[None], [[640.0, 360.0, 7.0]], CAMERA, unit_mm=1.0)
    np.testing.assert_allclose(pose.translation_mm, [[0, 0, 600]], atol=1e-9)
    # y up becomes y down, z to the viewer becomes z away: the nose (z > 0) is nearer.
    np.testing.assert_allclose(pose.rotation[0], np.diag([1, -1, -1]), atol=1e-12)
    np.testing.assert_allclose(pose.transform(np.array([[0, 0, 100.0]])), [[[0, 0, 500]]])
    np.testing.assert_allclose(pose.distance_mm, [600])


def test_model_units_are_taken_into_account() -> None:
    # The same face in centimetres: 20 px a unit.
    pose = to_metric([20.0], np.eye(3)[None], [[640.0, 360.0]], CAMERA, unit_mm=10.0)
    np.testing.assert_allclose(pose.translation_mm, [[0, 0, 600]], atol=1e-9)


@pytest.mark.parametrize(
    ("distance", "median", "largest"), [(600.0, 0.03, 0.06), (3000.0, 0.01, 0.04)]
)
def test_true_perspective_is_recovered(distance: float, median: float, largest: float) -> None:
    """Heads anywhere in the picture, projected by a pinhole, their 68 points fitted."""
    model = ellipsoid()
    count = 50
    rng = np.random.default_rng(0)
    points = model.landmark_basis.mean.astype(np.float64)
    turn = Rotation.from_euler("yx", rng.uniform(-30, 30, (count, 2)), degrees=True).as_matrix()
    turn = np.diag([1, -1, -1]) @ turn
    pixel = np.stack([rng.uniform(100, 1180, count), rng.uniform(100, 620, count)], axis=1)
    ray = np.concatenate([pixel, np.ones((count, 1))], axis=1) @ np.linalg.inv(CAMERA).T
    place = ray * distance
    world = points @ np.swapaxes(turn, 1, 2) + place[:, None]
    projected = world @ CAMERA.T
    seen = projected[..., :2] / projected[..., 2:]
    # What a network says about depth: along the ray on which it sees the face, in the scale that
    # the face has in the picture, larger towards the viewer.
    length = np.linalg.norm(ray, axis=1)[:, None]
    along = np.einsum("nki,ni->nk", world - place[:, None], ray) / length
    depth = -along * 1200 / distance * np.sqrt(length)
    model = model.truncated(0, 0)
    fit = model.fit(np.concatenate([seen, depth[..., None]], axis=2))
    metric = model.to_metric(fit, CAMERA)
    error = np.linalg.norm(metric.translation_mm - place, axis=1) / distance
    # Perspective within a head of 160 mm, and the uneven stretch of a pinhole up to 30 degrees
    # from its axis, are what a similarity cannot express.
    assert np.median(error) < median
    assert error.max() < largest


def test_rotation_is_proper_and_follows_the_ray() -> None:
    pose = to_metric([1.0], np.eye(3)[None], [[1840.0, 360.0]], CAMERA, unit_mm=1.0)
    np.testing.assert_allclose(pose.rotation[0] @ pose.rotation[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose.rotation[0]) == pytest.approx(1)
    # Seen 45 degrees to the right and frontal there: the face's z axis points back to the camera.
    back = -pose.translation_mm[0] / pose.distance_mm[0]
    np.testing.assert_allclose(pose.rotation[0][:, 2], back, atol=1e-12)


def test_fits_of_other_frames_are_refused() -> None:
    model = ellipsoid()
    fit = model.fit(model.landmark_basis.mean[None], frame="model")
    with pytest.raises(InvalidInputError, match="expected a fit of photo pixels"):
        model.to_metric(fit, CAMERA)


def test_each_face_may_have_its_own_reference() -> None:
    points = np.array([[0, 0, 10.0], [5, 0, 0]])
    arguments = np.ones(2), np.stack([np.eye(3)] * 2), np.full((2, 2), 400.0), CAMERA
    both = to_metric(*arguments, unit_mm=1.0, reference=points)
    for i, point in enumerate(points):
        one = to_metric(*arguments, unit_mm=1.0, reference=point)
        np.testing.assert_allclose(both.translation_mm[i], one.translation_mm[i])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": [0.0]}, "scale: expected positive"),
        ({"scale": [1.0, 2.0]}, "rotation: expected shape"),
        ({"camera_matrix": np.eye(4)}, "camera_matrix: expected shape"),
        ({"camera_matrix": -np.eye(3)}, "camera_matrix: expected"),
        ({"translation": [[1.0]]}, "translation: expected shape"),
        ({"reference": [1.0, 2.0]}, "reference: expected shape"),
        ({"unit_mm": 0.0}, "unit_mm: expected a positive number"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "scale": [1.0],
        "rotation": np.eye(3)[None],
        "translation": [[0.0, 0.0]],
        "camera_matrix": CAMERA,
        "unit_mm": 1.0,
    }
    with pytest.raises(InvalidInputError, match=message):
        to_metric(**(good | arguments))  # type: ignore[arg-type]
