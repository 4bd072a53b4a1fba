"""Meshes of every size that the kernels promise, and how far one is from float64."""

from __future__ import annotations

import functools

import numpy as np

from facegeo.bench.mesh import random_faces, random_model
from facegeo.ops.reference import build_meshes

#: Sizes at which each kernel must agree with float64: one vertex, an odd number, the face models
#: of 3DDFA_V2 and of the Basel Face Model; one face, few, many, and one more than many.
VERTICES = (1, 1023, 38365, 53215)
BATCHES = (1, 3, 64, 257)

TOLERANCE_PX = 0.02  # on a face 100 to 200 px wide

_FACES = 16  # in float64 at a time


def problem(vertices: int, batch: int, coefficients: int = 50):
    """Mean, bases, coefficients, poses: the data of ``facegeo-bench mesh``."""
    faces = random_faces(np.random.default_rng(1), batch, coefficients)
    return *_model(vertices, coefficients), *faces


def largest_error(mean, bases, coefficients, pose, found) -> float:
    """Of all coordinates of all faces; infinity where one is not finite."""
    worst = 0.0
    for first in range(0, len(pose), _FACES):
        part = slice(first, first + _FACES)
        error = np.abs(found[part] - build_meshes(mean, bases, coefficients[part], pose[part]))
        worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max(initial=0.0)))
    return worst


@functools.lru_cache(maxsize=4)
def _model(vertices: int, coefficients: int):
    model = random_model(np.random.default_rng(0), vertices, coefficients)
    for array in model:
        array.flags.writeable = False
    return model
