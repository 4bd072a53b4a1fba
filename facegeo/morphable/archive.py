"""The ``.npz`` file of a morphable model: arrays only, never pickled, with a format version.

Keys: ``format``, ``format_version``, ``name``, ``unit_mm``, ``mean``, ``shape_basis``,
``expression_basis``, ``triangles``, ``landmark_rows``; optional ``uv``, ``uv_triangles``,
``shape_names``, ``expression_names``, ``shape_std``, ``expression_std``, ``expression_range``,
``region/<name>``, ``part/<name>``, ``layout/<name>``, ``mirror/<field>``, ``texture/<field>`` and
``eyes/<field>``. A basis is stored as float32, as float16, or as int16 fixed point with one float32
scale a mode in ``<basis>_scale``: offset = stored * scale / 32767.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.base.files import replacing, sha256
from facegeo.base.npz import read_npz
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError
from facegeo.morphable.basis import Eyes, Mirror, VertexTexture

FORMAT = "facegeo-morphable-model"
FORMAT_VERSION = 1

#: Of files that hold a cage, see :mod:`facegeo.morphable.cage`.
CAGE_VERSION = 2
STORAGES = ("float32", "float16", "int16")

_INT16_RANGE = 32767
_REQUIRED = ("mean", "triangles", "landmark_rows")
_TEXTURE_LAYOUT = ("uv", "uv_triangles")
_OPTIONAL = ("shape_std", "expression_std", "expression_range")
_NAMES = ("shape_names", "expression_names")
_BASES = ("shape_basis", "expression_basis")
_MIRROR = tuple(field.name for field in dataclasses.fields(Mirror))
_EYES = tuple(field.name for field in dataclasses.fields(Eyes))


def write_fields(path: str | os.PathLike[str], model: Mapping[str, Any], storage: str) -> None:
    """Write a model's fields; the file appears whole or not at all.

    Raises
    ------
    InvalidInputError
        If ``storage`` is not one of :data:`STORAGES`.
    OutputError
        If the place is not writable; a file that was there before is unchanged.
    """
    arrays: dict[str, Any] = {key: model[key] for key in _REQUIRED}
    for key in _BASES:
        arrays |= encoded_basis(key, model[key], storage)
    arrays |= {key: model[key] for key in _TEXTURE_LAYOUT if model[key] is not None}
    for prefix, masks in (("region", "regions"), ("part", "parts"), ("layout", "layout_rows")):
        arrays |= {f"{prefix}/{name}": value for name, value in model[masks].items()}
    if model["eyes"] is not None:
        arrays |= {f"eyes/{key}": getattr(model["eyes"], key) for key in _EYES}
    write_arrays(path, FORMAT_VERSION, arrays | common_arrays(model, storage))


def common_arrays(model: Mapping[str, Any], storage: str) -> dict[str, Any]:
    """Arrays of the fields that a model has, and a cage by the same names."""
    arrays = {"name": model["name"], "unit_mm": np.float64(model["unit_mm"])}
    arrays |= {key: model[key] for key in _OPTIONAL if model[key] is not None}
    arrays |= {key: np.array(model[key]) for key in _NAMES if model[key]}
    if model["texture"] is not None:
        texture = model["texture"]
        arrays |= {"texture/mean": texture.mean, "texture/std": texture.std}
        arrays |= encoded_basis("texture/basis", texture.basis, storage)
    if model["mirror"] is not None:
        arrays |= {f"mirror/{key}": getattr(model["mirror"], key) for key in _MIRROR}
    return arrays


def write_arrays(path: str | os.PathLike[str], version: int, arrays: Mapping[str, Any]) -> None:
    """Write a file of a format version, whole or not at all; raises OutputError."""
    with replacing(Path(path)) as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, format=FORMAT, format_version=version, **arrays)


class ModelFile(NamedTuple):
    """Content of a model's file, of a format version that is known.

    Attributes
    ----------
    sha256 : str
        Of the whole file.
    """

    path: Path
    version: int
    arrays: dict[str, np.ndarray]
    sha256: str


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model's file, of any version.

    Raises
    ------
    UnreadableFileError
        If the file does not exist or may not be read.
    CorruptFileError
        If it is no model file, of another version, or an array is damaged; the message names file
        and key.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableFileError(f"{path}: no such file") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    arrays = read_npz(io.BytesIO(data), str(path))
    version = _checked_version(path, arrays)
    for key in ("name", "unit_mm"):
        if key not in arrays:
            raise CorruptFileError(f"{path}: key '{key}' is missing")
    return ModelFile(path, version, arrays, sha256(data))


def fields_of(file: ModelFile) -> dict[str, Any]:
    """The fields of a model of version 1, decoded but not yet checked against each other.

    Raises
    ------
    CorruptFileError
        If an array is missing or damaged; the message names file and key.
    """
    path, arrays = file.path, file.arrays
    for key in (*_REQUIRED, *_BASES):
        if key not in arrays:
            raise CorruptFileError(f"{path}: key '{key}' is missing")
    try:
        fields: dict[str, Any] = {
            "name": str(arrays["name"]),
            "unit_mm": arrays["unit_mm"],
            "regions": _with_prefix(arrays, "region/"),
            "parts": _with_prefix(arrays, "part/"),
            "layout_rows": _with_prefix(arrays, "layout/"),
            "mirror": _read_mirror(arrays),
            "eyes": _read_eyes(arrays),
            "texture": read_texture(arrays),
        }
        fields |= {key: arrays[key] for key in _REQUIRED}
        fields |= {key: decoded_basis(key, arrays) for key in _BASES}
        fields |= {key: arrays.get(key) for key in (*_TEXTURE_LAYOUT, *_OPTIONAL)}
        fields |= {key: _read_names(key, arrays) for key in _NAMES}
    except InvalidInputError as error:
        raise CorruptFileError(f"{path}: {error}") from error
    return fields


def _checked_version(path: Path, arrays: dict[str, np.ndarray]) -> int:
    found = str(arrays.get("format", ""))
    if found != FORMAT:
        raise CorruptFileError(f"{path}: key 'format': expected {FORMAT!r}, got {found!r}")
    version = arrays.get("format_version")
    if version is None or version.shape != () or version.dtype.kind not in "iu":
        raise CorruptFileError(f"{path}: key 'format_version' is missing or not a whole number")
    if int(version) not in (FORMAT_VERSION, CAGE_VERSION):
        raise CorruptFileError(
            f"{path}: key 'format_version': this facegeo reads {FORMAT_VERSION} and "
            f"{CAGE_VERSION}, the file has {int(version)}; update facegeo or make the file again"
        )
    return int(version)


def encoded_basis(key: str, basis: np.ndarray, storage: str) -> dict[str, np.ndarray]:
    """The arrays that a basis becomes in the file, by key.

    Raises
    ------
    InvalidInputError
        If ``storage`` is not one of :data:`STORAGES`.
    """
    if storage not in STORAGES:
        raise InvalidInputError(f"storage: expected one of {STORAGES}, got {storage!r}")
    if storage != "int16":
        return {key: basis.astype(storage)}
    scale = np.abs(basis).max(axis=(1, 2), initial=0).astype(np.float32)
    safe = np.where(scale > 0, scale, 1)[:, None, None]
    fixed = np.rint(basis.astype(np.float64) / safe * _INT16_RANGE).astype(np.int16)
    return {key: fixed, f"{key}_scale": scale}


def decoded_basis(key: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """A basis of a file's arrays, not yet checked; InvalidInputError names a key."""
    basis = arrays[key]
    scale_key = f"{key}_scale"
    if basis.dtype == np.int16:
        if scale_key not in arrays:
            raise InvalidInputError(f"{scale_key}: needed for a basis stored as int16")
        basis = array_of(key, basis, ("N", "V", 3))
        scale = array_of(scale_key, arrays[scale_key], (len(basis),))
        basis *= (scale / _INT16_RANGE)[:, None, None]
        return basis
    if basis.dtype not in (np.float16, np.float32):
        raise InvalidInputError(f"{key}: expected float32, float16 or int16, got {basis.dtype}")
    return basis


