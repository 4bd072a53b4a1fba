"""One person's face from frame to frame, steady at rest and quick in motion.

What is filtered, and how:

- landmarks: One-Euro, one gain for each region, so that a blink does not shake the jaw; points that
  the network is unsure of are smoothed more, as their covariance says;
- rotation: One-Euro on the manifold, along geodesics;
- size, position and what is not a rotation in the network's matrix: One-Euro;
- expression: with the gain of the quickest of the landmarks' regions;
- shape: the robust mean over the track. It is one person, so it converges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from facegeo.base.arrays import describe, flag, number_in
from facegeo.errors import InvalidInputError, MissingBasisError
from facegeo.geometry import params as parameters
from facegeo.geometry.axes import flip_rows
from facegeo.geometry.crop import CropConvention, pose_from_photo
from facegeo.geometry.depth import from_eyes
from facegeo.geometry.pose import euler_from_rotation, nearest_rotation
from facegeo.results import Face, MeshSource, Pose
from facegeo.track.filters import OneEuro, OneEuroSettings, RunningMean
from facegeo.track.rotations import rotated, rotation_difference

#: First landmarks of jaw, brows, nose, the eyes, mouth.
REGIONS = (0, 17, 27, 36, 42, 48)

#: Depth is up to three times as noisy as x and y, and no motion is seen in it alone.
_JUDGED = slice(0, 2)

#: Seconds after which a face that returns is filtered afresh; its shape is kept.
_BREAK_S = 0.25


@dataclass(frozen=True)
class Smoothing:
    """Settings by which faces are smoothed.

    The noises are what a sensor with a standard deviation of 3 of 255 gives on a face of 120
    pixels in the crop.

    Attributes
    ----------
    filter : OneEuroSettings
    landmark_noise : float
        In sizes of the face (the larger side of the landmarks' box).
    rotation_noise : float
        Radians.
    placement_noise : float
        Of position, in sizes of the face, and of the matrix, in scales.
    share_shape : bool
        One shape for the track; else each frame's own.
    """

    filter: OneEuroSettings = field(default_factory=OneEuroSettings)
    landmark_noise: float = 0.0014
    rotation_noise: float = 0.0027
    placement_noise: float = 0.001
    share_shape: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.filter, OneEuroSettings):
            raise InvalidInputError(
                f"filter: expected OneEuroSettings, got {describe(self.filter)}"
            )
        for name in ("landmark_noise", "rotation_noise", "placement_noise"):
            if number_in(name, getattr(self, name), 0) == 0:
                raise InvalidInputError(f"{name}: expected a positive number, got 0")
        flag("share_shape", self.share_shape)


#: A point is taken to be at most this many times as noisy as the face's usual one.
_MOST_SPREAD = 4.0


def _spread(covariance: np.ndarray) -> np.ndarray | None:
    """Noise of each point in that of the median one, at least 1; None where nobody knows."""
    deviation = np.sqrt(np.trace(covariance, axis1=1, axis2=2))
    if not np.isfinite(deviation).all():
        return None
    return np.clip(deviation / np.median(deviation), 1.0, _MOST_SPREAD)


def landmark_filter(settings: Smoothing) -> OneEuro:
    """The filter of (68, 3) landmarks; its unit is the size of the face."""
    return OneEuro(settings.filter, settings.landmark_noise, REGIONS, judged=_JUDGED)


def rotation_filter(settings: Smoothing) -> OneEuro:
    """The filter of a (3, 3) rotation."""
    how = settings.filter
    return OneEuro(how, settings.rotation_noise, difference=rotation_difference, move=rotated)


class FaceSmoother:
    """The filters of one track."""

    def __init__(self, settings: Smoothing | None = None) -> None:
        self.settings = settings or Smoothing()
        self._shape = RunningMean()
        self._last_s: float | None = None
        self._restart()

    def _restart(self) -> None:
        settings, how = self.settings, self.settings.filter
        self._landmarks = landmark_filter(settings)
        self._rotation = rotation_filter(settings)
        self._stretch = OneEuro(how, settings.placement_noise)
        self._place = OneEuro(how, settings.placement_noise)
        self._expression: np.ndarray | None = None

    def __call__(self, face: Face, now_s: float, convention: CropConvention) -> Face:
        """The next frame's face, smoothed.

        Landmarks, pose, parameters and mesh belong together as before; ``roi``, ``box`` and the
        scores are the frame's own.

        Raises
        ------
        InvalidInputError
            If the time is no finite number.
        """
        if not math.isfinite(now_s):
            raise InvalidInputError(f"now_s: expected a finite number of seconds, got {now_s}")
        if self._last_s is not None and now_s - self._last_s > _BREAK_S:
            self._restart()
            self._last_s = None
        passed = 1.0 if self._last_s is None else max(now_s - self._last_s, 1e-3)
        self._last_s = now_s
        size = float(np.ptp(face.landmarks[:, :2], axis=0).max())
        spread = _spread(face.covariance)
        landmarks, gain = self._landmarks(face.landmarks, passed, size, spread=spread)
        affine, pose = self._placed(face, passed, size)
        shape, expression = face.shape, face.expression
        mean_shape = self._shape(shape)
        if self._expression is None:
            self._expression = expression.astype(np.float64)
        self._expression = self._expression + gain * (expression - self._expression)
        shapes = (
            (mean_shape if self.settings.share_shape else shape)[None].astype(np.float32),
            self._expression[None].astype(np.float32),
        )
        # The eyes and the place have gains of their own: depth would not stay where it begins.
        (points,), _ = from_eyes(landmarks.astype(np.float32)[None])
        coarse, depth = _coarse(face, points, *shapes, affine)
        affine[2, 3] -= depth
        pose.translation[2] -= depth
        turned = np.array([face.roi_rotation]) if face.roi_rotation else None
        place = pose_from_photo(affine[None], face.roi[None], convention, rotations=turned)
        return replace(
            face,
            landmarks=points,
            coarse_landmarks=coarse,
            params=parameters.join(place, *shapes)[0].astype(np.float32),
            affine=affine,
            pose=pose,
        )

    def _placed(self, face: Face, passed: float, size: float) -> tuple[np.ndarray, Pose]:
        """Model to photo: rotation, stretch (A = R P) and position are filtered apart."""
        matrix = flip_rows(face.affine[:, :3].astype(np.float64))
        rotation = nearest_rotation(matrix[None])[0]
        stretch = rotation.T @ matrix
        # The middle of the face, not the model's origin: no lever turns rotation into position.
        middle = face.coarse_landmarks.mean(axis=0).astype(np.float64)
        anchor = np.linalg.solve(face.affine[:, :3].astype(np.float64), middle - face.affine[:, 3])
        # One gain for all three: a head that turns fast also moves and changes its size.
        rotation, gain = self._rotation(rotation, passed)
        middle = self._place(middle[None], passed, size, gain)[0][0]
        scale = float(np.trace(stretch)) / 3
        stretch = self._stretch(stretch, passed, scale, gain)[0]
        linear = flip_rows(rotation @ stretch)
        translation = middle - linear @ anchor
        affine = np.column_stack([linear, translation]).astype(np.float32)
        yaw, pitch, roll = euler_from_rotation(rotation[None])[0].tolist()
        pose = replace(
            face.pose,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            rotation=rotation,
            scale=float(np.trace(stretch)) / 3,
            translation=translation,
            anchor=anchor,
        )
        return affine, pose


def _coarse(
    face: Face,
    landmarks: np.ndarray,
    shape: np.ndarray,
    expression: np.ndarray,
    affine: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Rows of the smoothed mesh by their depth from the eyes, and the depth of these.

    The smoothed landmarks where the model has no dense bases.
    """
    source: MeshSource = face.mesh_source
    try:
        model = source.morphable
    except MissingBasisError:
        return landmarks, 0.0
    (points,), (depth,) = from_eyes(model.landmarks(shape, expression, affine[None]))
    return points, float(depth)
