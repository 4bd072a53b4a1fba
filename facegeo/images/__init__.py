"""Photos in any form that a caller has, as arrays; collections of images; the demo photo."""

from facegeo.images.decode import (
    SMALLEST_SIDE,
    Color,
    decode_photo,
    encode_photo,
    load_photo,
    path_given,
    read_photo,
)
from facegeo.images.folders import (
    PHOTO_SUFFIXES,
    FolderScan,
    find_photos,
    is_own_output,
    scan_folder,
)

__all__ = [
    "PHOTO_SUFFIXES",
    "SMALLEST_SIDE",
    "Color",
    "FolderScan",
    "decode_photo",
    "encode_photo",
    "find_photos",
    "is_own_output",
    "load_photo",
    "path_given",
    "read_photo",
    "scan_folder",
]
