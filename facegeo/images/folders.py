"""Photos under a folder: which files are read, and why the others are not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from facegeo.images.heic import SUFFIXES as _HEIC

#: Endings of photos that are read.
PHOTO_SUFFIXES = _HEIC | frozenset(
    """
    .jpg .jpeg .jpe .jif .jfif .jfi .png .bmp .dib .webp .gif .tif .tiff .jp2 .avif .ppm .pgm .pnm
    """.split()  # noqa: SIM905 - read as one line
)

_VIDEOS = frozenset(
    """
    .mp4 .mov .m4v .avi .mkv .webm .mpg .mpeg .m1v .m2v .mpv .vob .ts .mts .m2ts .m2t .flv .f4v .ogv
    .ogm .wmv .asf .3gp .3g2 .mxf .dv .divx .rm .rmvb .mjpeg .mjpg .h264 .264 .hevc .h265 .265 .ivf
    .y4m
    """.split()  # noqa: SIM905 - read as one line
)
_RAW = frozenset(".dng .cr2 .cr3 .nef .arw .raf .orf .rw2".split())  # noqa: SIM905

#: How files are named that are made of a photo: NAME.faces.jpg, NAME.faces.0.obj ...
_OWN = re.compile(r"\.faces\.", re.IGNORECASE)


@dataclass(frozen=True)
class FolderScan:
    """Files under a folder.

    Attributes
    ----------
    photos : list of Path
        To be read, in the order of their names.
    skipped : dict of Path to str
        All else -> why it is not read. A folder stands for all that lies in it.
    """

    photos: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)


def scan_folder(folder: Path, leave_out: Path | None = None) -> FolderScan:
    """All files under a folder, sorted out by their names.

    A folder that a link leads to is searched as well, every folder once: where it lies, if that is
    under ``folder`` too. Hidden files and folders, and files that facegeo wrote
    (``NAME.faces.*``), are left out.

    Parameters
    ----------
    folder : Path
    leave_out : Path, optional
        A folder below it that is not searched: where results are written.
    """
    found = FolderScan()
    out = None if leave_out is None else _identity(leave_out)
    seen = {_identity(folder)}
    if out in seen:
        out = None  # results beside the photos: they are told by their names
    waiting, links = [folder], list[Path]()
    while waiting or links:
        # Links wait for what lies here in truth.
        here = waiting.pop() if waiting else links.pop(0)
        if here != folder:
            identity = _identity(here)
            if identity in seen:
                found.skipped[here] = "links to folders that were read already"
                continue
            if identity == out:
                found.skipped[here] = "results of facegeo"
                continue
            seen.add(identity)
        for entry in _entries(here, found):
            path = Path(entry.path)
            if entry.name.startswith("."):
                found.skipped[path] = "hidden"
            elif entry.is_dir():
                (links if entry.is_symlink() else waiting).append(path)
            elif reason := _reason(entry):
                found.skipped[path] = reason
            else:
                found.photos.append(path)
    found.photos.sort()
    return found


def find_photos(folder: Path) -> list[Path]:
    """Photos under a folder in the order of their names, as :func:`scan_folder` sorts them out."""
    return scan_folder(folder).photos


def is_own_output(path: Path) -> bool:
    """True for a file that facegeo wrote, as the photo's record beside it proves."""
    own = _OWN.search(path.name)
    if own is None:
        return False
    record = f"{path.name[: own.end()]}json"
    if path.with_name(record).is_file():
        return True
    # Files beside a mesh have no blanks in their names, whatever the photo's had.
    others = path.parent.glob("*.faces.json")
    return any(re.sub(r"\s+", "_", other.name) == record for other in others)


def _entries(folder: Path, found: FolderScan) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.skipped[folder] = f"folders that cannot be read ({error.strerror})"


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Reason not to read a file, in words that fit many files; None for a photo."""
    suffix = Path(entry.name).suffix.lower()
    if _OWN.search(entry.name):
        return "results of facegeo"
    if not entry.is_file():
        return "links that lead nowhere" if entry.is_symlink() else "no files"
    if suffix in _VIDEOS:
        return "videos (facegeo video)"
    if suffix in _RAW:
        return "raw photos (convert them)"
    return None if suffix in PHOTO_SUFFIXES else "no photos"


def _identity(folder: Path) -> tuple[int, int] | Path:
    """Identity of a folder, the same by whatever way one comes to it."""
    folder = folder.resolve()
    try:
        status = folder.stat()
    except OSError:
        return folder
    # File systems that number nothing call every file 0.
    return (status.st_dev, status.st_ino) if status.st_ino else folder
