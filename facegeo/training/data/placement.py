"""Random places of faces in their crops: similarities on crop pixels, batched over N faces.

Matrices are ``(N, 2, 3)``, from the pixels of the given crop to those of the view, both of side
120; see :mod:`facegeo.training.data.similarity`.
"""

from __future__ import annotations

import numpy as np

from facegeo.geometry.crop import CROP_SIZE, REGION_SIDE, lean_of_faces
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.similarity import similarities, transform_landmarks

Rng = np.random.Generator

#: How much of the random shift and zoom remains in a view that is recentred.
_LITTLE = 0.25

#: Degrees by which :func:`turned_over` turns. Up to about 90 a network still sees how the face
#: leans, and is asked again about a crop that is turned so.
_TURNED, _ON_ITS_HEAD = (75.0, 180.0), (140.0, 180.0)

#: Where the eyes' middle lies in a well-placed crop, in sides of it.
_EYES = (0.5, 0.37)


def random_similarities(landmarks: np.ndarray, rng: Rng, config: AugmentConfig) -> np.ndarray:
    """Similarities within the configured ranges, for faces with these landmarks ``(N, 68, 3)``."""
    count = len(landmarks)
    angle = rng.uniform(-config.rotation_deg, config.rotation_deg, count)
    reach = np.log1p(config.zoom)
    scale = np.exp(rng.uniform(-reach, reach, count))
    shift = rng.uniform(-config.shift, config.shift, (count, 2)) * CROP_SIZE
    centred = rng.random(count) < config.recentre
    matrices = similarities(angle, scale, shift)
    matrices[centred] = recentred(
        landmarks[centred], angle[centred], scale[centred] ** _LITTLE, shift[centred] * _LITTLE
    )
    return matrices


def recentred(
    landmarks: np.ndarray, angle_deg: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Turns after which the landmarks' region is the whole crop, but for scale and shift.

    Parameters
    ----------
    landmarks : (N, 68, 3) float
    angle_deg, scale : (N,) float
    shift : (N, 2) float
    """
    turn = similarities(angle_deg, np.ones(len(angle_deg)), np.zeros((len(angle_deg), 2)))
    turned = transform_landmarks(landmarks.astype(np.float64), turn)[:, :, :2]
    low, high = turned.min(axis=1), turned.max(axis=1)
    side = REGION_SIDE * (high - low).max(axis=1)
    scale = scale * CROP_SIZE / side
    # From the crop's middle, about which similarities() scales.
    middle = (low + high) / 2 - (CROP_SIZE - 1) / 2
    return similarities(angle_deg, scale, shift - scale[:, None] * middle)


def misplaced(landmarks: np.ndarray, rng: Rng) -> np.ndarray:
    """Similarities that put faces badly off: 0.4 to 0.9 of the face away, or of the wrong size."""
    count = len(landmarks)
    face = np.sqrt(np.ptp(landmarks[:, :, :2], axis=1).prod(axis=1))
    kind = rng.integers(3, size=count)
    length = np.where(kind != 1, rng.uniform(0.4, 0.9, count) * face, 0.0)
    direction = rng.uniform(0, 2 * np.pi, count)
    small, large = rng.uniform(0.3, 0.5, count), rng.uniform(2.0, 3.0, count)
    zoom = np.where(kind != 0, np.where(rng.random(count) < 0.5, small, large), 1.0)
    shift = length[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return similarities(rng.uniform(-30, 30, count), zoom, shift)


def turned_over(landmarks: np.ndarray, rng: Rng) -> np.ndarray:
    """Similarities after which faces lie on their side or stand on their head.

    Half of them stand on their head with the eyes where a crop has them: a network takes the
    forehead for the lower half of a face then, and looks again until it fits. Of the others one
    half is well placed but for the turn, and the other is off by more.
    """
    count = len(landmarks)
    kind = rng.random(count)
    on_head = kind < 0.5
    off = np.where((kind > 0.5) & (kind < 0.75), 0.28, 0.06)
    scale = np.exp(rng.uniform(-1, 1, count) * (0.1 + off))
    shift = rng.uniform(-1, 1, (count, 2)) * off[:, None] * CROP_SIZE
    # similarities() turns as angles grow from x to y, so clockwise as the viewer sees it.
    low, high = np.where(on_head[:, None], _ON_ITS_HEAD, _TURNED).T
    turn = rng.uniform(low, high) * rng.choice([-1, 1], count)
    matrices = recentred(landmarks, turn - lean_of_faces(landmarks), scale, shift)
    eyes = landmarks[:, 36:48].mean(axis=1, keepdims=True).astype(np.float64)
    placed = transform_landmarks(eyes, matrices)[:, 0, :2]
    moved = np.array(_EYES) * CROP_SIZE - placed + shift
    matrices[on_head, :, 2] += moved[on_head]
    return matrices


def mirrored(matrices: np.ndarray) -> np.ndarray:
    """The same, of crops that are flipped first."""
    flipped = matrices.copy()
    flipped[:, :, 0] *= -1
    flipped[:, :, 2] += (CROP_SIZE - 1) * matrices[:, :, 0]
    return flipped
