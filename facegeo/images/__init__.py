"""Photos in any form that a caller has, as arrays; collections of images; the demo photo."""

from facegeo.images.decode import (
    PHOTO_SUFFIXES,
    SMALLEST_SIDE,
    Color,
    decode_photo,
    encode_photo,
    find_photos,
    load_photo,
    path_given,
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
    "path_given",
    "read_photo",
]
