"""The pictures of the conventions page, drawn from the face model that ships.

What a picture says beside an angle is read off the turned head, not typed, so it cannot be wrong.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo import MorphableModel
from facegeo.conventions import CLOSED_REGIONS, LANDMARK_REGIONS
from facegeo.geometry.pose import rotation_from_euler
from facegeo.render import draw_mesh

ANGLES = ("yaw", "pitch", "roll")
#: BGR of the x, y and z axes.
_AXES = ((60, 60, 220), (60, 160, 60), (220, 110, 40))
_PAPER, _INK, _GREY = (255, 255, 255), (50, 50, 50), (150, 150, 150)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4

#: Millimetres: what lies in the middle of a panel, the half of its side, the axes' length.
_CENTRE, _HALF, _LENGTH = np.array([0.0, -22.0, -40.0]), 160.0, 88.0


def turned_head(angle: str, degrees: float) -> np.ndarray:
    """(3, 3) float64: the rotation of a head with one angle that is not zero."""
    angles = [degrees if name == angle else 0.0 for name in ANGLES]
    return rotation_from_euler(np.array([angles]))[0]


def what_is_seen(rotation: np.ndarray) -> str:
    """Description of a head as a viewer sees it, from where its nose and its crown point.

    Parameters
    ----------
    rotation : (3, 3) float
        Model axes to camera axes: x right in the picture, y up, z to the viewer.
    """
    nose, crown = rotation[:, 2], rotation[:, 1]
    side = "right" if nose[0] > 0 else "left"
    if abs(nose[0]) > 0.1:
        return f"turns to the picture's {side}"
    if abs(nose[1]) > 0.1:
        return "looks up" if nose[1] > 0 else "looks down"
    if abs(crown[0]) > 0.1:
        return "leans right, clockwise" if crown[0] > 0 else "leans left, anticlockwise"
    return "looks at the viewer"


def axes_picture(size: int = 330) -> np.ndarray:
    """Rows yaw, pitch, roll; columns -30, 0, 30 degrees. ``(H, W, 3)`` uint8 BGR."""
    rows = [
        np.concatenate([_panel(name, degrees, size) for degrees in (-30, 0, 30)], axis=1)
        for name in ANGLES
    ]
    return np.concatenate(rows)


def landmarks_picture(size: int = 760) -> np.ndarray:
    """The average face with its 68 points and their numbers from 0."""
    model = MorphableModel.default()
    scale = size / (2 * 100.0)
    middle = np.array([0.0, -40.0, 0.0])

    def place(points: np.ndarray) -> np.ndarray:
        return _on_paper(points - middle, np.eye(3), scale, size)

    # With the lips apart, so that all points of the mouth can be told apart.
    opened = [2.0 * (name in ("jaw_open", "lips_part")) for name in model.expression_names]
    (vertices,) = model.vertices(np.zeros((1, model.num_shape)), np.array([opened]))
    picture = np.full((size, size, 3), _PAPER, np.uint8)
    picture = draw_mesh(picture, place(vertices), model.triangles, opacity=0.55)
    points = place(vertices[model.landmark_rows])
    for name, region in LANDMARK_REGIONS.items():
        curve = _fixed(points[region.start : region.stop])
        closed = name in CLOSED_REGIONS
        cv2.polylines(picture, [curve], closed, _AXES[2], 1, cv2.LINE_AA, _SHIFT)
    for number, point in enumerate(points):
        x, y = point[:2]
        cv2.circle(picture, _fixed(point).tolist(), 40, _AXES[0], -1, cv2.LINE_AA, _SHIFT)
        below = number in (*range(55, 60), *range(65, 68), 40, 41, 46, 47)
        before = number in (48, 64)
        _text(picture, str(number), (x - 18 if before else x + 4, y + 13 if below else y - 4), 0.36)
    _text(picture, "the person's right", (14, 26), 0.5, _GREY)
    _text(picture, "the person's left", (size - 150, 26), 0.5, _GREY)
    return picture


def pixels_picture(pitch: int = 74) -> np.ndarray:
    """The top left corner of a photo: where the origin is, and which way its axes point."""
    columns, rows, left, top = 5, 3, 120, 70
    picture = np.full((top + rows * pitch + 60, left + columns * pitch + 90, 3), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            # Labels of the first column stand beside the arrow.
            aside = 22 if column == 0 else 0
            shade = 222 if (row + column) % 2 else 242
            corner = (left + column * pitch, top + row * pitch)
            cv2.rectangle(picture, corner, (corner[0] + pitch, corner[1] + pitch), (shade,) * 3, -1)
            centre = (corner[0] + pitch // 2, corner[1] + pitch // 2)
            cv2.circle(picture, centre, 3, _GREY, -1, cv2.LINE_AA)
            _text(
                picture, f"({column}, {row})", (centre[0] - 16 + aside, centre[1] + 26), 0.4, _INK
            )
    origin = np.array([left + pitch / 2, top + pitch / 2])
    _arrow(picture, origin, origin + np.array([columns * pitch, 0]), _AXES[0], "x")
    _arrow(picture, origin, origin + np.array([0, rows * pitch - 14]), _AXES[1], "y")
    _towards(picture, origin, _AXES[2])
    _text(picture, "z, to the viewer", (origin[0] - 16, origin[1] - 50), 0.5, _AXES[2])
    _text(picture, "(-0.5, -0.5)", (left - 105, top + 4), 0.45)
    cv2.circle(picture, (left, top), 3, _INK, -1, cv2.LINE_AA)
    return picture


def head_picture(angle: str, degrees: float, size: int) -> np.ndarray:
    """The average head, turned: ``(size, size, 3)`` uint8 BGR."""
    model = MorphableModel.default()
    picture = np.full((size, size, 3), _PAPER, np.uint8)
    vertices = placed(model.mean, angle, degrees, size)
    return draw_mesh(picture, vertices, model.triangles, opacity=1.0, samples=3)


def placed(points: np.ndarray, angle: str, degrees: float, size: int) -> np.ndarray:
    """Places of points of the model, (N, 3) millimetres, in :func:`head_picture`, pixels."""
    return _on_paper(points - _CENTRE, turned_head(angle, degrees), size / (2 * _HALF), size)


def _panel(angle: str, degrees: float, size: int) -> np.ndarray:
    picture = head_picture(angle, degrees, size)
    # The axes start at the bridge of the nose, in front of the model's origin and of the skin.
    start = np.array([0.0, 0.0, 12.0])
    origin, *tips = placed(np.stack([start, *(start + _LENGTH * np.eye(3))]), angle, degrees, size)
    for k in np.argsort([tip[2] for tip in tips]):
        if np.linalg.norm(tips[k][:2] - origin[:2]) < 8:
            _towards(picture, origin[:2], _AXES[k])
            _text(picture, "z", (origin[0] + 12, origin[1] - 10), 0.55, _AXES[k])
        else:
            _arrow(picture, origin[:2], tips[k][:2], _AXES[k], "xyz"[k])
    _text(picture, f"{angle} {degrees:+d}" if degrees else f"{angle} 0", (10, 24), 0.62)
    _text(picture, what_is_seen(turned_head(angle, degrees)), (10, size - 12), 0.5)
    cv2.rectangle(picture, (0, 0), (size - 1, size - 1), (225, 225, 225), 1)
    return picture


def _on_paper(points: np.ndarray, rotation: np.ndarray, scale: float, size: int) -> np.ndarray:
    """Model points to pixels of a square picture: turned, scaled, y down."""
    camera = np.asarray(points, np.float64) @ rotation.T * scale
    placed = camera * [1, -1, 1] + [(size - 1) / 2, (size - 1) / 2, 0]
    return placed.astype(np.float32)


def _arrow(
    picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple[int, ...], name: str
) -> None:
    along = (end - start) / np.linalg.norm(end - start)
    cv2.line(picture, _fixed(start).tolist(), _fixed(end).tolist(), colour, 3, cv2.LINE_AA, _SHIFT)
    across = np.array([-along[1], along[0]])
    head = [end + 8 * along, end - 8 * along + 6 * across, end - 8 * along - 6 * across]
    cv2.fillPoly(picture, [_fixed(np.array(head))], colour, cv2.LINE_AA, _SHIFT)
    place = end + 20 * along
    _text(picture, name, (place[0] - 6, place[1] + 6), 0.62, colour)


def _towards(picture: np.ndarray, place: np.ndarray, colour: tuple[int, ...]) -> None:
    """An arrow's point, seen from the front."""
    centre = _fixed(np.asarray(place)[:2]).tolist()
    cv2.circle(picture, centre, 9 * 16, _PAPER, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(picture, centre, 9 * 16, colour, 3, cv2.LINE_AA, _SHIFT)
    cv2.circle(picture, centre, 3 * 16, colour, -1, cv2.LINE_AA, _SHIFT)


def _text(
    picture: np.ndarray,
    text: str,
    place: tuple[float, float],
    scale: float,
    colour: tuple[int, ...] = _INK,
) -> None:
    x, y = round(float(place[0])), round(float(place[1]))
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # a thin light border
        cv2.putText(picture, text, (x + dx, y + dy), _FONT, scale, _PAPER, 1, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Coordinates with OpenCV's fractional bits."""
    return np.rint(np.asarray(points)[..., :2] * 2**_SHIFT).astype(np.int32)
