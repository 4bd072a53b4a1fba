"""Downloading releases: verified, whole or not at all, with a progress bar."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from facegeo.base import files
from facegeo.base.cache import cache_dir
from facegeo.base.optional import require_torch
from facegeo.errors import DownloadError, InvalidInputError
from facegeo.importing.upstream import import_3ddfa_v2, import_faceboxes
from facegeo.zoo.releases import RELEASES, Release, RemoteFile
from facegeo.zoo.store import InstalledModel

_log = logging.getLogger(__name__)
_ATTEMPTS = 3
_TIMEOUT_S = 30
_CHUNK = 1 << 16


def fetch(name: str, *, progress: bool = True) -> InstalledModel:
    """Download a release and install it as a model.

    Environment: ``FACEGEO_OFFLINE=1`` forbids every download; ``FACEGEO_MIRROR=URL`` is asked
    instead of the original host (same paths).

    Raises
    ------
    InvalidInputError
        If there is no release of that name.
    DependencyMissingError
        Without the extra ``[torch]``, which converts releases; before anything is downloaded.
    DownloadError
        If a file does not arrive, or is not the file that was promised.
    """
    if name not in RELEASES:
        raise InvalidInputError(f"release: expected one of {', '.join(RELEASES)}, got {name!r}")
    require_torch(f"installing {name}")
    release = RELEASES[name]
    folder = download(release, progress=progress)
    if release.importer == "faceboxes":
        return import_faceboxes(folder / release.files[0].name, release.model)
    return import_3ddfa_v2(folder, release.model)


def download(release: Release, *, progress: bool = True) -> Path:
    """Put all files of a release into its download folder; those that are right are kept.

    Returns
    -------
    folder : Path
        ``<cache>/downloads/<release>``.
    """
    folder = cache_dir() / "downloads" / release.name
    recorded = _read_record(folder)
    for file in release.files:
        expected = file.sha256 or recorded.get(file.name)
        if _is_there(folder / file.name, expected):
            continue
        found = _download_file(file, folder / file.name, expected, progress)
        if expected is None:
            _log.warning(
                "%s: no checksum is known for this file; recorded what arrived: SHA-256 %s",
                file.name,
                found,
            )
            recorded[file.name] = found
            files.write_bytes(_record(folder), json.dumps(recorded, indent=2).encode())
    return folder


def mirrored(url: str) -> str:
    """The URL to ask: on ``$FACEGEO_MIRROR`` when that is set, else unchanged."""
    mirror = os.environ.get("FACEGEO_MIRROR")
    if not mirror:
        return url
    return mirror.rstrip("/") + urllib.parse.urlsplit(url).path


def _download_file(file: RemoteFile, target: Path, expected: str | None, progress: bool) -> str:
    url = mirrored(file.url)
    if os.environ.get("FACEGEO_OFFLINE", "") not in ("", "0"):
        raise DownloadError(
            f"{file.name} is not in the cache and FACEGEO_OFFLINE forbids downloading {url}; "
            f"unset it, or put the file at {target}"
        )
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _open(url) as answer:
                return _save(answer, url, target, expected, progress)
        except _NotArrived as error:
            if error.final or attempt == _ATTEMPTS:
                raise DownloadError(
                    f"{url}: cannot be downloaded ({error}); check the connection, or set "
                    f"FACEGEO_MIRROR, or put the file at {target}"
                ) from error
            _log.info("%s: %s, trying again", url, error)
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


class _NotArrived(Exception):  # noqa: N818 - an event that is retried, not an error for callers
    """The network failed. No OSError: those are the disk's, while a file is written."""

    def __init__(self, reason: object, *, final: bool = False) -> None:
        super().__init__(str(reason))
        self.final = final


def _open(url: str) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=_TIMEOUT_S)
        return answer
    except urllib.error.HTTPError as error:
        raise _NotArrived(f"HTTP {error.code} {error.reason}", final=error.code < 500) from error
    except (OSError, http.client.HTTPException) as error:
        raise _NotArrived(getattr(error, "reason", error)) from error


def _save(
    answer: http.client.HTTPResponse, url: str, target: Path, expected: str | None, progress: bool
) -> str:
    """Write an answer to a file; its SHA-256."""
    from tqdm import tqdm

    length = int(answer.headers.get("Content-Length") or 0)
    digest, size = hashlib.sha256(), 0
    # disable=None: no bar where standard error is not a terminal
    bar = tqdm(
        total=length or None,
        unit="B",
        unit_scale=True,
        desc=target.name,
        disable=None if progress else True,
    )
    with files.replacing(target) as temporary, temporary.open("wb") as out, bar:
        while chunk := _read(answer):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
        if length and size != length:
            raise _NotArrived(f"{size} of {length} bytes arrived")
        if expected and digest.hexdigest() != expected:
            raise DownloadError(
                f"{url}: not the expected file, its SHA-256 is {digest.hexdigest()} instead of "
                f"{expected}; nothing was installed"
            )
    return digest.hexdigest()


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _NotArrived(error) from error


def _is_there(path: Path, expected: str | None) -> bool:
    return expected is not None and path.is_file() and files.sha256(path.read_bytes()) == expected


def _record(folder: Path) -> Path:
    return folder / "recorded-sha256.json"


def _read_record(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads(_record(folder).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DownloadError(
            f"{_record(folder)}: damaged ({error}); remove it and fetch again"
        ) from error
