"""Numbers of other kinds than uint8 as grey levels."""

from __future__ import annotations

import numpy as np

from facegeo.errors import InvalidImageError

#: What white may be: of floats, of 8 bits, of 16 bits.
_WHITE = (1, 255, 65535)

#: Resampling passes the range a little; such numbers are clipped, and others are no photo.
_BEYOND = 0.25


def grey_levels(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of a photo as uint8.

    Parameters
    ----------
    values : (H, W, ...) array
        uint16 is 0..65535. Other numbers do not say what white is, so their largest does: floats
        up to 1 are 0..1, numbers up to 255 are 0..255, and up to 65535 they are 0..65535. Up to a
        quarter beyond is clipped.
    name : str
        For messages.

    Raises
    ------
    InvalidImageError
        If a number is negative, too large, or none.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _scaled(values, 65535)
    low, high = (float(bound) for bound in (values.min(initial=0), values.max(initial=0)))
    if np.isfinite([low, high]).all() and low >= -_BEYOND * high:
        for white in _WHITE if values.dtype.kind == "f" else _WHITE[1:]:
            if high <= white * (1 + _BEYOND):
                return _scaled(values, white)
    raise InvalidImageError(
        f"{name}: expected numbers in 0..1 (floats), 0..255 or 0..65535, got {low:.6g} to "
        f"{high:.6g}; scale them, e.g. (x * 255).round() for 0..1"
    )


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    levels: np.ndarray = np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)
    return levels
