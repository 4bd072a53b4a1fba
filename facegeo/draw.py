"""Annotators: each draws one thing about faces onto a photo. Pure OpenCV, anti-aliased, sub-pixel.

An annotator is a function ``(photo, face) -> None`` that draws in place on a BGR photo; its line
width follows the size of the face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from facegeo.conventions import CLOSED_REGIONS, LANDMARK_REGIONS
from facegeo.errors import InvalidInputError
from facegeo.results import Face, Pose

#: Fractional bits of OpenCV's drawing coordinates.
_SHIFT = 4

#: BGR colour of each landmark region.
_REGION_COLOURS = {
    "jaw": (255, 200, 90),
    "right_eyebrow": (120, 220, 120),
    "left_eyebrow": (120, 220, 120),
    "nose_bridge": (90, 200, 255),
    "nose_base": (90, 200, 255),
    "right_eye": (255, 255, 120),
    "left_eye": (255, 255, 120),
    "outer_lips": (150, 130, 255),
    "inner_lips": (190, 180, 255),
}
_WHITE = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: BGR, for neighbouring numbers as different as can be.
_ID_COLOURS = ((120, 230, 255), (255, 200, 90), (140, 255, 140), (200, 140, 255), (110, 150, 255))
_BOX_FRONT = (90, 220, 255)
_BOX_BACK = (200, 160, 60)

#: Half the head's width, height and depth, in units of half the landmarks' extent.
_HEAD = np.array([1.0, 1.25, 1.0])


def annotate(photo: np.ndarray, faces: Iterable[Face], styles: Iterable[str]) -> np.ndarray:
    """A copy of a photo with faces drawn on it.

    Parameters
    ----------
    photo : (H, W, 3) uint8
        BGR.
    faces : iterable of Face
    styles : iterable of str
        Names of :data:`ANNOTATORS`, drawn in this order.

    Returns
    -------
    annotated : (H, W, 3) uint8

    Raises
    ------
    InvalidInputError
        If a style is unknown.
    """
    annotators = [annotator(style) for style in styles]
    canvas = photo.copy()
    faces = list(faces)
    for draw in annotators:
        for face in faces:
            draw(canvas, face)
    return canvas


def annotator(style: str) -> Callable[[np.ndarray, Face], None]:
    """The annotator of that name. Raises InvalidInputError for an unknown one."""
    if style not in ANNOTATORS:
        raise InvalidInputError(f"draw: expected some of {', '.join(ANNOTATORS)}, got {style!r}")
    return ANNOTATORS[style]


def draw_landmarks(photo: np.ndarray, face: Face) -> None:
    """The 68 points, joined region by region."""
    points = face.landmarks[:, :2]
    unit = _unit(points)
    line, radius = max(1, round(0.8 * unit)), max(1.0, 1.1 * unit)
    for name, region in LANDMARK_REGIONS.items():
        curve = _fixed(points[region.start : region.stop])
        colour = _REGION_COLOURS[name]
        closed = name in CLOSED_REGIONS
        cv2.polylines(photo, [curve], closed, colour, line, cv2.LINE_AA, _SHIFT)
    for point in _fixed(points):
        cv2.circle(
            photo, point.tolist(), round(radius * 2**_SHIFT), _WHITE, -1, cv2.LINE_AA, _SHIFT
        )


def draw_pose(photo: np.ndarray, face: Face) -> None:
    """A box around the head that turns with it, front edges bright, and the three angles."""
    corners = head_box(face.landmarks, face.pose)
    unit = _unit(face.landmarks[:, :2])
    line = max(1, round(unit))
    fixed = _fixed(corners[:, :2])
    front, back = fixed[:4], fixed[4:]
    cv2.polylines(photo, [back], True, _BOX_BACK, line, cv2.LINE_AA, _SHIFT)
    for a, b in zip(front, back, strict=True):
        cv2.line(photo, a.tolist(), b.tolist(), _BOX_BACK, line, cv2.LINE_AA, _SHIFT)
    cv2.polylines(photo, [front], True, _BOX_FRONT, line + 1, cv2.LINE_AA, _SHIFT)
    _label(photo, face.pose, corners[:, :2], unit)


def draw_box(photo: np.ndarray, face: Face) -> None:
    """The detector's box."""
    corners = _fixed(face.box.reshape(2, 2))
    line = max(1, round(_unit(face.box.reshape(2, 2))))
    low, high = corners.tolist()
    cv2.rectangle(photo, low, high, _WHITE, line, cv2.LINE_AA, _SHIFT)


