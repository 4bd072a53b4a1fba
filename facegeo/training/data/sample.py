"""A crop of a face with its labels, and the same in the mirror."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sample:
    """A crop and its labels.

    Attributes
    ----------
    crop : (S, S, 3) uint8 BGR
    params : (P,) float32
    landmarks : (68, 3) float32
        Pixels of a crop of side 120, whatever S is.
    """

    crop: np.ndarray
    params: np.ndarray
    landmarks: np.ndarray
