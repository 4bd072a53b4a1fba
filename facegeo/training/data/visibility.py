"""States of landmarks in labels: seen, covered, turned away, or not known."""

from __future__ import annotations

from typing import Final

import numpy as np

from facegeo.conventions import NUM_LANDMARKS

#: In arrays ``(N, 68)`` uint8. A covered point has an estimated place, as MERL-RAV's have.
SEEN: Final = 0
COVERED: Final = 1
TURNED_AWAY: Final = 2
UNKNOWN: Final = 255


def unknown(count: int) -> np.ndarray:
    """States of faces whose labels say nothing about it."""
    return np.full((count, NUM_LANDMARKS), UNKNOWN, np.uint8)