def draw_id(photo: np.ndarray, face: Face) -> None:
    """The track's number above the face; nothing on photos, where faces have none."""
    if face.track_id is None:
        return
    points = face.landmarks[:, :2]
    unit = _unit(points)
    x, y = points.min(axis=0) - [0, 12 * unit]
    colour = _ID_COLOURS[face.track_id % len(_ID_COLOURS)]
    draw_text(photo, f"#{face.track_id}", (x, y), float(np.clip(0.35 * unit, 0.5, 2.5)), colour)


#: Style name -> annotator.
ANNOTATORS: dict[str, Callable[[np.ndarray, Face], None]] = {
    "box": draw_box,
    "landmarks": draw_landmarks,
    "pose": draw_pose,
    "id": draw_id,
}


def head_box(landmarks: np.ndarray, pose: Pose) -> np.ndarray:
    """A cuboid around the head, turned as the pose says.

    Parameters
    ----------
    landmarks : (68, 3) float
        Photo pixels.
    pose : Pose

    Returns
    -------
    corners : (8, 3) float64
        Photo pixels: four of the front, then the four behind them, in the same order.
    """
    upright = np.asarray(landmarks, np.float64) * [1, -1, 1] @ pose.rotation
    low, high = upright.min(axis=0), upright.max(axis=0)
    half = _HEAD * (high - low)[:2].max() / 2
    centre = (low + high) / 2
    # The landmarks stop at the brows and lie on the front of the head.
    centre[1] = low[1] + half[1]
    centre[2] = high[2] - 1.1 * half[2]
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    signs = [np.column_stack([square, np.full(4, z)]) for z in (1, -1)]
    corners = centre + np.concatenate(signs) * half
    return (corners @ pose.rotation.T) * [1, -1, 1]


def _label(photo: np.ndarray, pose: Pose, corners: np.ndarray, unit: float) -> None:
    text = f"yaw {pose.yaw:+.0f}  pitch {pose.pitch:+.0f}  roll {pose.roll:+.0f}"
    scale = float(np.clip(0.28 * unit, 0.38, 2.0))
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
    place = corners[:, 0].mean() - width / 2, corners[:, 1].max() + 2.2 * height
    draw_text(photo, text, place, scale)


def draw_text(
    photo: np.ndarray,
    text: str,
    place: tuple[float, float],
    scale: float,
    colour: tuple[int, int, int] = _WHITE,
) -> None:
    """Text on a dark plate, moved into the photo.

    Parameters
    ----------
    photo : (H, W, 3) uint8
        BGR, drawn on in place.
    place : (x, y)
        Lower left corner of the text, pixels.
    scale : float
        Of OpenCV's font.
    """
    thick = _thickness(scale)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, thick)
    pad = height // 2
    x = int(np.clip(place[0], pad, max(photo.shape[1] - width - pad, pad)))
    y = int(np.clip(place[1], height + pad, photo.shape[0] - pad - 1))
    # A plate, not an outline: text of another weight has another width in newer OpenCV.
    plate = photo[max(y - height - pad, 0) : y + pad, max(x - pad, 0) : x + width + pad]
    plate[:] = plate // 3
    cv2.putText(photo, text, (x, y), _FONT, scale, colour, thick, cv2.LINE_AA)


def _thickness(scale: float) -> int:
    return max(1, round(scale * 1.6))


def _unit(points: np.ndarray) -> float:
    """Line width that suits a face of this extent, in pixels."""
    return float(np.ptp(points, axis=0).max()) / 130


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points as OpenCV's fixed-point coordinates, kept within its 32-bit range."""
    return np.clip(np.rint(points * 2**_SHIFT), -(2**24), 2**24).astype(np.int32)
