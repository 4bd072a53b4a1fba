"""Face models (3DMMs) by name: the shipped one, imported ones, files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from facegeo.base import files
from facegeo.morphable import DEFAULT_FACE_MODEL, MorphableModel
from facegeo.morphable.readers import detect_layout, read_upstream_model
from facegeo.zoo.cards import Card, check_name
from facegeo.zoo.shipped import ASSETS
from facegeo.zoo.store import InstalledModel, find, install

if TYPE_CHECKING:
    from facegeo.morphable.expansion import Detail

_BASEL: Final = "Basel Face Model: non-commercial research only"
_LICENCES: Final = {
    "3ddfa": _BASEL,
    "3ddfa_v2": _BASEL,
    "synergynet": _BASEL,
    "basel2009": f"{_BASEL}; FaceWarehouse expressions: research only",
    "face3d": _BASEL,
    "ict-facekit": "MIT",
}


def import_face_model(
    path: str | Path,
    name: str,
    *,
    layout: str | None = None,
    modes: tuple[int, int] | None = None,
) -> InstalledModel:
    """Install a morphable model of another project.

    Parameters
    ----------
    path : path
        File or folder, as :data:`facegeo.morphable.readers.LAYOUTS` describes.
    name : str
        Name of the installed model.
    layout : str, optional
        A key of :data:`facegeo.morphable.readers.LAYOUTS`; without it the files' names tell.
    modes : (int, int), optional
        Keep this many shape and expression modes.

    Raises
    ------
    UnreadableFileError, CorruptFileError, UnsafeFileError
        The message names the file and the key that is missing or wrong.
    """
    check_name(name)
    layout = layout or detect_layout(path)
    model = read_upstream_model(path, layout)
    if modes is not None:
        model = model.truncated(*modes)
    path = Path(path)
    card = Card(
        name=name,
        task="face-model",
        architecture=layout,
        source=f"{layout}, {path.name}",
        licence=_LICENCES[layout],
        files={},
        imported_from={path.name: files.sha256(path.read_bytes())} if path.is_file() else {},
    )
    return install(card, {"morphable": model_bytes(model)})


def load_face_model(name: str | Path, *, detail: Detail | None = None) -> MorphableModel:
    """A face model by name or by path of its ``.npz`` file.

    Parameters
    ----------
    detail : "full" or "low"
        As :meth:`MorphableModel.load` takes it.

    Raises
    ------
    ModelNotFoundError
        If it is neither a file nor installed.
    CorruptFileError
        If its file is damaged.
    InvalidInputError
        If the model has no such detail.
    """
    if str(name) in (DEFAULT_FACE_MODEL, "default"):
        name = ASSETS / f"{DEFAULT_FACE_MODEL}.npz"
        if detail in (None, "full"):
            return MorphableModel.default()
    if Path(name).is_file():
        return MorphableModel.load(name, detail=detail)
    model = find(str(name), task="face-model")
    model.read("morphable")  # compares the checksum
    return MorphableModel.load(model.path("morphable"), detail=detail)


def model_bytes(model: MorphableModel) -> bytes:
    """A model as the content of its ``.npz`` file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "morphable.npz"
        model.save(file)
        return file.read_bytes()
