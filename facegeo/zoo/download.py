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
from typing import BinaryIO

from facegeo import files
from facegeo.errors import DownloadError, InvalidInputError
from facegeo.zoo.releases import RELEASES, Release, RemoteFile
from facegeo.zoo.store import InstalledModel, cache_dir
from facegeo.zoo.upstream import import_3ddfa_v2, import_faceboxes

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
    DownloadError
        If a file does not arrive, or is not the file that was promised.
    """
    if name not in RELEASES:
        raise InvalidInputError(f"release: expected one of {', '.join(RELEASES)}, got {name!r}")
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
            return _attempt(url, target, expected, progress)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            gone = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if gone or attempt == _ATTEMPTS:
                raise DownloadError(
                    f"{url}: cannot be downloaded ({reason}); check the connection, or set "
                    f"FACEGEO_MIRROR, or put the file at {target}"
                ) from error
            _log.info("%s: %s, trying again", url, reason)
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def _attempt(url: str, target: Path, expected: str | None, progress: bool) -> str:
    with (
        files.replacing(target) as temporary,
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,
    ):
        length = int(answer.headers.get("Content-Length") or 0)
        with temporary.open("wb") as out:
            found, size = _copy(answer, out, length, target.name, progress)
        if length and size != length:
            raise urllib.error.URLError(f"{size} of {length} bytes arrived")
        if expected and found != expected:
            raise DownloadError(
                f"{url}: not the expected file, its SHA-256 is {found} instead of {expected}; "
                "nothing was installed"
            )
        return found


def _copy(
    answer: BinaryIO, out: BinaryIO, length: int, label: str, progress: bool
) -> tuple[str, int]:
    from tqdm import tqdm

    digest, size = hashlib.sha256(), 0
    # disable=None: no bar where standard error is not a terminal
    with tqdm(
        total=length or None, unit="B", unit_scale=True, desc=label, disable=None if progress else True
    ) as bar:
        while chunk := answer.read(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return digest.hexdigest(), size


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
