"""Face swapping: another face's texture on this face's mesh, rendered back into its photo.

SynergyNet (Wu et al. 2021), section 4: new pairs of texture and geometry. The geometry, and so the
label, stays.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo.render import interpolate, rasterize, visible_vertices
from facegeo.training.data.coarse_face import CoarseFace

#: The border of the texture is blended over about this many crop pixels.
_FEATHER_PX = 3.0

#: Skin covers at least this part of the face's pixels, or the two poses are too different.
_LEAST_SEEN = 0.5


class FaceSwap:
    """Exchanges textures between faces of one model.

    Parameters
    ----------
    face : CoarseFace
        Of the faces' model.
    """

    def __init__(self, face: CoarseFace) -> None:
        self._face = face

    def __call__(
        self, crop: np.ndarray, params: np.ndarray, donor: np.ndarray, donor_params: np.ndarray
    ) -> np.ndarray:
        """The first crop with the donor's texture.

        Parameters
        ----------
        crop, donor : (S, S, 3) uint8
        params, donor_params : (P,) float32

        Returns
        -------
        swapped : (S, S, 3) uint8
            The crop itself where the donor shows too little of the face.
        """
        size = len(crop)
        own, other = self._face.vertices(np.stack([params, donor_params]))
        hidden_by = rasterize(other, self._face.triangles, size, size, threads=1)
        seen = visible_vertices(hidden_by, other, self._face.triangles)
        raster = rasterize(own, self._face.skin, size, size, threads=1)
        source = np.concatenate([other[:, :2], seen[:, None]], axis=1).astype(np.float32)
        place = interpolate(raster, self._face.skin, source, background=-1.0)
        mask = raster.covered & (place[..., 2] > 0.99)
        if mask.sum() < _LEAST_SEEN * max(int(raster.covered.sum()), 1):
            return crop
        texture = cv2.remap(
            donor, place[..., 0].copy(), place[..., 1].copy(), cv2.INTER_LINEAR, borderValue=0
        )
        return _blended(crop, _like(texture, crop, mask), mask)


def _like(texture: np.ndarray, crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The texture with half of the colour difference from the crop taken off: no hard seams."""
    difference = crop[mask].mean(axis=0) - texture[mask].mean(axis=0)
    return np.asarray(texture + 0.5 * difference, np.float32)


def _blended(crop: np.ndarray, texture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), kernel, iterations=2).astype(np.float32)
    alpha = np.minimum(cv2.GaussianBlur(inner, (0, 0), _FEATHER_PX / 2), mask)[..., None]
    mixed = alpha * texture + (1 - alpha) * crop
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
