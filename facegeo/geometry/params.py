"""The network's vector of parameters and its named parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeo.conventions import NUM_POSE, NUM_SHAPE


class Parameters(NamedTuple):
    """3DMM parameters of N faces, de-normalised.

    Attributes
    ----------
    pose : (N, 3, 4) float32
        Scaled rotation | translation, model units to crop pixels with y up (not exactly a
        similarity: the network's rows are not orthogonal, see :mod:`facegeo.geometry.pose`).
    shape : (N, Ns) float32
        Identity coefficients.
    expression : (N, Ne) float32
        Expression coefficients.
    """

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray


def split(params: np.ndarray, num_shape: int = NUM_SHAPE) -> Parameters:
    """Name the parts of ``(N, 12 + Ns + Ne)`` parameters; the parts are views.

    Parameters
    ----------
    num_shape : int
        Ns, of the face model that the parameters are of. The pose is the same whatever it is.
    """
    end = NUM_POSE + num_shape
    return Parameters(
        params[:, :NUM_POSE].reshape(-1, 3, 4), params[:, NUM_POSE:end], params[:, end:]
    )


def join(pose: np.ndarray, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """The inverse of :func:`split`: ``(N, 3, 4)``, ``(N, Ns)``, ``(N, Ne)`` to ``(N, P)``."""
    if not len(pose) == len(shape) == len(expression) or shape.ndim != 2 or expression.ndim != 2:
        found = (pose.shape, shape.shape, expression.shape)
        raise ValueError(f"expected shapes (N, 3, 4), (N, Ns) and (N, Ne), got {found}")
    return np.concatenate([pose.reshape(-1, NUM_POSE), shape, expression], axis=1)
