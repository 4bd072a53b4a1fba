"""Annotators: each draws one thing about faces onto a photo, anti-aliased and sub-pixel.

:data:`ANNOTATORS` has them by name, :data:`IMAGES` what is an image of its own. Line widths follow
the size of the face.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import cv2
import numpy as np

from facegeo.base.arrays import number_in
from facegeo.conventions import CLOSED_REGIONS, LANDMARK_REGIONS
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import flip_y
from facegeo.morphable import MorphableModel
from facegeo.render.overlay import draw_mesh, draw_textured, draw_wireframe
from facegeo.render.products import depth_image, pncc_image
from facegeo.render.texture import Texture
from facegeo.render.zbuffer import Raster
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
#: BGR of points that are hidden, doubtful, seen.
_VISIBILITY = ((60, 60, 255), (60, 230, 255), (110, 230, 90))
_ELLIPSE = (255, 190, 90)
_OUTLINE = (120, 230, 255)
_BOX_FRONT = (90, 220, 255)
_BOX_BACK = (200, 160, 60)

#: Half the head's width, height and depth, in units of half the landmarks' extent.
_HEAD = np.array([1.0, 1.25, 1.0])


class Surfaces(Protocol):
    """The faces of one photo as meshes of one model: :class:`facegeo.surface.dense.DenseFaces`."""

    @property
    def model(self) -> MorphableModel:
        """Model whose triangles the meshes share."""

    @property
    def vertices(self) -> np.ndarray:
        """(N, V, 3) float32, photo pixels."""

    @property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertex rows and triangles of a mesh that is coarse enough to draw its edges."""

    def raster(self, height: int, width: int) -> Raster:
        """All faces in one z-buffer."""

    def texture(self, index: int, image: np.ndarray) -> Texture | None:
        """A face's UV texture from the photo; None where the model has no UV layout."""


@dataclass(frozen=True)
class Annotator:
    """One way to draw faces.

    Attributes
    ----------
    face : callable, optional
        ``(photo, face) -> None``: draws one face in place on a BGR photo.
    surfaces : callable, optional
        ``(photo, surfaces, opacity) -> photo``: draws the meshes of all faces on a copy; an opacity
        of None is the style's own.
    """

    face: Callable[[np.ndarray, Face], None] | None = None
    surfaces: Callable[[np.ndarray, Surfaces, float | None], np.ndarray] | None = None


def annotate(
    image: np.ndarray,
    faces: Sequence[Face],
    styles: Iterable[str],
    surfaces: Callable[[], Surfaces] | None = None,
    *,
    opacity: float | None = None,
) -> np.ndarray:
    """A copy of a photo with faces drawn on it; meshes lie under points and lines.

    Parameters
    ----------
    image : (H, W, 3) uint8
        BGR.
    faces : sequence of Face
    styles : iterable of str
        Names of :data:`ANNOTATORS`, drawn in this order.
    surfaces : callable, optional
        The faces' meshes, asked for by styles that draw them:
        ``lambda: facegeo.surface.dense.dense_faces(faces)``.
    opacity : float, optional
        How much the drawing covers the photo: 0 not at all, 1 wholly. By default as each style has
        it: lines wholly, meshes for the larger part.

    Returns
    -------
    annotated : (H, W, 3) uint8

    Raises
    ------
    InvalidInputError
        If a style is unknown, or needs meshes that were not given or a texture that the face model
        has no place for; or if the opacity is not in 0..1.
    """
    if opacity is not None:
        opacity = number_in("opacity", opacity, 0, 1)
    annotators = {style: annotator(style) for style in styles}
    canvas = image.copy()
    faces = list(faces)
    over_meshes = {style: one.surfaces for style, one in annotators.items() if one.surfaces}
    if over_meshes and faces:
        if surfaces is None:
            raise InvalidInputError(f"draw: {', '.join(over_meshes)} need surfaces, the meshes")
        meshes = surfaces()
        for draw in over_meshes.values():
            canvas = draw(canvas, meshes, opacity)
    under = canvas.copy() if opacity is not None else canvas
    for one in annotators.values():
        if one.face is not None:
            for face in faces:
                one.face(canvas, face)
    return canvas if opacity is None else cv2.addWeighted(canvas, opacity, under, 1 - opacity, 0)


