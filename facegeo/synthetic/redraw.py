"""A crop drawn anew after its face has moved: every pixel has a depth, and takes its colour along.

After 3DDFA's face profiling (Zhu et al. 2016, "Face Alignment Across Large Poses", section 4). What
is around the face, hair, ears and neck, moves with it, less with the distance; the far background
stays, behind the rest.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo.render import Raster, interpolate, rasterize

#: How far around the face its surroundings move with it, as a part of its size: the distance at
#: which a pixel moves by 0.6 of what the face's border does.
_REACH = 0.15

#: How much farther away than the face's border the background is drawn, per pixel of distance.
_FALL = 2.0


class Scene:
    """The pixels of a crop as points in space.

    Parameters
    ----------
    crop : (S, S, 3) uint8
    face : Raster
        The fitted face, drawn into the crop; it covers at least one pixel.
    triangles : (F, 3) integers
        Those that were drawn.

    Attributes
    ----------
    points : (S, S, 3) float64
        Crop pixels and depth; around the face the depth of its nearest pixel.
    """

    def __init__(self, crop: np.ndarray, face: Raster, triangles: np.ndarray) -> None:
        self._crop, self._face, self._triangles = crop, face, triangles
        self._covered = face.covered
        self._distance, self._nearest = cv2.distanceTransformWithLabels(
            (~face.covered).astype(np.uint8),
            cv2.DIST_L2,
            cv2.DIST_MASK_PRECISE,
            labelType=cv2.DIST_LABEL_PIXEL,
        )
        rows, columns = np.mgrid[0 : len(crop), 0 : len(crop)]
        depth = self._continued(face.depth[..., None])
        self.points = np.concatenate([columns[..., None], rows[..., None], depth], axis=-1)

    @classmethod
    def of(cls, crop: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> Scene | None:
        """With the face at ``(V, 3)`` places in crop pixels; None where no pixel shows it."""
        size = len(crop)
        face = rasterize(vertices, triangles, size, size, threads=1)
        return cls(crop, face, triangles) if face.covered.any() else None

    def along(self, values: np.ndarray) -> np.ndarray:
        """``(V, C)`` values of the vertices at every pixel, ``(S, S, C)``."""
        return self._continued(interpolate(self._face, self._triangles, values))

    def _continued(self, values: np.ndarray) -> np.ndarray:
        """``(S, S, C)`` values of the face's pixels, and around it those of the nearest of them."""
        # Label k is that of the k-th covered pixel, counted from 1.
        return np.asarray(values[self._covered][self._nearest - 1])

    def drawn(self, targets: np.ndarray) -> np.ndarray:
        """The crop with its points moved to ``(S, S, 3)`` places, those around the face in part."""
        size = len(self._crop)
        extent = np.sqrt(np.count_nonzero(self._covered))
        part = np.exp(-0.5 * (self._distance / (_REACH * extent)) ** 2)[..., None]
        placed = self.points + part * (targets - self.points)
        placed[..., 2] = targets[..., 2] - _FALL * self._distance
        triangles = _grid_triangles(size)
        raster = rasterize(_row_per_pixel(placed), triangles, size, size, threads=1)
        source = interpolate(raster, triangles, _row_per_pixel(self.points[..., :2]))
        x, y = np.ascontiguousarray(source.transpose(2, 0, 1))
        image = cv2.remap(self._crop, x, y, cv2.INTER_LINEAR)
        image[~raster.covered] = self._crop[~raster.covered]
        return np.asarray(image, np.uint8)


def _row_per_pixel(values: np.ndarray) -> np.ndarray:
    """``(S, S, C)`` to ``(S * S, C)`` float32."""
    return values.reshape(-1, values.shape[2]).astype(np.float32)


def _grid_triangles(size: int) -> np.ndarray:
    """Two triangles between every four neighbouring pixels of an image."""
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).reshape(-1)
    right, below, across = corner + 1, corner + size, corner + size + 1
    return np.concatenate(
        [np.stack([corner, below, right], 1), np.stack([right, below, across], 1)]
    ).astype(np.int32)
