"""Scenes composed on the fly: faces and decoys pasted on photographs and textures.

A network would learn the seam of a paste instead of the face. So every face fades into the scene
through a soft mask of random shape, and decoys - patches without a face, cut and blended in
exactly the same way - carry the same seams.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from facegeo.errors import CorruptFileError
from facegeo.geometry.crop import CROP_SIZE
from facegeo.training.detector.lettering import draw_lettering
from facegeo.training.detector.sources import Backgrounds, Faces

#: Crops get a frame of mirrored pixels, so that hair and neck go on beyond their edges.
_FRAME = 24
_CANVAS = CROP_SIZE + 2 * _FRAME

#: Sides of the faces, the root of the box's area.
SMALLEST_FACE, LARGEST_FACE = 14.0, 560.0

#: Part of the scenes that are a mosaic of whole crops, and a texture instead of a photograph.
_MOSAICS, _TEXTURES = 0.2, 0.07

#: Part of the other scenes that have lettering behind the faces.
_LETTERED = 0.5

#: Part of the faces that are drawn evenly from ranges of yaw this wide, in degrees; the others come
#: as often as the data have them, which is mostly frontal.
_EVEN_YAW, _YAW_RANGE = 0.5, 15.0

#: Crops that are enlarged by more lack the detail that such faces have in photos: these are
#: sharpened.
_SHARPEN_FROM = 1.5

#: How much of an earlier face a later one may hide before it is left out, and how much of a face
#: must lie in the scene for it to count; others are ignored.
_MAY_HIDE = 0.25
_MUST_SHOW = 0.6

_MAX_FACES = 9


@dataclass(frozen=True, eq=False)
class Scene:
    """A training photo.

    Attributes
    ----------
    image : (S, S, 3) uint8
    boxes : (N, 4) float32
        ``xyxy`` of the faces to find; they may reach beyond the photo.
    ignored : (M, 4) float32
        Regions where nothing is learnt.
    """

    photo: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Places in the backgrounds that were taken for faces.

    Attributes
    ----------
    photos : (K,) int64
        Rows of the backgrounds.
    boxes : (K, 4) float32
    """

    photos: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        return {"photos": torch.from_numpy(self.photos), "boxes": torch.from_numpy(self.boxes)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> HardNegatives:
        """Hard negatives from what :meth:`tensors` gave. Raises CorruptFileError."""
        try:
            return cls(tensors["photos"].numpy(), tensors["boxes"].numpy())
        except KeyError as error:
            raise CorruptFileError(f"checkpoint: hard negatives without {error}") from error


class _Canvas:
    """The scene while it is painted."""

    def __init__(self, image: np.ndarray, ignored: np.ndarray) -> None:
        self.photo = image
        self.ignored = list(ignored)
        self.boxes: list[np.ndarray] = []

    def scene(self) -> Scene:
        side = self.photo.shape[0]
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        ignored = np.array(self.ignored, np.float32).reshape(-1, 4)
        inside = np.clip(boxes, 0, side - 1)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        shown = (inside[:, 2:] - inside[:, :2]).prod(axis=1) / np.maximum(area, 1)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        good = (shown >= _MUST_SHOW) & ((centre >= 0) & (centre <= side - 1)).all(axis=1)
        return Scene(self.photo, boxes[good], np.concatenate([ignored, boxes[~good]]))


class Composer:
    """Makes scenes; the same generator state makes the same scene."""

    def __init__(
        self,
        faces: Faces,
        backgrounds: Backgrounds,
        negatives: HardNegatives | None = None,
    ) -> None:
        self._faces = faces
        self._backgrounds = backgrounds
        self._by_yaw = _groups(faces.yaw_deg)
        self.negatives = negatives or HardNegatives()

    def scene(self, side: int, rng: np.random.Generator) -> Scene:
        """One scene of ``side`` x ``side`` pixels."""
        kind = rng.random()
        if kind < _MOSAICS:
            canvas = self._mosaic(side, rng)
        elif kind < _MOSAICS + _TEXTURES:
            canvas = _Canvas(_texture(side, rng), np.zeros((0, 4)))
        else:
            canvas = self._background(side, rng)
        if kind >= _MOSAICS:
            if rng.random() < _LETTERED:
                draw_lettering(canvas.photo, rng)
            self._paste_decoys(canvas, int(rng.integers(0, 4)), rng)
            self._paste_faces(canvas, rng)
        scene = canvas.scene()
        return Scene(_degrade(scene.photo, rng), scene.boxes, scene.ignored)

    def paste(
        self,
        image: np.ndarray,
        row: int,
        centre: tuple[float, float],
        side: float,
        angle_deg: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Blend face ``row`` into ``photo``, in place; returns its ``(4,)`` box."""
        crop, box = self._faces.crops[row], self._faces.boxes[row]
        if rng.random() < 0.5:
            crop, box = mirror(crop, box)
        size = box[2:] - box[:2]
        scale = side / float(np.sqrt(size.prod()))
        canvas = cv2.copyMakeBorder(crop, *(_FRAME,) * 4, cv2.BORDER_REFLECT_101)
        canvas = _sharpened(_recolour(canvas, image, centre, rng), scale, rng)
        middle = (box[:2] + box[2:]) / 2 + _FRAME
        mask = _soft_mask(middle, size, rng)
        _blend(image, canvas, mask, middle, centre, scale, angle_deg)
        return rotated_box(np.asarray(centre, np.float32), size * scale, angle_deg)

    def choose(self, rng: np.random.Generator) -> int:
        """Number of a face: half of the time all ranges of yaw are equally likely."""
        if rng.random() < _EVEN_YAW:
            return int(rng.choice(self._by_yaw[int(rng.integers(len(self._by_yaw)))]))
        return int(rng.integers(len(self._faces.crops)))

    def _paste_faces(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        side = canvas.photo.shape[0]
        count = int(rng.choice([0, 1, 2, 3, 5, _MAX_FACES], p=[0.08, 0.2, 0.2, 0.2, 0.2, 0.12]))
        group = rng.random() < 0.3
        base = _face_side(side, rng)
        sides = [
            base * rng.uniform(0.7, 1.4) if group else _face_side(side, rng) for _ in range(count)
        ]
        # Large ones first: their hair reaches far beyond their boxes and would hide small faces.
        for wanted in sorted(sides, reverse=True):
            centre = rng.uniform(-0.1 * wanted, side + 0.1 * wanted, 2)
            if wanted > 0.5 * side:
                centre = rng.normal(side / 2, side / 8, 2)
            around = np.concatenate([centre - wanted / 2, centre + wanted / 2])
            if _hidden(np.array(canvas.boxes + canvas.ignored), around) > _MAY_HIDE:
                continue
            angle = float(np.clip(rng.normal(0, 16), -60, 60))
            row = self.choose(rng)
            at = (float(centre[0]), float(centre[1]))
            box = self.paste(canvas.photo, row, at, wanted, angle, rng)
            canvas.boxes.append(box)
            if rng.random() < 0.25:
                self._occlude(canvas, box, rng)

    def _paste_decoys(self, canvas: _Canvas, count: int, rng: np.random.Generator) -> None:
        """Patches of other photographs, with the masks that faces get."""
        side = canvas.photo.shape[0]
        for _ in range(count):
            patch = self._patch(_CANVAS, rng)
            size = np.array([78.0, 102.0]) * rng.uniform(0.8, 1.2, 2)
            middle = np.full(2, _CANVAS / 2)
            mask = _soft_mask(middle, size, rng)
            x, y = rng.uniform(0, side, 2)
            scale = _face_side(side, rng) / float(np.sqrt(size.prod()))
            _blend(canvas.photo, patch, mask, middle, (x, y), scale, rng.normal(0, 20))

    def _occlude(self, canvas: _Canvas, box: np.ndarray, rng: np.random.Generator) -> None:
        """Hide a part of a face, from a side that leaves its middle visible or nearly."""
        size = box[2:] - box[:2]
        away = rng.uniform(0, 2 * np.pi)
        at = (box[:2] + box[2:]) / 2 + np.array([np.cos(away), np.sin(away)]) * size * 0.55
        scale = float(size.mean()) * rng.uniform(0.5, 0.9) / CROP_SIZE
        patch = self._patch(_CANVAS, rng)
        middle = np.full(2, _CANVAS / 2)
        mask = _soft_mask(middle, rng.uniform(50, 110, 2), rng)
        mask = np.clip(mask * rng.uniform(1, 4), 0, 1)
        _blend(canvas.photo, patch, mask, middle, (at[0], at[1]), scale, rng.uniform(-90, 90))

    def _mosaic(self, side: int, rng: np.random.Generator) -> _Canvas:
        """Whole crops and patches of photographs, edge to edge: faces in their own surroundings."""
        canvas = _Canvas(np.zeros((side, side, 3), np.uint8), np.zeros((0, 4)))
        cuts = int(rng.choice([1, 2, 3, 4, 5]))
        edges = np.linspace(0, side, cuts + 1).astype(int)
        for top, bottom in itertools.pairwise(edges):
            for left, right in itertools.pairwise(edges):
                tile = canvas.photo[top:bottom, left:right]
                if rng.random() < 0.4:
                    tile[:] = self._patch(max(tile.shape[:2]), rng)[
                        : tile.shape[0], : tile.shape[1]
                    ]
                    continue
                box = self._fill(tile, rng)
                canvas.boxes.append(box + np.array([left, top, left, top]))
        return canvas

    def _fill(self, tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A whole crop, zoomed and shifted a little, in a tile; returns the face's box in it."""
        row = self.choose(rng)
        crop, box = self._faces.crops[row], self._faces.boxes[row]
        if rng.random() < 0.5:
            crop, box = mirror(crop, box)
        height, width = tile.shape[:2]
        scale = max(height, width) / CROP_SIZE * rng.uniform(1.0, 1.3)
        if scale < 0.6:
            crop = cv2.GaussianBlur(crop, (0, 0), 0.4 / scale)
        crop = _sharpened(crop, scale, rng)
        room = np.array([width, height]) - CROP_SIZE * scale
        x, y = room * rng.uniform(0.2, 0.8, 2)
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        tile[:] = cv2.warpAffine(crop, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        return box * scale + np.array([x, y, x, y])

    def _background(self, side: int, rng: np.random.Generator) -> _Canvas:
        """A window of a photograph at a random scale, sometimes around a hard negative."""
        if len(self.negatives.photos) and rng.random() < 0.4:
            k = int(rng.integers(len(self.negatives.photos)))
            index, box = int(self.negatives.photos[k]), self.negatives.boxes[k]
            wanted = _face_side(side, rng)
            scale = float(np.clip(wanted / max(np.sqrt((box[2:] - box[:2]).prod()), 1), 0.4, 4))
            middle = (box[:2] + box[2:]) / 2
        else:
            index = int(rng.integers(len(self._backgrounds.photos)))
            scale = float(np.exp(rng.uniform(np.log(0.5), np.log(2.0))))
            height, width = self._backgrounds.photos[index].shape[:2]
            middle = rng.uniform(0, 1, 2) * (width, height)
        image, ignored = self._backgrounds.photos[index], self._backgrounds.ignored[index]
        window, origin = _window(image, middle, side / scale, rng)
        factor = side / window.shape[0]
        inside = (ignored - np.tile(origin, 2)) * factor
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        view = cv2.resize(window, (side, side), interpolation=interpolation)
        if rng.random() < 0.5:
            view = np.ascontiguousarray(view[:, ::-1])
            inside = np.column_stack(
                [side - 1 - inside[:, 2], inside[:, 1], side - 1 - inside[:, 0], inside[:, 3]]
            )
        return _Canvas(view, inside)

    def _patch(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """A square piece of a photograph without faces, ``(side, side, 3)``."""
        while True:
            index = int(rng.integers(len(self._backgrounds.photos)))
            if len(self._backgrounds.ignored[index]) == 0:
                break
            if rng.random() < 0.02:  # photographs of people only: a texture must do
                return _texture(side, rng)
        image = self._backgrounds.photos[index]
        size = float(np.exp(rng.uniform(np.log(24), np.log(min(image.shape[:2])))))
        middle = rng.uniform(0, 1, 2) * image.shape[1::-1]
        window, _ = _window(image, middle, size, rng)
        shrinks = window.shape[0] > side
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(window, (side, side), interpolation=method))


def mirror(crop: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A crop and its box, left to right."""
    last = crop.shape[1] - 1
    return crop[:, ::-1], np.array([last - box[2], box[1], last - box[0], box[3]], np.float32)


def rotated_box(centre: np.ndarray, size: np.ndarray, angle_deg: float) -> np.ndarray:
    """The box around the ellipse that fills a box, after a turn about its centre.

    A head is nearer to an ellipse than to a rectangle, whose turned corners would reach too far.
    """
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    half = np.hypot(size * cosine, size[::-1] * sine) / 2
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def _groups(yaw_deg: np.ndarray) -> list[np.ndarray]:
    """Numbers of the faces of each range of |yaw| that has any; beyond 90 degrees is one range."""
    number = np.minimum(np.abs(yaw_deg), 89.9) // _YAW_RANGE
    return [np.flatnonzero(number == k) for k in np.unique(number)]


def _face_side(side: int, rng: np.random.Generator) -> float:
    largest = min(LARGEST_FACE, 1.0 * side)
    return float(np.exp(rng.uniform(np.log(SMALLEST_FACE), np.log(largest))))


def _hidden(boxes: np.ndarray, by: np.ndarray) -> float:
    """The largest part of a box that another one covers."""
    if len(boxes) == 0:
        return 0.0
    low = np.maximum(boxes[:, :2], by[:2])
    high = np.minimum(boxes[:, 2:], by[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    smaller = np.minimum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (by[2:] - by[:2]).prod())
    return float((common / np.maximum(smaller, 1e-6)).max())


_ROWS, _COLUMNS = np.mgrid[:_CANVAS, :_CANVAS].astype(np.float32)
_TO_EDGE = np.minimum(
    np.minimum(_COLUMNS, _ROWS), np.minimum(_CANVAS - 1 - _COLUMNS, _CANVAS - 1 - _ROWS)
)
_FADE = np.clip(_TO_EDGE / 8, 0, 1)


def _soft_mask(middle: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Opacity on a canvas: about an ellipse that holds the head, with a wavy soft edge."""
    half = size * rng.uniform(0.5, 0.8, 2)
    x, y = middle + rng.normal(0, 4, 2)
    # Ellipse, or rectangles with rounder or sharper corners. Plain numbers keep arrays in float32.
    doublings = int(rng.choice([1, 1, 2, 3]))
    u = np.square((_COLUMNS[:1] - float(x)) / float(half[0]))
    v = np.square((_ROWS[:, :1] - float(y)) / float(half[1]))
    for _ in range(doublings - 1):
        u, v = u * u, v * v
    radius = u + v
    for _ in range(doublings):
        radius = np.sqrt(radius)
    waves = cv2.resize(rng.normal(0, 0.08, (7, 7)).astype(np.float32), (_CANVAS, _CANVAS))
    softness = float(rng.uniform(0.04, 0.3))
    radius += waves
    mask = np.clip((1 + softness / 2 - radius) * (1 / softness), 0, 1)
    mask *= _FADE
    return np.asarray(mask, np.float32)


def _sharpened(patch: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A crop that will be enlarged, mostly with its edges steepened; others as they are."""
    if scale <= _SHARPEN_FROM or rng.random() < 0.3:
        return patch
    amount = float(rng.uniform(0.5, 2.5))
    blurred = cv2.GaussianBlur(patch, (0, 0), float(rng.uniform(0.8, 1.6)))
    return np.asarray(cv2.addWeighted(patch, 1 + amount, blurred, -amount, 0))


def _blend(
    image: np.ndarray,
    patch: np.ndarray,
    mask: np.ndarray,
    middle: np.ndarray,
    centre: tuple[float, float],
    scale: float,
    angle_deg: float,
) -> None:
    """Draw ``patch`` through ``mask``, scaled and turned, its ``middle`` on ``centre``."""
    if scale < 0.6:  # linear interpolation would skip pixels
        factor = scale / 0.6
        side = max(round(len(patch) * factor), 4)
        factor = side / len(patch)
        patch = cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
        middle, scale = middle * factor, scale / factor
    reach = int(np.ceil(0.75 * len(patch) * scale)) + 1
    left, top = int(centre[0]) - reach, int(centre[1]) - reach
    x0, y0 = max(left, 0), max(top, 0)
    x1 = min(left + 2 * reach, image.shape[1])
    y1 = min(top + 2 * reach, image.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), angle_deg, scale)
    matrix[:, 2] += np.array([centre[0] - x0, centre[1] - y0]) - middle
    drawn = cv2.warpAffine(patch, matrix, (x1 - x0, y1 - y0), borderMode=cv2.BORDER_REFLECT_101)
    opacity = cv2.warpAffine(mask, matrix, (x1 - x0, y1 - y0))
    region = image[y0:y1, x0:x1]
    region[:] = cv2.blendLinear(drawn, region, opacity, 1 - opacity)


def _recolour(
    patch: np.ndarray, image: np.ndarray, centre: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Gain and offset, and often the scene's own brightness, so that a paste is not told by it."""
    table = np.arange(256, dtype=np.float32) * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20)
    if rng.random() < 0.5:
        x = int(np.clip(centre[0], 0, image.shape[1] - 1))
        y = int(np.clip(centre[1], 0, image.shape[0] - 1))
        around = image[max(y - 20, 0) : y + 20 : 4, max(x - 20, 0) : x + 20 : 4]
        table += 0.4 * (float(around.mean()) - float(patch[::8, ::8].mean()))
    return cv2.LUT(patch, np.clip(table, 0, 255).astype(np.uint8))


def _window(
    image: np.ndarray, middle: np.ndarray, side: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A square window near a point, moved inside the photo, and its origin (x, y)."""
    size = int(np.clip(round(side), 8, min(image.shape[:2])))
    wanted = middle - size * rng.uniform(0.25, 0.75, 2)
    room = np.array(image.shape[1::-1]) - size
    x, y = np.clip(wanted, 0, room).astype(int)
    return image[y : y + size, x : x + size], np.array([x, y], np.float32)


def _texture(side: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of one or two grains, a gradient, or stripes."""
    kind = int(rng.integers(4))
    base = rng.uniform(0, 255, 3).astype(np.float32)
    along = np.arange(side, dtype=np.float32) / np.float32(side)
    if kind == 0:
        grain = int(np.exp(rng.uniform(np.log(2), np.log(side))))
        noise = rng.uniform(0, 255, (grain, grain, 3)).astype(np.float32)
        image = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    elif kind == 3:
        image = base + _noise((side, side, 3), float(rng.uniform(2, 60)), rng)
    else:
        turn = float(rng.uniform(0, 2 * np.pi))
        ramp = np.float32(np.cos(turn)) * along + np.float32(np.sin(turn)) * along[:, None]
        if kind == 2:
            ramp = np.sin(ramp * np.float32(rng.uniform(10, 200)))
        reach = 255 if kind == 1 else 120
        image = base + ramp[:, :, None] * rng.uniform(-reach, reach, 3).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def _noise(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise, float32."""
    noise = rng.standard_normal(shape, np.float32)
    noise *= np.float32(deviation)
    return noise


def _degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spoil like cameras and files: light, grey, blur, noise, compression; over faces and seams."""
    table: np.ndarray = np.arange(256, dtype=np.float32)[:, None]
    if rng.random() < 0.7:
        gamma, gain = rng.uniform(0.6, 1.6), rng.uniform(0.7, 1.3)
        table = 255 * (table / 255) ** gamma * gain + rng.uniform(-20, 20)
    grey = rng.random() < 0.12
    if not grey and rng.random() < 0.3:
        table = table * rng.uniform(0.85, 1.15, 3)
    channels = np.broadcast_to(np.clip(table, 0, 255).astype(np.uint8), (256, 3))
    image = np.asarray(cv2.LUT(image, np.ascontiguousarray(channels[None])))
    if grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.12:
        noise = _noise(image.shape, float(rng.uniform(2, 12)), rng)
        noise += image
        image = np.clip(noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 90))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image
