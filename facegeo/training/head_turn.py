"""Heads turned further to the side: views that photographers rarely take, with exact labels.

After 3DDFA's face profiling (Zhu et al. 2016, "Face Alignment Across Large Poses", section 4): the
picture gets the depth of the fitted face, turns with it, and is drawn anew.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.crop import CropConvention, pose_from_crop, pose_to_crop
from facegeo.morphable import MorphableModel
from facegeo.params import split
from facegeo.raster import Raster, interpolate, rasterize
from facegeo.training.augment import Sample
from facegeo.training.coarse_face import CoarseFace

#: How far around the face, as a part of its size, hair, ears and neck turn with it: the distance at
#: which a pixel moves by 0.6 of what the face's border does.
_REACH = 0.15

#: How much farther away than the face's border the background is drawn, per pixel of distance.
_FALL = 2.0

#: Faces that look less to the side than this may turn to either side.
_FRONTAL_DEG = 5.0

#: Turns, in degrees: the smallest and the largest, and how far to the side a face may look after.
_TURN_DEG = (10.0, 60.0)
_LAST_YAW_DEG = 88.0


def random_turn(yaw_deg: float, rng: np.random.Generator) -> float:
    """An angle that turns a face with this yaw further to the side; 0 where it cannot."""
    least, most = _TURN_DEG
    most = min(most, _LAST_YAW_DEG - abs(yaw_deg))
    if most < least:
        return 0.0
    side = np.sign(yaw_deg) if abs(yaw_deg) > _FRONTAL_DEG else rng.choice((-1.0, 1.0))
    return float(side * rng.uniform(least, most))


def steady_point(params: np.ndarray, rule: CropConvention) -> np.ndarray:
    """The point of the model that has the same depth in all labels, as nearly as there is one.

    Parallel projection leaves the depth of a face open. Labels fix it by a point that never moves,
    usually the origin of the model that they were first made with.

    Parameters
    ----------
    params : (N, 62)

    Returns
    -------
    point : (3,) float64
        Model units.
    """
    affine = pose_to_crop(split(params).pose, rule).astype(np.float64)
    known = np.concatenate([affine[:, 2, :3], np.ones((len(affine), 1))], axis=1)
    return -np.linalg.lstsq(known, affine[:, 2, 3], rcond=None)[0][:3]


class HeadTurn:
    """Turns faces of one model about the vertical axis of the head.

    Parameters
    ----------
    model : MorphableModel
    rule : CropConvention
        Of the samples' parameters.
    pivot : (3,) float
        The point of the model whose depth does not change, from :func:`steady_point`.
    """

    def __init__(self, model: MorphableModel, rule: CropConvention, pivot: np.ndarray) -> None:
        self._rule = rule
        self._pivot = pivot
        self._face = CoarseFace(model, rule)

    def __call__(self, sample: Sample, angle_deg: float) -> Sample:
        """The face turned in its crop, about its own middle.

        Parameters
        ----------
        sample : Sample
            A crop of side 120.
        angle_deg : float
            Added to the yaw: positive turns the face to the picture's left.

        Returns
        -------
        turned : Sample
            Where the picture shows nothing of a side of the face, its border is stretched: turn
            faces further away from the camera, not towards it.
        """
        if angle_deg == 0:
            return sample
        affine = pose_to_crop(split(sample.params[None]).pose, self._rule)[0].astype(np.float64)
        linear = affine[:, :3] @ _about_vertical(-angle_deg) @ np.linalg.inv(affine[:, :3])
        points = sample.landmarks.astype(np.float64)
        landmarks = points @ linear.T
        pivot = np.append(self._pivot, 1.0)
        depth = affine[2] @ pivot
        affine = linear @ affine
        # The face's box stays where it was, as a detector would place the crop.
        moved = np.append(_middle_of_box(points) - _middle_of_box(landmarks), 0.0)
        moved[2] = depth - affine[2] @ pivot
        landmarks += moved
        affine[:, 3] += moved
        params = sample.params.copy()
        params[:NUM_POSE] = pose_from_crop(affine[None], self._rule).reshape(-1)
        crop = self._picture(sample, linear, moved)
        return Sample(crop, params, landmarks.astype(sample.landmarks.dtype))

    def _picture(self, sample: Sample, linear: np.ndarray, moved: np.ndarray) -> np.ndarray:
        size = len(sample.crop)
        vertices = self._face.vertices(sample.params[None])
        face = rasterize(vertices, self._face.triangles, size, size, threads=1)
        if not face.covered.any():
            return sample.crop
        depth, distance = _continued(face)
        rows, columns = np.mgrid[0:size, 0:size]
        place = np.stack([columns, rows, depth], axis=-1).astype(np.float64)
        turned = place @ linear.T + moved
        extent = np.ptp(sample.landmarks[:, :2], axis=0).max()
        along = np.exp(-0.5 * (distance / (_REACH * extent)) ** 2)[..., None]
        target = place + along * (turned - place)
        target[..., 2] = turned[..., 2] - _FALL * distance
        triangles = _grid_triangles(size)
        raster = rasterize(_row_per_pixel(target), triangles, size, size, threads=1)
        source = interpolate(raster, triangles, _row_per_pixel(place[..., :2]))
        x, y = np.ascontiguousarray(source.transpose(2, 0, 1))
        picture = cv2.remap(sample.crop, x, y, cv2.INTER_LINEAR)
        picture[~raster.covered] = sample.crop[~raster.covered]
        return np.asarray(picture, np.uint8)


def _continued(face: Raster) -> tuple[np.ndarray, np.ndarray]:
    """Depth ``(S, S)`` of the nearest pixel of the face, and how many pixels it is away."""
    distance, nearest = cv2.distanceTransformWithLabels(
        (~face.covered).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_PRECISE,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    # Label k is that of the k-th covered pixel, counted from 1.
    return face.depth[face.covered][nearest - 1], distance


def _row_per_pixel(values: np.ndarray) -> np.ndarray:
    """``(S, S, C)`` to ``(S * S, C)`` float32."""
    return values.reshape(-1, values.shape[2]).astype(np.float32)


def _about_vertical(angle_deg: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _middle_of_box(points: np.ndarray) -> np.ndarray:
    return (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2


def _grid_triangles(size: int) -> np.ndarray:
    """Two triangles between every four neighbouring pixels of a picture."""
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).reshape(-1)
    right, below, across = corner + 1, corner + size, corner + size + 1
    return np.concatenate(
        [np.stack([corner, below, right], 1), np.stack([right, below, across], 1)]
    ).astype(np.int32)
