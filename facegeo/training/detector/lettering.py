"""Lettering for composed scenes: captions, signs and shirts are what small faces are confused with.

Photographs of landscapes and animals show next to no letters, so a detector that never saw a
caption finds faces in it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_LETTERS: Final = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&@#%?!.,:-")

#: Height of a letter in pixels, and most letters of a line.
_HEIGHTS: Final = (9.0, 90.0)
_MOST_LETTERS: Final = 24

#: Letters are drawn at this size and then scaled.
_DRAWN_PX: Final = 64


def draw_lettering(image: np.ndarray, rng: np.random.Generator) -> None:
    """Write some lines of random letters on a photo, in place, half of them on a bar.

    Parameters
    ----------
    image : (H, W, 3) uint8
    """
    for _ in range(int(rng.integers(1, 5))):
        line = _line(rng) if rng.random() < 0.5 else _glyphs(rng)
        height = float(np.exp(rng.uniform(*np.log(_HEIGHTS))))
        scale = height / line.shape[0]
        size = max(round(line.shape[1] * scale * rng.uniform(0.7, 1.3)), 1), max(round(height), 1)
        mask = cv2.resize(line, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        left, top = rng.uniform(-0.3, 0.95, 2) * image.shape[1::-1]
        ink, ground = _colours(rng)
        if rng.random() < 0.5:
            pad = round(height * rng.uniform(0.1, 0.8))
            bar = np.full((size[1] + 2 * pad, size[0] + 4 * pad), rng.uniform(0.5, 1), np.float32)
            _paint(image, bar, (round(left) - 2 * pad, round(top) - pad), ground)
        at = (round(left), round(top))
        if rng.random() < 0.3:  # an outline, as subtitles have
            wider = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=1 + size[1] // 30)
            _paint(image, wider, at, ground)
        _paint(image, mask * np.float32(rng.uniform(0.7, 1)), at, ink)


def _line(rng: np.random.Generator) -> np.ndarray:
    """A line of letters as a mask, 0..255."""
    from PIL import Image, ImageDraw

    count = int(rng.integers(1, _MOST_LETTERS + 1))
    first, end = ((0, 26), (26, 52), (52, 62), (0, len(_LETTERS)))[int(rng.integers(4))]
    letters = [_LETTERS[int(k)] for k in rng.integers(first, end, count)]
    spaced = ["" if rng.random() < 0.8 else " " for _ in letters]
    text = "".join(a + b for a, b in zip(letters, spaced, strict=True)).strip()
    stroke = int(rng.integers(0, 4))
    left, top, right, bottom = (int(v) for v in _font().getbbox(text, stroke_width=stroke))
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), text, 255, _font(), stroke_width=stroke)
    return np.asarray(image)


def _glyphs(rng: np.random.Generator) -> np.ndarray:
    """A line of signs of many strokes, as dense as Chinese characters, as a mask."""
    width = int(rng.integers(3, 9))
    return np.hstack([_glyph(width, rng) for _ in range(int(rng.integers(1, _MOST_LETTERS // 2)))])


def _glyph(width: int, rng: np.random.Generator) -> np.ndarray:
    """Strokes between points of a grid: mostly level or upright, some slanting, some boxes."""
    cell = np.zeros((_DRAWN_PX, _DRAWN_PX), np.uint8)
    grid = np.linspace(8, _DRAWN_PX - 9, 6).astype(int)
    for _ in range(int(rng.integers(4, 11))):
        (x0, y0), (x1, y1) = (rng.choice(grid, 2).tolist() for _ in range(2))
        kind = rng.random()
        if kind < 0.15:
            cv2.rectangle(cell, (x0, y0), (x1, y1), 255, width)
        else:
            end = (x1, y0) if kind < 0.5 else (x0, y1) if kind < 0.75 else (x1, y1)
            cv2.line(cell, (x0, y0), end, 255, width, cv2.LINE_AA)
    return cell


@lru_cache(maxsize=1)
def _font() -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(_DRAWN_PX)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ink and ground that can be told apart."""
    ink = np.full(3, 255.0) if rng.random() < 0.4 else rng.uniform(0, 255, 3)
    ground = rng.uniform(0, 255, 3)
    if abs(ink.mean() - ground.mean()) < 60:
        ground = 0.4 * ground + (153 if ink.mean() < 128 else 0)
    return ink, ground


def _paint(image: np.ndarray, mask: np.ndarray, at: tuple[int, int], colour: np.ndarray) -> None:
    """Blend a colour into the photo where the mask says so, as far as that is in the photo."""
    x, y = at
    height, width = image.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    part = mask[y0 - y : y1 - y, x0 - x : x1 - x, None]
    seen = image[y0:y1, x0:x1]
    seen[:] = np.rint(seen + (colour - seen) * part)
