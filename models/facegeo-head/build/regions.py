"""Named regions of the cage: parts of the skin from the source's masks, and the other parts."""

from __future__ import annotations

import itertools

import numpy as np

from .cage import PARTS, Cage
from .source import Source

#: Distance from the line through a brow's landmarks, millimetres.
_BROW_REACH = 3.5


def named_regions(
    source: Source, cage: Cage, points: np.ndarray, brows: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks ``(C,)`` bool; every vertex of the skin is in one of face, ears, neck and scalp.

    Parameters
    ----------
    points : (C, 3) float64
        The mean face in the model frame.
    brows : (10, 3) float64
        The landmarks of both brows.
    """
    skin = cage.of_part("skin")
    uv = np.zeros((len(points), 2))
    outer = cage.part == PARTS.index("skin")
    uv[cage.faces[outer]] = source.mesh.uv[cage.uv_faces[outer]]
    hidden = cage.of_part("mouth_inside", "lid_lining") & ~skin

    def masked(name: str) -> np.ndarray:
        value = np.where(skin, source.mask(name, uv), 0)
        return np.asarray(0.5 * (value + value[cage.mirror]) > 0.5)

    ears = masked("ears")
    face = masked("face") & ~ears
    behind = skin & ~face & ~ears
    below = points[:, 1] < _neck_height(points[:, 2])
    regions = {
        "skin": skin | hidden,
        "face": face,
        "ears": ears,
        "neck": behind & below,
        "scalp": behind & ~below,
        "lips": masked("lips"),
        "lids": masked("eyelids"),
        "brows": face & _near_brows(points, brows),
    }
    regions |= {name: cage.of_part(name) for name in PARTS if name != "skin"}
    return regions


def _neck_height(z: np.ndarray) -> np.ndarray:
    """Height at which the neck begins: under the jaw in front, at the hair line behind."""
    return np.asarray(np.interp(z, [-150.0, -90.0, 0.0], [-59.2, -61.2, -94.2]))


def _near_brows(points: np.ndarray, brows: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(points), bool)
    for side in (brows[:5], brows[5:]):
        dense = np.concatenate([np.linspace(a, b, 8) for a, b in itertools.pairwise(side)])
        near = np.linalg.norm(points[:, None] - dense, axis=2).min(axis=1)
        mask |= near < _BROW_REACH
    return mask
