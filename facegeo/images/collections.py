"""Images of a data set: encoded files in a folder or in a tar archive, decoded when asked for."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.images.decode import decode_photo
from facegeo.images.folders import PHOTO_SUFFIXES

_log = logging.getLogger(__name__)

#: Bad samples that are named one by one; the rest are only counted.
_NAMED = 20


class ImageCollection(Protocol):
    """A numbered collection of encoded images."""

    @property
    def names(self) -> Sequence[str]:
        """Names by which messages call the images."""

    def read(self, index: int) -> bytes:
        """The encoded bytes. Raises UnreadableFileError, CorruptFileError."""


class FolderImages:
    """Files below a folder."""

    def __init__(self, folder: str | Path, names: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.names = list(names)

    @classmethod
    def scan(cls, folder: str | Path) -> FolderImages:
        """All images below a folder, in the order of their names."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UnreadableFileError(f"{folder}: no such folder")
        found = (p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        return cls(folder, sorted(p.relative_to(folder).as_posix() for p in found))

    def read(self, index: int) -> bytes:
        path = self.folder / self.names[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error


class TarImages:
    """Members of an uncompressed tar archive, read by position without unpacking it.

    Only positions are kept, so copies in worker processes cost nothing.
    """

    def __init__(self, path: str | Path, names: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self._at = _positions(self.path)
        self.names = list(self._at if names is None else names)

    def read(self, index: int) -> bytes:
        name = self.names[index]
        if name not in self._at:
            raise UnreadableFileError(f"{self.path}: holds no {name}")
        start, size = self._at[name]
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise UnreadableFileError(f"{self.path}: cannot be read ({error.strerror})") from error


class Chosen:
    """Some of a collection of images."""

    def __init__(self, images: ImageCollection, indices: Iterable[int]) -> None:
        self._images = images
        self._indices = list(indices)
        self.names = [images.names[index] for index in self._indices]

    def read(self, index: int) -> bytes:
        return self._images.read(self._indices[index])


class Joined:
    """Collections one after the other."""

    def __init__(self, collections: Sequence[ImageCollection]) -> None:
        self._images = [(images, i) for images in collections for i in range(len(images.names))]
        self.names = [name for images in collections for name in images.names]

    def read(self, index: int) -> bytes:
        images, own = self._images[index]
        return images.read(own)


def open_images(path: str | Path, names: Sequence[str] | None = None) -> ImageCollection:
    """Images of a tar archive or of a folder."""
    path = Path(path)
    if path.suffix == ".tar":
        return TarImages(path, names)
    return FolderImages.scan(path) if names is None else FolderImages(path, names)


def decoded(images: ImageCollection, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    """The images at these numbers."""
    for index in indices:
        yield decode_photo(images.read(int(index)), images.names[int(index)])


class Skipped:
    """Names bad samples as they come, and counts them."""

    def __init__(self, what: str) -> None:
        self.count = 0
        self._what = what

    def add(self, error: Exception) -> None:
        """Leave one out."""
        self.count += 1
        if self.count <= _NAMED:
            _log.warning("%s: left out: %s", self._what, error)

    def report(self, kept: int) -> None:
        """Say at the end how many there were."""
        if self.count:
            _log.warning("%s: %d samples left out, %d kept", self._what, self.count, kept)


def _positions(path: Path) -> dict[str, tuple[int, int]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error})") from error
    with file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                return dict(_files(archive, path.stat().st_size))
        # A damaged header fails in tarfile, or where a number or a name is made of it.
        except Exception as error:
            raise CorruptFileError(f"{path}: not an uncompressed tar archive ({error})") from error


def _files(archive: tarfile.TarFile, size: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, position and size of each file in an archive of ``size`` bytes."""
    end = 0
    for member in archive:
        # Where a size is negative the same header would be read again and again.
        if member.size < 0 or member.offset < end or member.offset_data + member.size > size:
            raise CorruptFileError(f"{member.name!r} has {member.size} bytes")
        end = member.offset_data
        if member.isfile():
            yield member.name, (member.offset_data, member.size)
