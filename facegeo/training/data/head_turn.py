"""Heads turned further to the side, raised and lowered, with labels that turn along.

After 3DDFA's face profiling (Zhu et al. 2016, "Face Alignment Across Large Poses", section 4).
"""

from __future__ import annotations

import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import CropConvention, pose_from_crop, pose_to_crop
from facegeo.geometry.params import split
from facegeo.geometry.pose import rotation_from_euler
from facegeo.synthetic.redraw import Scene
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.sample import Sample

#: Faces that look less to the side than this may turn to either side.
_FRONTAL_DEG = 5.0

#: Turns, in degrees: the smallest and the largest, and how far to the side a face may look after.
_TURN_DEG = (10.0, 60.0)
_LAST_YAW_DEG = 88.0

#: Largest nod, in degrees, up or down.
_NOD_DEG = 15.0


def random_turn(yaw_deg: float, rng: np.random.Generator) -> tuple[float, float]:
    """Angles that turn a face with this yaw further to the side, where it can, and make it nod."""
    nod = float(rng.uniform(-_NOD_DEG, _NOD_DEG))
    least, most = _TURN_DEG
    most = min(most, _LAST_YAW_DEG - abs(yaw_deg))
    if most < least:
        return 0.0, nod
    side = np.sign(yaw_deg) if abs(yaw_deg) > _FRONTAL_DEG else rng.choice((-1.0, 1.0))
    return float(side * rng.uniform(least, most)), nod


def steady_point(params: np.ndarray, convention: CropConvention) -> np.ndarray:
    """The point of the model that has the same depth in all labels, as nearly as there is one.

    Parallel projection leaves the depth of a face open. Labels fix it by a point that never moves,
    usually the origin of the model that they were first made with.

    Parameters
    ----------
    params : (N, P)

    Returns
    -------
    point : (3,) float64
        Model units.
    """
    affine = pose_to_crop(split(params).pose, convention).astype(np.float64)
    known = np.concatenate([affine[:, 2, :3], np.ones((len(affine), 1))], axis=1)
    return -np.linalg.lstsq(known, affine[:, 2, 3], rcond=None)[0][:3]


class HeadTurn:
    """Turns faces of one model about the axes of the head.

    Parameters
    ----------
    face : CoarseFace
        Of the samples' face model.
    pivot : (3,) float
        The point of the model whose depth does not change, from :func:`steady_point`.
    """

    def __init__(self, face: CoarseFace, pivot: np.ndarray) -> None:
        self._face = face
        self._pivot = pivot

    def __call__(self, sample: Sample, yaw_deg: float, pitch_deg: float = 0.0) -> Sample:
        """The face turned in its crop, about its own middle.

        Parameters
        ----------
        sample : Sample
            A crop of side 120.
        yaw_deg : float
            About the head's vertical axis: positive turns the face to the image's left.
        pitch_deg : float
            About the axis through the ears, before the other: positive raises the chin.

        Returns
        -------
        turned : Sample
            Where the image shows nothing of a side of the face, its border is stretched: turn
            faces further away from the camera, not towards it.
        """
        if yaw_deg == 0 and pitch_deg == 0:
            return sample
        pose = split(sample.params[None]).pose
        affine = pose_to_crop(pose, self._face.convention)[0].astype(np.float64)
        linear = affine[:, :3] @ _turned(yaw_deg, pitch_deg) @ np.linalg.inv(affine[:, :3])
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
        params[:NUM_POSE] = pose_from_crop(affine[None], self._face.convention).reshape(-1)
        crop = self._image(sample, linear, moved)
        return Sample(crop, params, landmarks.astype(sample.landmarks.dtype))

    def _image(self, sample: Sample, linear: np.ndarray, moved: np.ndarray) -> np.ndarray:
        (vertices,) = self._face.vertices(sample.params[None])
        scene = Scene.of(sample.crop, vertices, self._face.triangles)
        if scene is None:
            return sample.crop
        return scene.drawn(scene.points @ linear.T + moved)


def _turned(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    return np.asarray(rotation_from_euler(np.array([[yaw_deg, pitch_deg, 0.0]]))[0])


def _middle_of_box(points: np.ndarray) -> np.ndarray:
    return (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
