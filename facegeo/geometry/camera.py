"""From a weak-perspective pose in pixels to a head in millimetres in the camera's frame.

A photo shows no absolute size. What is assumed, and what it costs where it is wrong:

- the head has the size of the fitted face (adults' heads differ by about +-5 %, children's are
  smaller; distance and position are wrong by the same share);
- the camera matrix is that of the photo as given (not of a resized or cropped one), without lens
  distortion;
- the head is shallow compared with its distance, so that one scale holds for all of it (at an arm's
  length perspective changes it by about a tenth between nose and ears);
- the rotation was seen along the ray through the head, as it is where a network sees a crop; it is
  turned by the angle between that ray and the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import TO_VISION


@dataclass(frozen=True, eq=False)
class MetricPose:
    """Places and rotations of N heads, in the camera frame of computer vision.

    The frame is right-handed with its origin in the camera's centre: x right in the image, y
    down, z along the optical axis away from the camera, as in OpenCV's ``solvePnP``.

    Attributes
    ----------
    rotation : (N, 3, 3) float64
        Orthonormal, determinant +1: model axes to this frame.
    translation_mm : (N, 3) float64
        The model's origin.
    unit_mm : float
        Millimetres in one model unit.
    """

    rotation: np.ndarray
    translation_mm: np.ndarray
    unit_mm: float

    @property
    def distance_mm(self) -> np.ndarray:
        """(N,) float64: from the camera's centre to the model's origin."""
        return np.linalg.norm(self.translation_mm, axis=1)

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Model points (V, 3) or (N, V, 3), model units, to (N, V, 3) millimetres."""
        points = np.asarray(points, np.float64) * self.unit_mm
        return points @ np.swapaxes(self.rotation, 1, 2) + self.translation_mm[:, None]


def to_metric(
    scale: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    camera_matrix: np.ndarray,
    *,
    unit_mm: float,
    reference: np.ndarray | None = None,
) -> MetricPose:
    """Place heads in millimetres; the module's text says what is assumed.

    Parameters
    ----------
    scale : (N,) float
        Photo pixels per model unit, > 0.
    rotation : (N, 3, 3) float
        Model axes to camera axes with y up and z to the viewer.
    translation : (N, 2) or (N, 3) float
        Photo pixels (y down): where the model's origin is seen; a third column is not used.
    camera_matrix : (3, 3) float
        ``[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]``, pixels, of this photo at this size.
    unit_mm : float
        Millimetres in one model unit.
    reference : (3,) or (N, 3) float, optional
        The point of the model, in model units, at whose depth the scale holds: the mean of the
        landmarks that were fitted. The origin without it.

    Raises
    ------
    InvalidInputError
        If a shape is wrong, a number is not finite, or scale or focal length is not positive.
    """
    scale = array_of("scale", scale, ("N",), np.float64)
    faces = len(scale)
    if (scale <= 0).any():
        raise InvalidInputError(f"scale: expected positive numbers, got {scale.min()}")
    if not 0 < unit_mm < np.inf:
        raise InvalidInputError(f"unit_mm: expected a positive number, got {unit_mm}")
    R = array_of("rotation", rotation, (faces, 3, 3), np.float64)
    columns = np.shape(translation)[-1] if np.ndim(translation) == 2 else 3
    t = array_of("translation", translation, (faces, 3 if columns != 2 else 2), np.float64)[:, :2]
    K = _checked_camera(camera_matrix)
    point = _checked_reference(reference, faces)

    turned = (R @ point[..., None])[..., 0]
    seen = t + scale[:, None] * turned[:, :2] * (1, -1)  # photo pixels, y down
    ray = np.concatenate([seen, np.ones((faces, 1))], axis=1) @ np.linalg.inv(K).T
    # Away from the axis a pinhole magnifies what faces it by f/z across the ray's direction in the
    # image and by f/(z cos) along it; the scale of a similarity is the geometric mean.
    stretch = np.sqrt(np.linalg.norm(ray, axis=1))
    depth = (K[0, 0] + K[1, 1]) / 2 * unit_mm / scale * stretch
    placed = _turn_to(ray) @ (TO_VISION @ R)
    origin = depth[:, None] * ray - (placed @ (point * unit_mm)[..., None])[..., 0]
    return MetricPose(rotation=placed, translation_mm=origin, unit_mm=float(unit_mm))


def _checked_reference(reference: np.ndarray | None, faces: int) -> np.ndarray:
    """(N, 3) from none, one point or one a face."""
    point = np.zeros(3) if reference is None else np.asarray(reference)
    if point.ndim < 2:
        point = np.tile(array_of("reference", point, (3,), np.float64), (faces, 1))
    return array_of("reference", point, (faces, 3), np.float64)


def _checked_camera(camera_matrix: np.ndarray) -> np.ndarray:
    K = array_of("camera_matrix", camera_matrix, (3, 3), np.float64)
    if not (K[0, 0] > 0 and K[1, 1] > 0 and K[1, 0] == 0 and np.array_equal(K[2], (0, 0, 1))):
        raise InvalidInputError(
            "camera_matrix: expected [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] with positive focal "
            f"lengths, got {K.tolist()}"
        )
    return K


def _turn_to(ray: np.ndarray) -> np.ndarray:
    """The smallest rotations that take the optical axis (0, 0, 1) to each ray (N, 3), z > 0."""
    x, y, z = (ray / np.linalg.norm(ray, axis=1, keepdims=True)).T
    # Rodrigues' formula for the axis (-y, x, 0), sine hypot(x, y) and cosine z.
    k = 1 / (1 + z)
    rows = [[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]]
    return np.moveaxis(np.array(rows), -1, 0)
