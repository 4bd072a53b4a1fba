"""The network's vector of 62 numbers and its named parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeo.conventions import NUM_EXPRESSION, NUM_POSE, NUM_SHAPE


class Parameters(NamedTuple):
    """3DMM parameters of N faces, de-normalised.

    Attributes
    ----------
    pose : (N, 3, 4) float32
        Scaled rotation | translation, model units to crop pixels with y up (not exactly a
        similarity: the network's rows are not orthogonal, see :mod:`facegeo.geometry.pose`).
    shape : (N, 40) float32
        Identity coefficients.
    expression : (N, 10) float32
        Expression coefficients.
    """

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray


def split(params: np.ndarray) -> Parameters:
    """Name the parts of ``(N, 62)`` parameters; the parts are views."""
    end = NUM_POSE + NUM_SHAPE
    return Parameters(
        params[:, :NUM_POSE].reshape(-1, 3, 4), params[:, NUM_POSE:end], params[:, end:]
    )


def join(pose: np.ndarray, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """The inverse of :func:`split`: ``(N, 3, 4)``, ``(N, 40)``, ``(N, 10)`` to ``(N, 62)``."""
    expected = (len(pose), NUM_SHAPE), (len(pose), NUM_EXPRESSION)
    if (shape.shape, expression.shape) != expected:
        raise ValueError(f"expected shapes {expected}, got {(shape.shape, expression.shape)}")
    return np.concatenate([pose.reshape(-1, NUM_POSE), shape, expression], axis=1)
