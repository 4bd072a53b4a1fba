"""Photo in any form that a caller has -> ``(H, W, 3)`` uint8 BGR, upright."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from facegeo.base.arrays import describe
from facegeo.base.urls import is_url, local_path, without_password
from facegeo.errors import InvalidImageError, UnreadableFileError
from facegeo.images import isobmff
from facegeo.images.heic import open_heic
from facegeo.images.levels import grey_levels

Color = Literal["bgr", "rgb"]

#: OpenCV's decoders differ in what they do with an orientation; of these files it is read here.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

_TIFF = (b"II*\0", b"MM\0*")

#: Portable float maps, which OpenCV cuts to whole numbers where it is asked for colours.
_PFM = (b"PF\n", b"Pf\n", b"PF\r", b"Pf\r", b"PF ", b"Pf ")

#: Below this no face can be told from noise, and detectors' strides leave nothing.
SMALLEST_SIDE = 16


def load_photo(source: Any, color: Color = "bgr") -> np.ndarray:
    """A photo as the pipeline wants it.

    Parameters
    ----------
    source : path, PIL image, or array
        Arrays are uint8: ``(H, W)`` grey, ``(H, W, 1)`` grey, ``(H, W, 3)``, ``(H, W, 4)`` with
        alpha, which is dropped. The orientation that a file or a PIL image states is honoured.
        PIL images with other numbers than bytes: 16 bits (``I;16``) are divided by 257; of modes
        ``I`` and ``F`` the largest number tells whether white is 1 (``F``), 255 or 65535. So it
        does of TIFF and PFM files of floats.
    color : {"bgr", "rgb"}
        Channel order of *arrays*; files and PIL images know their own.

    Returns
    -------
    image : (H, W, 3) uint8
        BGR, C-contiguous. The caller's own array where it already is that.

    Raises
    ------
    InvalidImageError
        If it is no photo: wrong type, dtype, rank, NaN, damaged file, a side under 16 pixels.
    UnreadableFileError
        If the file is missing or may not be read.
    DependencyMissingError
        If it is a HEIC file and pillow-heif is not installed: the extra ``[heic]``.
    """
    if color not in ("bgr", "rgb"):
        raise InvalidImageError(f"color: expected 'bgr' or 'rgb', got {color!r}")
    if isinstance(source, str | os.PathLike):
        return _large_enough(read_photo(source), os.fspath(source))
    if isinstance(source, np.ndarray):
        return _large_enough(_from_array(source, color), "photo")
    if _is_pil(source):
        return _large_enough(_from_pil(source), "photo")
    hint = ""
    if isinstance(source, bytes | bytearray | memoryview):
        hint = "; decode a file's bytes with facegeo.images.decode_photo"
    elif hasattr(source, "__array__"):
        hint = "; make an array of it with numpy.asarray, as (H, W, 3) uint8"
    raise InvalidImageError(
        f"photo: expected a path, a uint8 array or a PIL image, got {describe(source)}{hint}"
    )


def path_given(source: Any) -> str | os.PathLike[str] | None:
    """The path that a caller gave as a photo; None for anything else."""
    return source if isinstance(source, str | os.PathLike) else None


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode an image file to upright BGR; errors as in :func:`load_photo`."""
    if is_url(path) and not os.path.exists(path):  # noqa: PTH110 - Path folds a URL's slashes
        local = local_path(path)
        hint = f"give its path, {local}" if local else "URLs are not fetched: download it first"
        raise InvalidImageError(
            f"photo: expected a file, an array or a PIL image, got the URL "
            f"{without_password(os.fspath(path))}; {hint}"
        )
    path = Path(path)
    try:
        data = np.fromfile(path, np.uint8)  # unlike cv2.imread, this takes any file name
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a zero in the name
        raise UnreadableFileError(f"{str(path)!r}: no name of a file ({error})") from error
    return decode_photo(data, str(path))


def decode_photo(data: np.ndarray | bytes, name: str = "photo") -> np.ndarray:
    """The bytes of an image file, or ``(N,)`` uint8, to upright BGR; ``name`` is for messages.

    Raises
    ------
    InvalidImageError
        If they are no image, or a damaged one.
    """
    data = data if isinstance(data, bytes) else data.tobytes()
    kind = isobmff.kind_of(data)
    if kind == "heic":
        return _from_pil(open_heic(data, name), name)
    if kind == "avif":
        image = _decode(data, _AS_STORED)
        image = None if image is None else isobmff.turn_of(data).apply(image)
    elif data.startswith(_PFM):
        image = _of_large_numbers(data, name)
    else:
        image = _decode(data, cv2.IMREAD_COLOR)  # applies the EXIF orientation
    if image is None and data.startswith(_TIFF):
        image = _of_large_numbers(data, name)
    if image is None:
        if _is_video(data[:400]):
            raise InvalidImageError(f"{name}: a video, not a photo; for videos: facegeo video FILE")
        raise InvalidImageError(f"{name}: not an image that can be decoded, or damaged")
    if _is_cut_jpeg(data):
        raise InvalidImageError(f"{name}: the JPEG file is cut short; copy or download it again")
    return image


