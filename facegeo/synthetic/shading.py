"""Pixels of a drawn head: skin from a texture; eyes, teeth, tongue and mouth made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from facegeo.geometry.crop import CROP_SIZE
from facegeo.render import Raster, interpolate, rasterize, vertex_normals
from facegeo.render.texture import texel_positions
from facegeo.synthetic.head import (
    EYE,
    LINING,
    MOUTH,
    SKIN,
    TEETH,
    TEXTURE_SIZE,
    TONGUE,
    HeadTables,
)
from facegeo.synthetic.skins import LUMA, Skin, shade_of

#: Rendered with so many pixels to each side of one, and reduced: smooth edges.
SUPERSAMPLING: Final = 2

#: Colours of irises, BGR in full light: mostly brown.
_IRISES: Final = np.array(
    [
        *((18, 30, 52), (24, 44, 78), (14, 22, 36), (30, 50, 70), (40, 62, 80)),
        *((110, 92, 70), (120, 108, 90), (62, 88, 82)),
    ],
    np.float32,
)
#: Hair of the scalp, BGR.
_HAIR: Final = np.array(
    [(22, 24, 28), (30, 42, 60), (52, 80, 112), (96, 140, 176), (150, 150, 152)], np.float32
)

#: Pixels around eyes and mouth that lashes and shadows may reach.
_ROOM_PX: Final = 8

#: Strands of hair: widths of two sizes, pixels.
_STRANDS: Final = ((1.0, 3.0), (3.0, 8.0))

#: Lashes are this wide, millimetres, on the upper and lower rim; the crease of the upper lid lies
#: so far above it.
_LASHES_MM: Final = (1.0, 0.7)
_CREASE_MM: Final = (5.5, 1.3)
#: The lids reach so far from their rims.
_NEAR_MM: Final = 9.0
#: The socket of the eye is darker for so far around the crease.
_SOCKET_MM: Final = 3.5
#: How much of each colour, BGR, skin loses in its own shade.
_SHADED: Final = np.array([1.1, 1.0, 0.7], np.float32)
#: Shadow of the lids on the eyeball: how wide, and how far it falls.
_SHADOW_MM: Final = (1.3, 0.7)
#: Behind the front of the lips light begins to fade here, and by so much; millimetres.
_MOUTH_MM: Final = (15.0, 22.0)
#: Width of a tooth.
_TOOTH_MM: Final = 7.5


@dataclass(frozen=True, eq=False)
class Look:
    """Looks of a person that are random: eyes, mouth and hair.

    Attributes
    ----------
    iris : (3,) float32
        BGR.
    pupil : float
        Radius, in parts of the iris'.
    redness, lashes, lower_lashes, crease, socket, shadow, gloss : float
        Strengths, 0..1.
    hair : (3,) float32 or None
        BGR of the scalp, of heads in a light of their own; None: as the texture has it.
    seed : int
        Of the grain of hair.
    """

    iris: np.ndarray
    pupil: float
    redness: float
    lashes: float
    lower_lashes: float
    crease: float
    socket: float
    shadow: float
    gloss: float
    hair: np.ndarray | None
    seed: int


def random_look(rng: np.random.Generator) -> Look:
    """A random person's."""
    iris = _IRISES[rng.integers(len(_IRISES))]
    hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.6, 1.2) * rng.uniform(0.93, 1.07, 3)
    return Look(
        iris=(iris * rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)).astype(np.float32),
        pupil=float(rng.uniform(0.28, 0.55)),
        redness=float(rng.uniform(0, 1) ** 2),
        lashes=float(rng.uniform(0.35, 1.0)),
        lower_lashes=float(rng.uniform(0.05, 0.5)),
        crease=float(rng.uniform(0, 0.8)),
        socket=float(rng.uniform(0, 0.22)),
        shadow=float(rng.uniform(0.15, 0.55)),
        gloss=float(rng.uniform(0.3, 1.0)),
        hair=hair.astype(np.float32) if rng.random() < 0.7 else None,
        seed=int(rng.integers(2**31)),
    )