def annotator(style: str) -> Annotator:
    """The annotator of that name. Raises InvalidInputError for an unknown one."""
    if style not in ANNOTATORS:
        raise InvalidInputError(f"draw: expected some of {', '.join(ANNOTATORS)}, got {style!r}")
    return ANNOTATORS[style]


def draw_landmarks(image: np.ndarray, face: Face) -> None:
    """The 68 points, joined region by region."""
    points = face.landmarks[:, :2]
    radius = max(1.0, 1.1 * _unit(points))
    draw_contours(image, face)
    for point in _fixed(points):
        cv2.circle(
            image, point.tolist(), round(radius * 2**_SHIFT), _WHITE, -1, cv2.LINE_AA, _SHIFT
        )


def draw_contours(image: np.ndarray, face: Face) -> None:
    """Contours of jaw, brows, eyes, nose and lips, without the points."""
    points = face.landmarks[:, :2]
    line = max(1, round(0.8 * _unit(points)))
    for name, region in LANDMARK_REGIONS.items():
        curve = _fixed(points[region.start : region.stop])
        closed = name in CLOSED_REGIONS
        cv2.polylines(image, [curve], closed, _REGION_COLOURS[name], line, cv2.LINE_AA, _SHIFT)


def draw_visibility(image: np.ndarray, face: Face) -> None:
    """The 68 points: seen ones green, hidden ones red and hollow, what lies between yellow."""
    points = face.landmarks[:, :2]
    radius = round(max(1.5, 1.5 * _unit(points)) * 2**_SHIFT)
    line = max(1, round(0.6 * _unit(points)))
    for place, seen in zip(_fixed(points).tolist(), _told(face, "visibility"), strict=True):
        colour = np.interp(seen, (0, 0.5, 1), (0, 1, 2))
        low, high = _VISIBILITY[int(min(colour, 1))], _VISIBILITY[int(min(colour, 1)) + 1]
        part = colour - int(min(colour, 1))
        mixed = tuple((1 - part) * a + part * b for a, b in zip(low, high, strict=True))
        cv2.circle(image, place, radius, mixed, -1 if seen >= 0.5 else line, cv2.LINE_AA, _SHIFT)


def draw_uncertainty(image: np.ndarray, face: Face) -> None:
    """An ellipse around each of the 68 points that holds the true one in 9 of 10 cases."""
    points = face.landmarks[:, :2]
    line = max(1, round(0.5 * _unit(points)))
    spread, axes = np.linalg.eigh(_told(face, "covariance"))
    # Semi-axes; a squared distance of -2 log(1 - 0.9) holds 90 % of a normal distribution.
    lengths = np.sqrt(np.maximum(spread, 0) * -2 * np.log(0.1))
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    for place, (short, long), angle in zip(_fixed(points), _fixed(lengths), angles, strict=True):
        size = (int(long), int(short))
        cv2.ellipse(image, place.tolist(), size, angle, 0, 360, _ELLIPSE, line, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, place.tolist(), line * 2**_SHIFT, _WHITE, -1, cv2.LINE_AA, _SHIFT)


def _told(face: Face, name: str) -> np.ndarray:
    """An output that not every network has. Raises InvalidInputError."""
    values: np.ndarray = getattr(face, name)
    if np.isnan(values).any():
        _refuse_output(name)
    return values


#: Output of the landmark network that a style draws.
_OUTPUTS = {"visibility": "visibility", "uncertainty": "covariance"}


def check_outputs(styles: Iterable[str], outputs: Container[str]) -> None:
    """Refuse styles that draw what a network does not tell.

    Parameters
    ----------
    styles : iterable of str
    outputs : container of str
        Names of the network's outputs.

    Raises
    ------
    InvalidInputError
        If one is not there.
    """
    for style in styles:
        if style in _OUTPUTS and _OUTPUTS[style] not in outputs:
            _refuse_output(_OUTPUTS[style])


def _refuse_output(name: str) -> NoReturn:
    raise InvalidInputError(
        f"draw: the landmark network tells no {name} of its points; draw landmarks instead, or "
        "use a model that does"
    )


