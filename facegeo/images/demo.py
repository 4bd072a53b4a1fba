"""The sample photo: one face, always there.

Portrait of the astronaut Eileen Collins: NASA, public domain (https://flic.kr/p/r9qvLn), cut to
512x512 as scikit-image distributes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

#: In the package.
PATH: Final = Path(__file__).resolve().parents[1] / "assets" / "eileen-collins.jpg"


def sample_photo() -> np.ndarray:
    """Eileen Collins, ``(512, 512, 3)`` uint8 BGR.

    Raises
    ------
    UnreadableFileError
        If the file is missing from the installation.
    """
    from facegeo.images import read_photo

    return read_photo(PATH)
