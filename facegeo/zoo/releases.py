"""Published releases that can be fetched by name. A table, no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from facegeo.morphable import DEFAULT_FACE_MODEL

#: What ``model="default"`` means.
DEFAULT_MODEL: Final = "synergy-mbv2"

#: What ``detector="default"`` and ``"auto"`` mean.
DEFAULT_DETECTOR: Final = "detector"

#: Models of the distribution facegeo-models.
FURTHER: Final = ("synergy-fast",)

#: Task -> what ``default`` means.
DEFAULTS: Final = {
    "landmarks": DEFAULT_MODEL,
    "detection": DEFAULT_DETECTOR,
    "face-model": DEFAULT_FACE_MODEL,
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a release.

    Attributes
    ----------
    sha256 : str or None
        None where nobody has verified the file: the first download records what it got.
    """

    name: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class Release:
    """Files to download and the importer that makes a model of them.

    Attributes
    ----------
    model : str
        Name of the installed model.
    importer : str
        ``3ddfa-v2`` or ``faceboxes``.
    """

    name: str
    model: str
    importer: str
    licence: str
    files: tuple[RemoteFile, ...]


_V2: Final = "https://raw.githubusercontent.com/cleardusk/3DDFA_V2/master"
BASEL_LICENCE: Final = "MIT (weights); the Basel Face Model inside is for research only"

_V2_SHARED: Final = (
    RemoteFile(
        "param_mean_std_62d_120x120.pkl",
        f"{_V2}/configs/param_mean_std_62d_120x120.pkl",
        "090d7150f77cb66c29ddae21e4508fbde59123dcd1dea7facc24a7ed06d1c795",
    ),
    RemoteFile("bfm_noneck_v3.pkl", f"{_V2}/configs/bfm_noneck_v3.pkl"),
    RemoteFile(
        "tri.pkl",
        f"{_V2}/configs/tri.pkl",
        "0562a594d8369f7d1c86306522ff76fd3a2c81cf90ba9443893c1191ad0abbb8",
    ),
)

RELEASES: Final = {
    release.name: release
    for release in (
        Release(
            "3ddfa-v2-mb05",
            "mb05",
            "3ddfa-v2",
            BASEL_LICENCE,
            (
                RemoteFile(
                    "mb05_120x120.pth",
                    f"{_V2}/weights/mb05_120x120.pth",
                    "f93ed7f1c4c0382b16d7c18480a5f67473c1917a47475a9823924f38aeb27280",
                ),
                *_V2_SHARED,
            ),
        ),
        Release(
            "3ddfa-v2-mb1",
            "mb1",
            "3ddfa-v2",
            BASEL_LICENCE,
            (RemoteFile("mb1_120x120.pth", f"{_V2}/weights/mb1_120x120.pth"), *_V2_SHARED),
        ),
        Release(
            "faceboxes",
            "faceboxes",
            "faceboxes",
            "MIT",
            (
                RemoteFile(
                    "FaceBoxesProd.pth",
                    f"{_V2}/FaceBoxes/weights/FaceBoxesProd.pth",
                    "c0cb2b1e40710c0aa5fc32a8759b1496a0fe0a126c907ca0ffe35b4bd0709d09",
                ),
            ),
        ),
    )
}


def release_of(model: str) -> Release | None:
    """The release that installs a model of that name, if there is one."""
    return next((release for release in RELEASES.values() if release.model == model), None)