def draw_pose(image: np.ndarray, face: Face) -> None:
    """A box around the head that turns with it, front edges bright, and the three angles."""
    corners = head_box(face.landmarks, face.pose)
    unit = _unit(face.landmarks[:, :2])
    line = max(1, round(unit))
    fixed = _fixed(corners[:, :2])
    front, back = fixed[:4], fixed[4:]
    cv2.polylines(image, [back], True, _BOX_BACK, line, cv2.LINE_AA, _SHIFT)
    for a, b in zip(front, back, strict=True):
        cv2.line(image, a.tolist(), b.tolist(), _BOX_BACK, line, cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, [front], True, _BOX_FRONT, line + 1, cv2.LINE_AA, _SHIFT)
    _label(image, face.pose, corners[:, :2], unit)


def draw_box(image: np.ndarray, face: Face) -> None:
    """The detector's box."""
    corners = _fixed(face.box.reshape(2, 2))
    line = max(1, round(_unit(face.box.reshape(2, 2))))
    low, high = corners.tolist()
    cv2.rectangle(image, low, high, _WHITE, line, cv2.LINE_AA, _SHIFT)


def draw_id(image: np.ndarray, face: Face) -> None:
    """The track's number above the face; nothing on photos, where faces have none."""
    if face.track_id is None:
        return
    points = face.landmarks[:, :2]
    unit = _unit(points)
    x, y = points.min(axis=0) - [0, 12 * unit]
    colour = _ID_COLOURS[face.track_id % len(_ID_COLOURS)]
    draw_text(image, f"#{face.track_id}", (x, y), float(np.clip(0.35 * unit, 0.5, 2.5)), colour)


def draw_surfaces(
    image: np.ndarray, surfaces: Surfaces, opacity: float | None = None
) -> np.ndarray:
    """The dense face as a shaded surface."""
    return draw_mesh(image, surfaces.vertices, surfaces.model.triangles, **_given(opacity))


def draw_edges(image: np.ndarray, surfaces: Surfaces, opacity: float | None = None) -> np.ndarray:
    """The dense face as the visible edges of a coarser mesh."""
    rows, triangles = surfaces.coarse
    return draw_wireframe(image, surfaces.vertices[:, rows], triangles, **_given(opacity))


def draw_outline(image: np.ndarray, surfaces: Surfaces, opacity: float | None = None) -> np.ndarray:
    """The outline of the dense face, where it is seen."""
    drawn = image.copy()
    seen = surfaces.raster(*image.shape[:2]).mesh
    for index, vertices in enumerate(surfaces.vertices):
        mask = (seen == index).astype(np.uint8)
        curves, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        line = max(1, round(0.8 * _unit(vertices[:, :2])))
        smooth = [_fixed(_smoothed(curve[:, 0], line)) for curve in curves]
        cv2.polylines(drawn, smooth, True, _OUTLINE, line, cv2.LINE_AA, _SHIFT)
    return drawn if opacity is None else cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0)


def draw_texture(image: np.ndarray, surfaces: Surfaces, opacity: float | None = None) -> np.ndarray:
    """The dense face with its texture from the photo, lit so that its shape shows."""
    model = surfaces.model
    textures = [surfaces.texture(index, image) for index in range(len(surfaces.vertices))]
    images = [texture.image for texture in textures if texture is not None]
    if model.uv is None or len(images) < len(textures):
        raise InvalidInputError(
            f"draw: textured needs texture coordinates, and the face model {model.name!r} has none"
        )
    mesh = surfaces.vertices, model.triangles
    return draw_textured(image, *mesh, images, model.uv, model.uv_triangles, **_given(opacity))


#: Style name -> annotator.
ANNOTATORS: dict[str, Annotator] = {
    "box": Annotator(face=draw_box),
    "landmarks": Annotator(face=draw_landmarks),
    "contours": Annotator(face=draw_contours),
    "visibility": Annotator(face=draw_visibility),
    "uncertainty": Annotator(face=draw_uncertainty),
    "pose": Annotator(face=draw_pose),
    "id": Annotator(face=draw_id),
    "mesh": Annotator(surfaces=draw_surfaces),
    "wireframe": Annotator(surfaces=draw_edges),
    "outline": Annotator(surfaces=draw_outline),
    "textured": Annotator(surfaces=draw_texture),
}