#: Normals of a face that looks at the viewer, by which exposure is chosen.
_FRONT: Final = np.array([(0, 0, 1), (0.5, 0, 0.86), (-0.5, 0, 0.86), (0, -0.4, 0.92)], np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """Light of a scene.

    Attributes
    ----------
    ambient : (3,) float32
        BGR factors.
    directions : (L, 3) float32
        Unit vectors to the lights: x right, y down, z to the viewer.
    colours : (L, 3) float32
    """

    ambient: np.ndarray
    directions: np.ndarray
    colours: np.ndarray

    def on(self, normals: np.ndarray) -> np.ndarray:
        """Factors ``(V, 3)`` on surfaces with these normals; soft lights reach around corners."""
        facing = np.clip((normals @ self.directions.T + 0.3) / 1.3, 0, 1)
        below = 1 - 0.35 * np.clip(normals[:, 1:2], 0, 1)
        return np.asarray(below * (self.ambient + facing @ self.colours), np.float32)


def random_light(rng: np.random.Generator) -> Light:
    """One to three soft lights, from in front and the sides, mostly above."""
    count = int(rng.integers(1, 4))
    directions = rng.normal(size=(count, 3)) * (1.0, 0.5, 0.5) + (0, -0.4, 0.7)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    warmth = rng.normal(0, 0.08, (count + 1, 1)) * (-1, 0, 1)
    strengths = rng.dirichlet(np.ones(count))[:, None] * rng.uniform(0.3, 0.9)
    ambient = (1 - 0.75 * strengths.sum()) * (1 + warmth[0])
    colours = strengths * (1 + warmth[1:])
    light = Light(*(values.astype(np.float32) for values in (ambient, directions, colours)))
    level = np.float32(rng.uniform(0.75, 1.15) / light.on(_FRONT).mean())
    return Light(light.ambient * level, light.directions, light.colours * level)


@dataclass(frozen=True, eq=False)
class Painted:
    """A head in pixels of a crop with ``SUPERSAMPLING``.

    Attributes
    ----------
    colour : (S, S, 3) float32
        BGR 0..255; 0 where nothing is.
    raster : Raster
    kind : (S, S) int8
        Of the surface; -1 where nothing is.
    lids, lips, face : (S, S) float32
        Weights of regions; 1 inside of the eyes and the mouth.
    gain : (S, S) float32
        How much brighter the skin is than in its texture.
    """

    colour: np.ndarray
    raster: Raster
    kind: np.ndarray
    lids: np.ndarray
    lips: np.ndarray
    face: np.ndarray
    gain: np.ndarray


def paint(
    head: HeadTables,
    params: np.ndarray,
    skin: Skin,
    look: Look,
    light: Light | None = None,
    before: np.ndarray | None = None,
) -> Painted:
    """Draw a head.

    Parameters
    ----------
    params : (P,) float32
    light : Light, optional
        By default the light that the skin was photographed in.
    before : (P,) float32, optional
        Of the photographed face, where it is the same but for its expression: ``gain`` is then
        what the expression alone makes brighter.
    """
    scale = SUPERSAMPLING
    shaped = head.shaped(params[None])
    placed = head.placed(shaped, params[None])[0] * np.float32(scale)
    placed[:, :2] += (scale - 1) / 2
    side = CROP_SIZE * scale
    raster = rasterize(placed, head.triangles, side, side, threads=1)
    normals = vertex_normals(placed, head.triangles)
    if light is None:
        lit = np.repeat(shade_of(skin.light, normals)[:, None], 3, axis=1)
    else:
        lit = light.on(normals)
    source = skin.shade
    if before is not None:
        old = vertex_normals(head.vertices(before[None])[0], head.triangles)
        source = shade_of(skin.light, old)
    px_per_mm = scale * head.px_per_mm(params)
    behind = np.maximum(head.lips_z - shaped[0, :, 2] * head.unit_mm, 0)
    channels = (
        lit,
        normals,
        (1 / source)[:, None],
        head.eye_direction,
        *(
            values[:, None]
            for values in (
                head.rims.upper,
                head.rims.lower,
                head.lids,
                head.lips,
                head.face,
                head.hair,
                behind,
                head.mean[:, 0] * np.float32(head.unit_mm),
            )
        ),
    )
    attributes = np.concatenate(channels, axis=1).astype(np.float32)
    drawn = interpolate(raster, head.triangles, attributes)
    pixels = _Pixels(
        drawn[..., :3],
        drawn[..., 3:6],
        drawn[..., 6:7],
        drawn[..., 7:10],
        *np.moveaxis(drawn[..., 10:], 2, 0),
    )
    kind = np.where(raster.covered, head.kind[raster.triangle], -1).astype(np.int8)
    places = interpolate(raster, head.uv_triangles, texel_positions(head.uv, TEXTURE_SIZE)[:, :2])
    colour = cv2.remap(
        skin.texture,
        np.ascontiguousarray(places[..., 0]),
        np.ascontiguousarray(places[..., 1]),
        cv2.INTER_LINEAR,
    ).astype(np.float32)
    colour *= pixels.lit * pixels.inverse_shade
    colour[~raster.covered] = 0
    _paint_skin(colour, kind, pixels, look, light)
    _paint_lining(colour, kind, pixels, skin)
    inside_eyes = (kind == EYE) | (kind == LINING)
    inside_mouth = kind >= TEETH
    rims = np.minimum(pixels.upper_rim, pixels.lower_rim)
    for window in _windows(inside_eyes | ((kind == SKIN) & (rims < _NEAR_MM))):
        near = colour[window], kind[window], pixels.at(window)
        _paint_eyes(*near, skin, look, light, head.iris_cosine, px_per_mm)
        _paint_lashes(*near, look, head.eye_corners, px_per_mm)
    for window in _windows(inside_mouth):
        _paint_mouth(colour[window], kind[window], pixels.at(window), skin, px_per_mm)
    _grey_as(colour, kind, skin)
    return Painted(
        colour,
        raster,
        kind,
        np.where(inside_eyes, 1, np.where(kind == SKIN, pixels.lids, 0)).astype(np.float32),
        np.where(inside_mouth, 1, np.where(kind == SKIN, pixels.lips, 0)).astype(np.float32),
        np.where(kind > SKIN, 1, pixels.face).astype(np.float32),
        (pixels.lit.mean(axis=2) * pixels.inverse_shade[..., 0]),
    )


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Attributes of the surface in each pixel."""

    lit: np.ndarray
    normals: np.ndarray
    inverse_shade: np.ndarray
    eye_direction: np.ndarray
    upper_rim: np.ndarray
    lower_rim: np.ndarray
    lids: np.ndarray
    lips: np.ndarray
    face: np.ndarray
    hair: np.ndarray
    behind_lips: np.ndarray
    sideways: np.ndarray

    def at(self, window: tuple[slice, slice]) -> _Pixels:
        return _Pixels(*(values[window] for values in vars(self).values()))


def _windows(mask: np.ndarray) -> list[tuple[slice, slice]]:
    """Rows and columns of what is set, with room for what reaches out of it; none if nothing is."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    row, column = (
        slice(max(int(found[0]) - _ROOM_PX, 0), int(found[-1]) + _ROOM_PX + 1)
        for found in (rows, columns)
    )
    return [(row, column)]