def check_image(image: Any) -> np.ndarray:
    """A photo as it is, or the error that it is none."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or 0 in image.shape
    ):
        raise InvalidImageError(f"image: expected a (H, W, 3) uint8 array, got {describe(image)}")
    return image


def encode_photo(image: np.ndarray, suffix: str) -> bytes:
    """A BGR photo as the bytes of an image file; the suffix names the format, as ``.jpg``."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix.lower() in (".jpg", ".jpeg") else []
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise InvalidImageError(f"a photo {image.shape} could not be encoded as {suffix}")
    return data.tobytes()


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # beyond the decoder's pixel limit, for instance
        return None


def _of_large_numbers(data: bytes, name: str) -> np.ndarray | None:
    """A file of floats or of 32-bit numbers, which OpenCV gives only as they are."""
    values = _decode(data, cv2.IMREAD_UNCHANGED)
    if values is None:
        return None
    return _from_array(grey_levels(values, name), "bgr")


def _is_video(head: bytes) -> bool:
    """True if a file starts as videos do: MP4 and MOV, AVI, Matroska, FLV, WMV, Ogg, MPEG."""
    if head[4:8] == b"ftyp":
        return head[8:11] not in (b"avi", b"hei", b"hev", b"mif", b"msf")  # AVIF and HEIF
    return (
        head[4:8] in (b"moov", b"mdat", b"wide")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith((b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"OggS"))
        or head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3"))
        or any(
            head[at : at + 1] == head[at + step : at + step + 1] == b"G"
            for at, step in ((0, 188), (4, 192))  # with a time of four bytes in M2TS
        )
    )


def _is_cut_jpeg(stream: bytes) -> bool:
    """True if a JPEG file lacks its end marker; decoders fill the rest with grey and go on.

    The search starts behind the header's segments, whose thumbnail has an end marker of its own.
    """
    if not stream.startswith(b"\xff\xd8"):
        return False
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:  # start of scan: compressed data follow
            break
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return stream.find(b"\xff\xd9", position) < 0


def _from_array(array: np.ndarray, color: Color) -> np.ndarray:
    wish = "photo: expected a uint8 array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    if array.dtype != np.uint8:
        raise InvalidImageError(f"{wish}, got {describe(array)}{_way_out(array)}")
    if array.size == 0 or array.ndim not in (2, 3):
        raise InvalidImageError(f"{wish}, got {describe(array)}")
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels not in (1, 3, 4):
        raise InvalidImageError(f"{wish}, got {describe(array)}")
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2BGR)
    if channels == 4:
        code = cv2.COLOR_BGRA2BGR if color == "bgr" else cv2.COLOR_RGBA2BGR
        return cv2.cvtColor(np.ascontiguousarray(array), code)
    if color == "rgb":
        return cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(array)


def _way_out(array: np.ndarray) -> str:
    """Hint how an array of another dtype becomes uint8, by what it seems to hold."""
    if array.dtype.kind not in "fiub" or array.size == 0:
        return ""
    if array.dtype.kind == "b":
        return "; convert with x.astype(np.uint8) * 255"
    if array.dtype.kind == "f" and np.isnan(array).any():
        return " and holds NaN; fill it, and convert to 0..255 and np.uint8"
    if array.dtype.kind == "f" and array.max() <= 1:
        return "; convert with (x * 255).round().astype(np.uint8) if it is in 0..1"
    if array.dtype.itemsize == 2 and array.dtype.kind == "u":
        return "; convert with (x / 257).round().astype(np.uint8) if white is 65535"
    return "; convert with x.clip(0, 255).round().astype(np.uint8) if it is in 0..255"


def _is_pil(source: Any) -> bool:
    # Nobody can hold a PIL image without having imported PIL, so it need not be imported here.
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def _from_pil(image: Any, name: str = "photo") -> np.ndarray:
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
            return _from_array(grey_levels(np.asarray(upright), name), "rgb")
        upright = upright.convert("RGB")
    except InvalidImageError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # lazily decoded files fail only here
        raise InvalidImageError(f"{name}: the PIL image cannot be decoded ({error})") from error
    return cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)


def _large_enough(image: np.ndarray, name: str) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise InvalidImageError(
            f"{name}: expected a photo of at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels, "
            f"got {width}x{height}"
        )
    return image
