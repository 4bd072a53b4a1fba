"""Writing files so that nothing is lost: beside the target first, then renamed over it."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facegeo.errors import FacegeoError, OutputError


@contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without an error.

    The folder is made if it is missing. On any failure the temporary file goes and a file that was
    at ``path`` is unchanged.

    Parameters
    ----------
    durable : bool
        Wait until the disk has it. A cache that knows damaged files need not.

    Raises
    ------
    OutputError
        If the system refuses: full disk, no permission, a folder in the way.
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        with _refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.open("xb").close()
            yield temporary
            if durable:
                _publish(temporary, path)
            else:
                temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that gets its name when the block ends without an error.

    Where another process made ``path`` meanwhile, that one stays: for caches, whose content is the
    same whoever made it. On any failure the temporary folder goes.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        with _refusals(path):
            temporary.mkdir(parents=True)
            yield temporary
            try:
                temporary.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody has: a rename from there is whole or not at all."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """The system's errors as OutputError about ``path``; facegeo's own pass."""
    try:
        yield
    except FacegeoError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot be written ({reason}); nothing was changed") from error


def _publish(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())  # so that a crash cannot leave an empty file under the final name
    temporary.replace(path)