def _paint_skin(
    colour: np.ndarray, kind: np.ndarray, pixels: _Pixels, look: Look, light: Light | None
) -> None:
    """Hair on the scalp, a little gloss on the rest, of heads in a light of their own."""
    if light is None:
        return
    is_skin = kind == SKIN
    share = pixels.hair * is_skin
    bare = is_skin & (share < 1)
    normals, shine = pixels.normals[bare], np.zeros((np.count_nonzero(bare), 3), np.float32)
    for direction, strength in zip(light.directions, light.colours, strict=True):
        shine += _shine(normals, direction, 12)[:, None] * strength
    colour[bare] += 22.0 * look.gloss * (1 - share[bare])[:, None] * shine
    if look.hair is None:
        return
    for window in _windows(share > 0):
        rng = np.random.default_rng(look.seed)
        part = share[window]
        noise = rng.standard_normal(part.shape, np.float32)
        grain = np.zeros_like(noise)
        for along, across in _STRANDS:
            smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=along, sigmaY=across)
            grain += np.asarray(smooth, np.float32) / max(float(np.std(smooth)), 1e-6)
        grain = 1 + 0.16 * grain / max(float(grain.std()), 1e-6)
        hair = look.hair * pixels.lit[window] * np.clip(grain, 0.2, 2.0)[..., None]
        colour[window] += part[..., None] * (hair - colour[window])


