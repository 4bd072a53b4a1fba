"""White of the eyes in a texture: a photo shows a slit of an eyeball, and eyes turn."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facegeo.morphable import MorphableModel
from facegeo.morphable.basis import EYE_PARTS
from facegeo.render import Texture, rasterize
from facegeo.render.texture import TexelSource, texel_positions

_NEIGHBOURS = np.ones((3, 3), np.uint8)
#: The seen part's outermost texels show the lid.
_LID = 1
#: Texels over which the photo's colour becomes white.
_BLEND = 5.0
#: An eye's white has these parts of its brightness; brighter is a light's reflection.
_WHITE = (70, 95)
#: White where too few texels are seen.
_UNKNOWN, _FEWEST = 205.0, 30


def with_whites(texture: Texture, model: MorphableModel) -> Texture:
    """A texture whose eyeballs go on in white where the photo does not show them.

    Their islands have skin around them, with which they would be filled otherwise. A model without
    parts for the eyes keeps its texture.
    """
    if model.uv is None or model.uv_triangles is None:
        return texture
    image, size = texture.image.astype(np.float32), len(texture.image)
    points = texel_positions(model.uv, size)
    for name in EYE_PARTS:
        mask = model.parts.get(name)
        if mask is None or not mask.any():
            continue
        island = rasterize(points, model.uv_triangles[mask], size, size).covered
        known = (texture.source == TexelSource.SEEN) | (texture.source == TexelSource.MIRRORED)
        seen = cv2.erode((known & island).astype(np.uint8), _NEIGHBOURS, iterations=_LID)
        # Where nothing is seen, this is far from it.
        away = cv2.distanceTransform(1 - np.asarray(seen), cv2.DIST_L2, 3)
        share = np.clip(away / _BLEND, 0, 1)[..., None]
        # A little around the island too, for what interpolates across its border.
        around = cv2.dilate(island.astype(np.uint8), _NEIGHBOURS, iterations=4) > 0
        painted = image * (1 - share) + _white(image[seen > 0]) * share
        image[around] = painted[around]
    return dataclasses.replace(texture, image=np.rint(image).astype(np.uint8))


def _white(texels: np.ndarray) -> np.ndarray:
    """Colour of an eye's white, (3,), from its seen texels (N, 3)."""
    if len(texels) < _FEWEST:
        return np.full(3, _UNKNOWN)
    brightness = texels.sum(axis=1)
    low, high = np.percentile(brightness, _WHITE)
    colour = texels[(brightness >= low) & (brightness <= high)].mean(axis=0)
    # Half of its tint is that of the lid.
    return np.asarray((colour + colour.mean()) / 2)
