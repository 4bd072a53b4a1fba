"""Decoded frames as they are meant to be seen: upright, with square pixels, in SDR."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from facegeo.video.hdr import Transfer, to_sdr

#: FFmpeg's numbers of the transfer functions of HDR (ITU-T H.273).
_HDR: dict[int, Transfer] = {16: "pq", 18: "hlg"}

#: Pixels further from square are a damaged file's; believing them would fill the memory.
_LONGEST_PIXEL = Fraction(8)

#: A display matrix is taken for one of quarter turns and mirrors up to this sine of its angle.
_ALIGNED = 0.02


class FrameConverter:
    """Frames of PyAV to images; it keeps the scaler between frames.

    Parameters
    ----------
    av : module
        PyAV.
    """

    def __init__(self, av: Any) -> None:
        self._to_rgb = av.video.reformatter.VideoReformatter()

    def __call__(
        self, frame: Any, pixel_shape: Fraction | None, transfer: int | None
    ) -> np.ndarray:
        """The frame as ``(H, W, 3)`` uint8 BGR.

        Parameters
        ----------
        frame : av.VideoFrame
        pixel_shape : Fraction, optional
            Width of a pixel by its height. The shorter side is stretched: no pixel is lost.
        transfer : int, optional
            The transfer function's number in ITU-T H.273.
        """
        width, height = _square_size(frame.width, frame.height, pixel_shape)
        # The fast scaler only skips smoothing between colour samples: 0.3 instead of 2.1 ms at
        # 720p. Where the size changes it would take the nearest pixel.
        same = (width, height) == (frame.width, frame.height)
        how = dict(
            width=width, height=height, interpolation="FAST_BILINEAR" if same else "BILINEAR"
        )
        hdr = _HDR.get(transfer) if transfer is not None else None
        if hdr is None:
            image = self._to_rgb.reformat(frame, format="bgr24", **how).to_ndarray()
        else:
            # In planes: FFmpeg 8.0's scaler writes nonsense where 16-bit channels are interleaved.
            image = to_sdr(self._to_rgb.reformat(frame, format="gbrp16le", **how).to_ndarray(), hdr)
        matrix = frame.side_data.get("DISPLAYMATRIX")
        return image if matrix is None else displayed(image, np.frombuffer(matrix, np.int32))


def displayed(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image after a display matrix: turned and mirrored.

    Parameters
    ----------
    image : (H, W, C) uint8
    matrix : (9,) int32
        As MP4 and FFmpeg write it, ``a b u c d v x y w`` in 16.16 fixed point: a pixel ``(p, q)``,
        y down, is shown at ``(a p + c q, b p + d q)``. Only the directions count; scale is in the
        pixels' shape, and the place on the screen is nothing that an image has.
    """
    a, b, _, c, d = matrix[:5].astype(np.float64)
    linear = np.array([[a, c], [b, d]])
    lengths = np.linalg.norm(linear, axis=0)
    if matrix.size != 9 or not lengths.all():
        return image  # a damaged file's
    linear /= lengths
    turned = bool(abs(linear[0, 0]) < abs(linear[0, 1]))
    if min(np.abs(linear[0])) > _ALIGNED:
        return _warped(image, linear)
    if turned:
        image = np.swapaxes(image, 0, 1)
    down, right = (linear[1, 0], linear[0, 1]) if turned else (linear[1, 1], linear[0, 0])
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def _warped(image: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The whole of an image after a linear map, on black."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ linear.T
    low = corners.min(axis=0)
    size = np.ceil(corners.max(axis=0) - low - 1e-6).astype(int)
    # Pixel centres are at whole numbers, corners half a pixel before them.
    shift = linear @ [0.5, 0.5] - low - 0.5
    return cv2.warpAffine(image, np.column_stack([linear, shift]), (int(size[0]), int(size[1])))


def _square_size(width: int, height: int, pixel_shape: Fraction | None) -> tuple[int, int]:
    if not pixel_shape or not 1 / _LONGEST_PIXEL <= pixel_shape <= _LONGEST_PIXEL:
        return width, height
    if pixel_shape > 1:
        return round(width * pixel_shape), height
    return width, round(height / pixel_shape)
