"""SynergyNet: the folder ``3dmm_data``, which is 3DDFA's files with texture coordinates."""

from __future__ import annotations

from pathlib import Path

from facegeo.morphable.model import MorphableModel
from facegeo.morphable.readers._arrays import BASEL_VERTICES, read_npy
from facegeo.morphable.readers.threeddfa import read_3ddfa


def read_synergynet(folder: Path) -> MorphableModel:
    """As :func:`.threeddfa.read_3ddfa`, with UV where ``BFM_UV.npy`` is there."""
    path = folder / "BFM_UV.npy"
    uv = read_npy(path, (BASEL_VERTICES, 2)) if path.is_file() else None
    return read_3ddfa(folder, name="synergynet", uv=uv)
