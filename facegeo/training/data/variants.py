"""Other pictures and geometry of labelled faces, made with their meshes."""

from __future__ import annotations

import itertools

import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import find_convention
from facegeo.geometry.params import split
from facegeo.geometry.pose import decompose_affine, euler_from_rotation
from facegeo.images import decode_photo
from facegeo.morphable import MorphableModel
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import LabelledFaces
from facegeo.training.data.face_swap import FaceSwap
from facegeo.training.data.head_turn import HeadTurn, random_turn, steady_point
from facegeo.training.data.placement import Rng
from facegeo.training.data.reshape import Reshape, random_change
from facegeo.training.data.sample import Sample

#: The convention of every network that is trained here.
CONVENTION = find_convention("exact")


class VariantMaker:
    """Swaps the textures of faces, gives them other shapes, and turns their heads.

    Parameters
    ----------
    faces : LabelledFaces
    model : MorphableModel
        That of the labels.
    augment : AugmentConfig
        ``swap``, ``reshape`` and ``turn`` in proportion; a variant has at least one of them.
    """

    def __init__(
        self, faces: LabelledFaces, model: MorphableModel, augment: AugmentConfig, seed: int = 0
    ) -> None:
        coarse = CoarseFace(model, CONVENTION)
        self._faces, self._seed = faces, seed
        self._swap = FaceSwap(coarse)
        self._reshape = Reshape(model, coarse)
        self._turn = HeadTurn(coarse, steady_point(faces.params, CONVENTION))
        self._spread = faces.statistics(model)[1][NUM_POSE:]
        self._yaw_deg = yaws_deg(faces.params)
        self._kinds, self._chances = _combinations(augment.swap, augment.reshape, augment.turn)

    def __call__(self, index: int, variant: int) -> Sample:
        """A variant of a face: the same numbers give the same one."""
        rng = np.random.default_rng([self._seed, index, variant])
        swap, reshape, turn = self._kinds[rng.choice(len(self._kinds), p=self._chances)]
        sample = labelled(self._faces, index)
        if swap:
            sample = self._swapped(sample, rng)
        if reshape:
            sample = self._reshape(sample, random_change(self._spread, rng))
        if turn:
            sample = self._turn(sample, *random_turn(float(self._yaw_deg[index]), rng))
        return sample

    def _swapped(self, sample: Sample, rng: Rng) -> Sample:
        donor = labelled(self._faces, int(rng.integers(len(self._faces))))
        crop = self._swap(sample.crop, sample.params, donor.crop, donor.params)
        return Sample(crop, sample.params, sample.landmarks)


def labelled(faces: LabelledFaces, index: int) -> Sample:
    """One face of a training set."""
    images = faces.pictures
    crop = decode_photo(images.read(index), images.names[index])
    return Sample(crop, faces.params[index], faces.landmarks[index])


def yaws_deg(params: np.ndarray) -> np.ndarray:
    """Yaw ``(N,)`` of parameters ``(N, P)``."""
    _, rotation, _ = decompose_affine(split(params).pose)
    return euler_from_rotation(rotation)[:, 0]


def _combinations(*chances: float) -> tuple[list[tuple[bool, ...]], np.ndarray]:
    """Sets of changes that come together, and how often, where at least one comes."""
    kinds = [kind for kind in itertools.product((False, True), repeat=len(chances)) if any(kind)]
    weights = np.array([np.prod(np.where(kind, chances, 1 - np.array(chances))) for kind in kinds])
    return kinds, weights / max(weights.sum(), 1e-12)