def _paint_lining(colour: np.ndarray, kind: np.ndarray, pixels: _Pixels, skin: Skin) -> None:
    """The wet rim inside of the lids: pink, lighter than the skin."""
    inside = kind == LINING
    pink = skin.white * np.array([0.58, 0.58, 0.76], np.float32)
    colour[inside] = pink * pixels.lit[inside]


def _paint_lashes(
    colour: np.ndarray,
    kind: np.ndarray,
    pixels: _Pixels,
    look: Look,
    eye_corners: np.ndarray,
    px_per_mm: float,
) -> None:
    """The upper lid's crease and shade, and lashes along the lids' edges in the image.

    There an eye is seen below the upper lid, or the lower lid where it is shut.
    """
    upper, lower = pixels.upper_rim, pixels.lower_rim
    near = (kind == SKIN) & (np.minimum(upper, lower) < _NEAR_MM)
    is_upper = near & (upper < lower)
    middle, width = _CREASE_MM
    above_eye = is_upper * np.clip((lower - upper) / _SOCKET_MM, 0, 1)
    fold = np.exp(-(((upper - middle) / width) ** 2)) * above_eye
    socket = np.exp(-(((upper - middle) / _SOCKET_MM) ** 2)) * above_eye
    colour *= (1 - 0.4 * look.crease * fold)[..., None]
    colour *= 1 - look.socket * socket[..., None] * _SHADED
    is_lower = near & ~is_upper
    below, above = np.roll(is_upper, -1, axis=0), np.roll(is_lower, 1, axis=0)
    within = np.zeros(kind.shape, np.float32)
    for inner, outer in eye_corners:
        middle, half = (inner + outer) / 2, abs(outer - inner) / 2 + 1.0
        away = np.abs(pixels.sideways - middle) - half
        within = np.maximum(within, np.clip(1 - away / 1.5, 0, 1))
    edges = ((is_upper & ~below), (is_lower & ~above))
    lashes = np.zeros(kind.shape, np.float32)
    strengths = (look.lashes, look.lower_lashes)
    for edge, strength, width in zip(edges, strengths, _LASHES_MM, strict=True):
        edge &= within > 0.5
        if not edge.any():
            continue
        away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 3)
        lashes = np.maximum(lashes, strength * np.exp(-((away / (width * px_per_mm)) ** 2)))
    colour *= (1 - 0.9 * lashes * (kind >= 0))[..., None]


