"""The sample photo: one face, always there."""

from __future__ import annotations

import numpy as np


def sample_photo() -> np.ndarray:
    """Eileen Collins, ``(512, 512, 3)`` uint8 BGR: NASA, public domain, in scikit-image's wheel."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:, :, ::-1])