def _read_names(key: str, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    if key not in arrays:
        return ()
    names = arrays[key]
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InvalidInputError(f"{key}: expected a list of texts, got dtype {names.dtype}")
    return tuple(names.tolist())


def _read_mirror(arrays: Mapping[str, np.ndarray]) -> Mirror | None:
    found = _all_or_none(arrays, "mirror/", _MIRROR)
    return Mirror(**found) if found else None


def _read_eyes(arrays: Mapping[str, np.ndarray]) -> Eyes | None:
    found = _all_or_none(arrays, "eyes/", _EYES)
    return Eyes(**found) if found else None


def _all_or_none(
    arrays: Mapping[str, np.ndarray], prefix: str, keys: tuple[str, ...]
) -> dict[str, np.ndarray]:
    found = _with_prefix(arrays, prefix)
    missing = [key for key in keys if key not in found]
    if found and missing:
        raise InvalidInputError(f"key '{prefix}{missing[0]}' is missing")
    return {key: found[key] for key in keys} if found else {}


def read_texture(arrays: Mapping[str, np.ndarray]) -> VertexTexture | None:
    """The colours in the arrays of a file, not yet checked; InvalidInputError names a key."""
    keys = ("texture/mean", "texture/basis", "texture/std")
    present = [key in arrays for key in keys]
    if not any(present):
        return None
    if not all(present):
        raise InvalidInputError(f"key '{keys[present.index(False)]}' is missing")
    return VertexTexture(arrays[keys[0]], decoded_basis(keys[1], arrays), arrays[keys[2]])


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
