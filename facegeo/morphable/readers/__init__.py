"""Morphable models as other projects distribute them, one file a layout.

The users have these files; facegeo does not ship them. Every reader checks each shape, dtype and
index, names the file and the key that is wrong or missing, and executes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.morphable.model import MorphableModel
from facegeo.morphable.readers.basel2009 import read_basel2009
from facegeo.morphable.readers.face3d import read_face3d
from facegeo.morphable.readers.ict_facekit import read_ict_facekit
from facegeo.morphable.readers.synergynet import read_synergynet
from facegeo.morphable.readers.threeddfa import read_3ddfa
from facegeo.morphable.readers.threeddfa_v2 import read_3ddfa_v2

__all__ = ["LAYOUTS", "Layout", "detect_layout", "read_upstream_model"]


class Layout(NamedTuple):
    """A project's layout: how it is recognised, how it is read, and in what words it is asked for.

    ``marks`` are files that the folder has, all of one group; a path to one file matches by name.
    """

    read: Callable[[Path], MorphableModel]
    marks: tuple[tuple[str, ...], ...]
    description: str


#: In the order of recognition: SynergyNet's folder has all of 3DDFA's files, and one more.
LAYOUTS: dict[str, Layout] = {
    "synergynet": Layout(
        read_synergynet, (("u_shp.npy", "BFM_UV.npy"),), "SynergyNet's folder 3dmm_data"
    ),
    "3ddfa": Layout(read_3ddfa, (("u_shp.npy",),), "3DDFA's folder train.configs"),
    "3ddfa_v2": Layout(
        read_3ddfa_v2, (("bfm_noneck_v3.pkl",),), "3DDFA_V2's configs/bfm_noneck_v3.pkl"
    ),
    "basel2009": Layout(
        read_basel2009,
        (("01_MorphableModel.mat",),),
        "folder of 01_MorphableModel.mat, model_info.mat and Model_Exp.mat",
    ),
    "face3d": Layout(read_face3d, (("BFM.mat",),), "face3d's BFM.mat"),
    "ict-facekit": Layout(
        read_ict_facekit,
        (
            ("generic_neutral_mesh.obj",),
            ("FaceXModel/generic_neutral_mesh.obj",),
            ("ict_facekit_light.npz",),
        ),
        "ICT-FaceKit's folder, its FaceXModel, or ict_facekit_light.npz",
    ),
}


def detect_layout(path: str | os.PathLike[str]) -> str:
    """The name of the layout in :data:`LAYOUTS` that a file or folder has.

    Raises
    ------
    UnreadableFileError
        If there is nothing at ``path``.
    CorruptFileError
        If it is none of them; the message lists what is known.
    """
    path = Path(path)
    if not path.exists():
        raise UnreadableFileError(f"{path}: no such file or folder")
    for name, layout in LAYOUTS.items():
        for group in layout.marks:
            if path.is_dir() and all((path / mark).is_file() for mark in group):
                return name
            if path.is_file() and (path.name,) == group:
                return name
    known = "; ".join(f"{name}: {layout.description}" for name, layout in LAYOUTS.items())
    raise CorruptFileError(f"{path}: not a morphable model of a known layout ({known})")


def read_upstream_model(path: str | os.PathLike[str], layout: str | None = None) -> MorphableModel:
    """Read a morphable model of another project.

    Parameters
    ----------
    path : path
        The file or folder that the layout's description names.
    layout : str, optional
        A key of :data:`LAYOUTS`; recognised by the files' names without it.

    Raises
    ------
    UnreadableFileError, CorruptFileError, UnsafeFileError
        The message names the file and the key that is missing or wrong.
    """
    if layout is None:
        layout = detect_layout(path)
    if layout not in LAYOUTS:
        raise InvalidInputError(f"layout: expected one of {sorted(LAYOUTS)}, got {layout!r}")
    path = Path(path)
    # A file inside a folder layout stands for the folder.
    if path.is_file() and layout in ("synergynet", "3ddfa", "basel2009"):
        path = path.parent
    try:
        return LAYOUTS[layout].read(path)
    except InvalidInputError as error:
        raise CorruptFileError(f"{path}: {error}") from error
