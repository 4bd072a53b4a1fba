"""Skins: textures of labelled faces, and the light that they were photographed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.geometry.crop import CROP_SIZE
from facegeo.render import (
    interpolate,
    rasterize,
    sample_texture,
    vertex_normals,
    visible_vertices,
)
from facegeo.render.texture import TexelSource, continued
from facegeo.synthetic.head import SKIN, TEXTURE_SIZE, HeadTables

#: Weights of blue, green and red in brightness.
LUMA: Final = np.array([0.114, 0.587, 0.299], np.float32)

#: Fewer vertices of plain skin in the photo do not tell its light.
_FEWEST: Final = 60
#: Light that comes from everywhere is at least this part of it.
_LEAST_AMBIENT: Final = 0.45

#: Surfaces that face the viewer less have the colour of the other side, as in textures.
_LEAST_FACING: Final = 0.25

#: Weights of the face below which skin is made up, and above which it is the photo's.
_BARE: Final = (0.3, 0.9)

#: The white of an eye, in parts of the skin's brightness: least and most.
_WHITE: Final = (0.9, 2.0)
#: Where the photo does not show it, and how much of the skin's tint it keeps.
_USUAL_WHITE, _TINT = 1.35, 0.35

#: Brightness of skin in parts of the median of so many texels around.
_USUAL: Final = (0.8, 1.25)
_AROUND: Final = 13
#: Texels around lids and lips that their fill comes from.
_MARGIN: Final = 10
#: Grain of the skin that fills the lids, at most, in levels of 255.
_MOST_GRAIN: Final = 5.0


@dataclass(frozen=True, eq=False)
class Skin:
    """One person's skin.

    Attributes
    ----------
    texture : (T, T, 3) uint8
        BGR, lit as in the photo. The lids are skin too, as if the eyes were shut.
    shade : (V,) float32
        Brightness of the light on each vertex in the photo, on average 1.
    light : (4,) float32
        The light: ambient, and towards x, y, z of photo pixels.
    white : (3,) float32
        Colour of the white of the eyes, of teeth too, in full light.
    colourful : float
        0 of a grey photo, 1 of others.
    likeness : float
        How much the fill of the lids looks like the person's cheeks, 0..1: glasses and shadows
        do not.
    """

    texture: np.ndarray
    shade: np.ndarray
    light: np.ndarray
    white: np.ndarray
    colourful: float
    likeness: float


def skin_of(
    image: np.ndarray,
    vertices: np.ndarray,
    landmarks: np.ndarray,
    head: HeadTables,
    rng: np.random.Generator,
) -> Skin:
    """Skin of a face whose geometry is known.

    Parameters
    ----------
    image : (S, S, 3) uint8
        A crop of any size.
    vertices : (V, 3), landmarks : (68, 3) float32
        Pixels of a crop of side 120.
    """
    scale = len(image) / CROP_SIZE
    placed = vertices * np.float32(scale)
    placed[:, :2] += (scale - 1) / 2
    raster = rasterize(placed, head.triangles, *image.shape[:2], threads=1)
    skin = head.kind == SKIN
    sampled = sample_texture(
        image,
        placed,
        head.triangles[skin],
        head.uv,
        head.uv_triangles[skin],
        size=TEXTURE_SIZE,
        mirror=head.mirror,
        raster=raster,
    )
    normals = vertex_normals(placed, head.triangles)
    seen = visible_vertices(raster, placed, head.triangles)
    light = _light(image, placed, normals, seen & head.skin_samples)
    facing = normals
    if head.mirror is not None:
        shown = seen & (normals[:, 2] > _LEAST_FACING)
        facing = np.where(shown[:, None], normals, normals[head.mirror])
    texture, likeness = _with_lids(_with_lips(sampled.image, head), sampled.source, head, rng)
    colour = np.median(texture.reshape(-1, 3)[_plain(sampled.source, head).ravel()], axis=0)
    eyes = (landmarks[:, :2] + 0.5) * scale - 0.5
    white = _white(image, eyes, colour.astype(np.float32))
    chroma = float(np.ptp(image[::2, ::2].astype(np.float32), axis=2).mean())
    colourful = float(np.clip((chroma - 3) / 9, 0, 1))
    return Skin(texture, shade_of(light, facing), light, white, colourful, likeness)


def with_bare_head(skin: Skin, head: HeadTables) -> Skin:
    """The skin with ears and neck of the face's colour, not of hair and clothes in the photo."""
    face = _texels(head, "face")
    known = face > _BARE[0]
    if not known.any():
        return skin
    share = 1 - np.clip((face - _BARE[0]) / (_BARE[1] - _BARE[0]), 0, 1)[..., None]
    image = skin.texture.astype(np.float32)
    inner = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    core = cv2.resize(np.where(face > _BARE[1], 1, 0).astype(np.float32), None, fx=0.25, fy=0.25)
    filled = continued(inner, core > 0.99)
    filled = cv2.resize(filled, image.shape[:2], interpolation=cv2.INTER_LINEAR)
    mixed = image + share * (filled - image)
    return replace(skin, texture=np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def shade_of(light: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Brightness ``(...,)`` of surfaces with normals ``(..., 3)``, never dark."""
    return np.maximum(light[0] + normals @ light[1:], 0.3 * light[0]).astype(np.float32)


def _light(
    image: np.ndarray, placed: np.ndarray, normals: np.ndarray, used: np.ndarray
) -> np.ndarray:
    """Ambient and directed light by least squares over skin of one colour."""
    flat = np.array([1, 0, 0, 0], np.float32)
    if np.count_nonzero(used) < _FEWEST:
        return flat
    last = len(image) - 1
    column, row = np.clip(np.rint(placed[used, :2]), 0, last).astype(int).T
    brightness = image[row, column].astype(np.float32) @ LUMA
    middle = np.median(brightness)
    # What is much darker is hair or a nostril, what is much brighter a reflection.
    kept = (brightness > 0.5 * middle) & (brightness < 1.6 * middle)
    if np.count_nonzero(kept) < _FEWEST:
        return flat
    terms = np.column_stack([np.ones(np.count_nonzero(kept)), normals[used][kept]])
    ridge = np.diag([0, 1, 1, 1]) * 0.02 * len(terms)
    target = brightness[kept] / brightness[kept].mean()
    found = np.linalg.solve(terms.T @ terms + ridge, terms.T @ target)
    most = found[0] * (1 - _LEAST_AMBIENT) / max(float(np.linalg.norm(found[1:])), 1e-6)
    found[1:] *= min(1.0, most) if found[0] > 0 else 0.0
    if found[0] < 0.2:
        return flat
    return found.astype(np.float32)


def _plain(source: np.ndarray, head: HeadTables) -> np.ndarray:
    """Texels of plain skin that the photo shows; all that it shows, where there are none."""
    shown = source == TexelSource.SEEN
    plain = shown & (_texels(head, "skin_samples") > 0.99)
    return plain if plain.any() else (shown if shown.any() else np.ones_like(shown))


def _texels(head: HeadTables, name: str) -> np.ndarray:
    """A weight of the vertices in the texture, ``(T, T)``; 0 where it is empty."""
    if name not in head.texel_weights:
        values = np.asarray(getattr(head, name), np.float32)[:, None]
        triangles = head.triangles[head.kind == SKIN]
        head.texel_weights[name] = interpolate(head.layout, triangles, values)[..., 0]
    return head.texel_weights[name]


def _with_lids(
    texture: np.ndarray, source: np.ndarray, head: HeadTables, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """The texture with lids of the skin around them, and how like the cheeks that is."""
    whole = _texels(head, "lids")
    if not whole.any():
        return texture, 1.0
    window = _around(whole > 0)
    share, image = whole[window], texture[window].astype(np.float32)
    known = (source[window] != TexelSource.EMPTY) & (share == 0)
    known &= (_texels(head, "brows")[window] == 0) & (_texels(head, "face")[window] > 0)
    known = _usual(image, known, share > 0)
    if not known.any():
        return texture, 0.0
    filled = continued(image, known)
    # The eye's hole too, for what interpolates across its border.
    hole = cv2.dilate((share > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    share = np.where(hole & ~head.layout.covered[window], 1, share)[..., None]
    plain = _plain(source, head)
    grain = image - cv2.GaussianBlur(image, (0, 0), 1.2)
    strength = min(float(grain[known].std()), _MOST_GRAIN)
    coarse = cv2.GaussianBlur(rng.normal(size=share.shape[:2]).astype(np.float32), (0, 0), 1.0)
    cheeks = np.median(texture[plain], axis=0)
    difference = np.abs(filled[share[..., 0] > 0.5].mean(axis=0) - cheeks) @ LUMA
    filled += strength * (coarse / coarse.std())[..., None]
    result = _mixed(texture, window, filled, share)
    return result, float(np.clip(1 - difference / max(cheeks @ LUMA, 1.0), 0, 1))


def _usual(image: np.ndarray, known: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """Known texels that are neither brow, lash nor white of the photo's eye.

    Where a label is a little off, these lie beside the lids.
    """
    brightness = image @ LUMA
    near = cv2.dilate(lids.astype(np.uint8), np.ones((_AROUND, _AROUND), np.uint8)) > 0
    usual = known.copy()
    half = image.shape[1] // 2
    for side in (np.s_[:, :half], np.s_[:, half:]):
        ring = (known & near)[side]
        if ring.any():
            middle = np.median(brightness[side][ring])
            usual[side] &= (brightness[side] > 0.6 * middle) & (brightness[side] < 1.6 * middle)
    # Within shadows too: what differs from its own surroundings.
    around = cv2.medianBlur(np.clip(brightness, 0, 255).astype(np.uint8), _AROUND)
    low, high = _USUAL
    return usual & (brightness > low * around) & (brightness < high * around)


def _with_lips(texture: np.ndarray, head: HeadTables) -> np.ndarray:
    """The texture with lips that meet in their own colour, where a photo may show teeth."""
    share, known = _texels(head, "inner_lips"), _texels(head, "outer_lips") > 0.5
    if not known.any() or not share.any():
        return texture
    window = _around(share > 0)
    image, share, known = texture[window].astype(np.float32), share[window], known[window]
    brightness = image @ LUMA
    teeth = brightness > _USUAL[1] * np.median(brightness[known])
    lips = known | (share > 0)
    share = np.maximum(share, cv2.dilate((teeth & lips).astype(np.float32), np.ones((3, 3))))
    known &= ~teeth & (share == 0)
    if not known.any():
        return texture
    return _mixed(texture, window, continued(image, known), share[..., None])


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is set, and some around."""
    row, column = (
        slice(max(int(index.min()) - _MARGIN, 0), int(index.max()) + _MARGIN + 1)
        for index in np.nonzero(mask)
    )
    return row, column


def _mixed(
    texture: np.ndarray, window: tuple[slice, slice], filled: np.ndarray, share: np.ndarray
) -> np.ndarray:
    result = texture.copy()
    part = texture[window].astype(np.float32)
    result[window] = np.clip(np.rint(part + share * (filled - part)), 0, 255).astype(np.uint8)
    return result


def _white(image: np.ndarray, landmarks: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Colour of the white of the eyes in full light, by the bright part of the photo's eyes."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for name in ("right_eye", "left_eye"):
        corners = np.rint(landmarks[list(LANDMARK_REGIONS[name])]).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1)
    level = float(skin @ LUMA)
    found = image[mask > 0].astype(np.float32)
    brightness = _USUAL_WHITE * level
    if len(found) >= 20:
        brightness = 1.1 * float(np.percentile(found @ LUMA, 85))
    low, high = _WHITE
    brightness = float(np.clip(brightness, low * level, min(high * level, 245.0)))
    tinted = _TINT * skin / max(level, 1.0) + (1 - _TINT)
    return np.asarray(brightness * tinted, np.float32)
