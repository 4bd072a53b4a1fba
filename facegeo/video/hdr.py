"""HDR to SDR: code values of PQ and HLG to what a BT.709 screen shows. Pure functions.

The signal becomes display light (BT.2100-2: EOTF of PQ, inverse OETF and OOTF of HLG on a screen of
1000 cd/m2), the light is brought into the range of SDR (BT.2390 section 5.4, the EETF, applied to
the largest of R, G and B so that hues stay), and is written for an SDR screen: primaries of BT.709,
the inverse of BT.1886. SDR's white is the 203 cd/m2 of BT.2408, so faces, which are darker than
90 cd/m2, keep the light that they have.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np

Transfer = Literal["pq", "hlg"]

#: cd/m2: where SDR is white (BT.2408), and the brightest that is told apart (BT.2100's HLG screen).
WHITE, PEAK = 203.0, 1000.0

#: Constants of PQ: BT.2100, table 4.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

#: Constants of HLG: BT.2100, table 5.
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)
_GAMMA = 1.2

#: Luminance of BT.2020's red, green, blue.
_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)

#: Linear BT.2020 to BT.709, rows red, green, blue (BT.2087, inverted).
_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    np.float32,
)

#: Rows of an image worked on at once: what lies between the steps stays in the cache.
_ROWS = 32

#: Steps of the tables over light: square roots, so that dark tones have more of them.
_STEPS = 4096


def pq_light(signal: np.ndarray) -> np.ndarray:
    """Display light in cd/m2 of PQ signals 0..1 (BT.2100's EOTF)."""
    root = np.power(np.asarray(signal, np.float64), 1 / _M2)
    ratio: np.ndarray = np.maximum(root - _C1, 0) / (_C2 - _C3 * root)
    return 10_000 * np.power(ratio, 1 / _M1)


def pq_signal(light: np.ndarray) -> np.ndarray:
    """PQ signals 0..1 of display light in cd/m2: the inverse of :func:`pq_light`."""
    power = np.power(np.asarray(light, np.float64) / 10_000, _M1)
    signal: np.ndarray = np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)
    return signal


def hlg_scene(signal: np.ndarray) -> np.ndarray:
    """Scene light 0..1 of HLG signals 0..1 (BT.2100's inverse OETF)."""
    signal = np.asarray(signal, np.float64)
    scene: np.ndarray = np.where(
        signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12
    )
    return scene


def reduce_range(light: np.ndarray, peak: float = PEAK, target: float = WHITE) -> np.ndarray:
    """Light of ``0..peak`` in ``0..target``, cd/m2: BT.2390's EETF for a black of 0."""
    full = pq_signal(np.asarray(peak))
    most = pq_signal(np.asarray(target)) / full
    signal = np.minimum(pq_signal(light) / full, 1)
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    shoulder = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_light(np.where(signal < knee, signal, shoulder) * full)


def to_sdr(rgb: np.ndarray, transfer: Transfer) -> np.ndarray:
    """An HDR image as SDR.

    Parameters
    ----------
    rgb : (H, W, 3) uint16
        Signals of BT.2020 primaries, red first, 0..65535.
    transfer : {"pq", "hlg"}

    Returns
    -------
    image : (H, W, 3) uint8
        BGR, BT.709.
    """
    light_of, dimming, code_of = _tables(transfer)
    to_bgr = _TO_BT709[::-1] / WHITE
    image = np.empty(rgb.shape, np.uint8)
    for top in range(0, len(rgb), _ROWS):
        light = np.take(light_of, rgb[top : top + _ROWS])
        if transfer == "hlg":
            luminance = cv2.transform(light, _LUMINANCE)
            light *= np.power(np.maximum(luminance, 1e-9), _GAMMA - 1)[..., None]
            light *= PEAK
        largest = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
        light *= np.take(dimming, _step(largest / PEAK))[..., None]
        image[top : top + _ROWS] = np.take(code_of, _step(cv2.transform(light, to_bgr)))
    return image


def _step(part: np.ndarray) -> np.ndarray:
    """Index into a table of :data:`_STEPS` for light 0..1."""
    steps: np.ndarray = (np.sqrt(np.clip(part, 0, 1)) * (_STEPS - 1) + 0.5).astype(np.uint16)
    return steps


@cache
def _tables(transfer: Transfer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Light of each 16-bit signal, factor of each largest light, 8-bit code of each SDR light."""
    signals = np.arange(65536) / 65535
    light = pq_light(signals) if transfer == "pq" else hlg_scene(signals)
    squares = np.square(np.arange(_STEPS) / (_STEPS - 1))
    largest = np.maximum(squares * PEAK, 1e-6)
    codes = np.round(255 * np.power(squares, 1 / 2.4))
    return (
        # Beyond the peak there is nothing to tell apart.
        np.minimum(light, PEAK).astype(np.float32),
        (reduce_range(largest) / largest).astype(np.float32),
        codes.astype(np.uint8),
    )