def depth_drawing(image: np.ndarray, surfaces: Surfaces) -> np.ndarray:
    """Depth as grey, nearer is brighter.

    Returns
    -------
    (H, W) uint8
    """
    return depth_image(surfaces.raster(*image.shape[:2]))


def pncc_drawing(image: np.ndarray, surfaces: Surfaces) -> np.ndarray:
    """Normalised coordinates of the face (PNCC) as colours.

    Returns
    -------
    (H, W, 3) uint8
        BGR.
    """
    model = surfaces.model
    code = pncc_image(surfaces.raster(*image.shape[:2]), model.triangles, model.mean)
    return (255 * code[:, :, ::-1]).round().astype(np.uint8)


#: Style name -> ``(photo, surfaces) -> image``: images of their own, of a photo's size.
IMAGES: dict[str, Callable[[np.ndarray, Surfaces], np.ndarray]] = {
    "depth": depth_drawing,
    "pncc": pncc_drawing,
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
    upright = flip_y(np.asarray(landmarks, np.float64)) @ pose.rotation
    low, high = upright.min(axis=0), upright.max(axis=0)
    half = _HEAD * (high - low)[:2].max() / 2
    centre = (low + high) / 2
    # The landmarks stop at the brows and lie on the front of the head.
    centre[1] = low[1] + half[1]
    centre[2] = high[2] - 1.1 * half[2]
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    signs = [np.column_stack([square, np.full(4, z)]) for z in (1, -1)]
    corners = centre + np.concatenate(signs) * half
    return flip_y(corners @ pose.rotation.T)


def _label(image: np.ndarray, pose: Pose, corners: np.ndarray, unit: float) -> None:
    text = f"yaw {pose.yaw:+.0f}  pitch {pose.pitch:+.0f}  roll {pose.roll:+.0f}"
    scale = float(np.clip(0.28 * unit, 0.38, 2.0))
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
    place = corners[:, 0].mean() - width / 2, corners[:, 1].max() + 2.2 * height
    draw_text(image, text, place, scale)


def draw_text(
    image: np.ndarray,
    text: str,
    place: tuple[float, float],
    scale: float,
    colour: tuple[int, int, int] = _WHITE,
) -> None:
    """Text on a dark plate, moved into the photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
        BGR, drawn on in place.
    place : (x, y)
        Lower left corner of the text, pixels.
    scale : float
        Of OpenCV's font.
    """
    thick = _thickness(scale)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, thick)
    pad = height // 2
    x = int(np.clip(place[0], pad, max(image.shape[1] - width - pad, pad)))
    y = int(np.clip(place[1], height + pad, image.shape[0] - pad - 1))
    # A plate, not an outline: text of another weight has another width in newer OpenCV.
    plate = image[max(y - height - pad, 0) : y + pad, max(x - pad, 0) : x + width + pad]
    plate[:] = plate // 3
    cv2.putText(image, text, (x, y), _FONT, scale, colour, thick, cv2.LINE_AA)


def _given(opacity: float | None) -> dict[str, Any]:
    return {} if opacity is None else {"opacity": opacity}


def _smoothed(curve: np.ndarray, reach: int) -> np.ndarray:
    """A closed curve (P, 2) of pixels without their steps: running means over twice the reach."""
    window = 2 * reach + 1
    if len(curve) <= window:
        return curve
    wrapped = np.concatenate([curve[-reach:], curve, curve[:reach]]).astype(np.float64)
    sums = np.cumsum(np.vstack([np.zeros((1, 2)), wrapped]), axis=0)
    smooth: np.ndarray = (sums[window:] - sums[:-window]) / window
    return smooth


def _thickness(scale: float) -> int:
    return max(1, round(scale * 1.6))


def _unit(points: np.ndarray) -> float:
    """Line width that suits a face of this extent, in pixels."""
    return float(np.ptp(points, axis=0).max()) / 130


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points as OpenCV's fixed-point coordinates, kept within its 32-bit range."""
    return np.clip(np.rint(points * 2**_SHIFT), -(2**24), 2**24).astype(np.int32)
