"""Whatever a caller calls a photo, as an array; collections of pictures; the demo photo."""

from facegeo.images.decode import (
    PHOTO_SUFFIXES,
    SMALLEST_SIDE,
    Color,
    decode_photo,
    encode_photo,
    find_photos,
    load_photo,
    read_photo,
)

__all__ = [
    "PHOTO_SUFFIXES",
    "SMALLEST_SIDE",
    "Color",
    "decode_photo",
    "encode_photo",
    "find_photos",
    "load_photo",
    "read_photo",
]