def _paint_eyes(
    colour: np.ndarray,
    kind: np.ndarray,
    pixels: _Pixels,
    skin: Skin,
    look: Look,
    light: Light | None,
    iris_cosine: float,
    px_per_mm: float,
) -> None:
    """White, iris with its dark border, pupil, reflections, shadow of the lids."""
    ball = kind == EYE
    if not ball.any():
        return
    direction = pixels.eye_direction[ball]
    length = np.maximum(np.linalg.norm(direction, axis=1), 1e-6)
    from_pupil = np.arccos(np.clip(direction[:, 2] / length, -1, 1))
    radius = from_pupil / np.arccos(iris_cosine)
    red = np.array([0.80, 0.82, 1.0], np.float32)
    corner = np.clip((radius - 1.2) / 1.5, 0, 1) * (0.35 + 0.65 * look.redness)
    painted = skin.white * (1 + corner[:, None] * (red - 1))
    level = skin.white.mean() / 200.0
    iris = look.iris * level * (1.25 - 0.55 * np.clip(radius, 0, 1) ** 2)[:, None]
    iris *= (1 - 0.6 * np.clip((radius - 0.75) / 0.25, 0, 1))[:, None]
    soft = 0.5 / max(px_per_mm * 6, 1.0)
    painted += _step(1 - radius, soft)[:, None] * (iris - painted)
    pupil = _step(look.pupil - radius, soft)[:, None]
    painted += pupil * (np.float32(8.0) * level - painted)
    painted *= np.minimum(pixels.lit[ball], 1.15)
    painted *= (1 - look.shadow * _shadow(ball, px_per_mm)[ball])[:, None]
    if light is None:
        toward = skin.light[1:] + np.array([0, -0.05, 0.08], np.float32)
        lamps = [(toward / max(float(np.linalg.norm(toward)), 1e-6), 0.8)]
    else:
        lamps = [
            (way, float(strength.mean()) * 1.6)
            for way, strength in zip(light.directions, light.colours, strict=True)
        ]
    for way, strength in lamps:
        shine = _shine(pixels.normals[ball], way, 220)
        painted += (230.0 * look.gloss * min(strength, 1.0) * shine)[:, None] * level
    colour[ball] = painted


def _paint_mouth(
    colour: np.ndarray, kind: np.ndarray, pixels: _Pixels, skin: Skin, px_per_mm: float
) -> None:
    """Teeth, tongue and the dark behind them."""
    inside = kind >= TEETH
    front, fading = _MOUTH_MM
    depth = np.exp(-np.maximum(pixels.behind_lips - front, 0) / fading)
    shade = depth * (1 - 0.5 * _shadow(inside, px_per_mm))
    gaps = 1 - 0.22 * np.exp(-((np.sin(np.pi * pixels.sideways / _TOOTH_MM) / 0.22) ** 2))
    for part, tint, shading in (
        (TEETH, (0.86, 0.95, 0.98), shade * gaps),
        (TONGUE, (0.36, 0.36, 0.66), np.maximum(shade, 0.35)),
        (MOUTH, (0.22, 0.19, 0.38), shade),
    ):
        mask = kind == part
        tinted = skin.white * np.array(tint, np.float32)
        colour[mask] = tinted * pixels.lit[mask] * shading[mask][:, None]


def _grey_as(colour: np.ndarray, kind: np.ndarray, skin: Skin) -> None:
    """Make grey what is made up, in a photo that has no colours."""
    if skin.colourful < 1:
        made = kind > SKIN
        grey = (colour[made] @ LUMA)[:, None]
        colour[made] = grey + skin.colourful * (colour[made] - grey)


def _shadow(mask: np.ndarray, px_per_mm: float) -> np.ndarray:
    """Shadow of what is around an opening on what is inside, mostly from above: 0..1."""
    width, fall = (value * px_per_mm for value in _SHADOW_MM)
    fallen = np.roll(mask, round(fall), axis=0).astype(np.float32)
    light = cv2.GaussianBlur(fallen, (0, 0), max(width, 0.3))
    return np.clip(2 * (1 - light), 0, 1)


def _shine(normals: np.ndarray, direction: np.ndarray, power: int) -> np.ndarray:
    """Reflection of a light (Blinn-Phong), 0..1."""
    half = direction + np.array([0, 0, 1])
    half = (half / max(float(np.linalg.norm(half)), 1e-6)).astype(np.float32)
    return np.asarray(np.clip(normals @ half, 0, 1) ** power)


def _step(value: np.ndarray, width: float) -> np.ndarray:
    """0 below, 1 above zero, with a soft edge."""
    return np.clip(value / (2 * width) + 0.5, 0, 1)
