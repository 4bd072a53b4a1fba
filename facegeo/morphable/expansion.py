"""The mesh of a cage: made once, then mapped from the cache folder."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np

from facegeo.base.cache import cache_dir
from facegeo.base.mapped import read_mapped, write_mapped
from facegeo.errors import CorruptFileError, InvalidInputError, OutputError
from facegeo.morphable.basis import IBUG68, VertexTexture
from facegeo.morphable.cage import COLOURS, MODES, REGION, Arrays, Cage, Detail
from facegeo.morphable.parts import without_parts
from facegeo.morphable.validation import frozen, index_array

_log = logging.getLogger(__name__)

#: Of the rule by which a cage becomes a mesh, :mod:`facegeo.morphable.cage_mesh`; it is part of the
#: cache files' names, so that another rule makes them anew.
RULE: Final = 2


def expanded(cage: Cage, detail: Detail, key: str) -> Arrays:
    """The mesh of a cage, from the cache folder where it is there.

    Parameters
    ----------
    key : str
        What tells this cage from others: the checksum of its file.

    Returns
    -------
    dict of str to array
        As :func:`facegeo.morphable.cage_mesh.mesh_of` gives them.
    """
    # The name is the file's: it shall not lead out of the folder.
    name = re.sub(r"[^\w-]", "_", cage.name)[:64]
    path = cache_dir() / "meshes" / f"{name}-{detail}-{key[:16]}-{RULE}"
    try:
        return read_mapped(path)
    except FileNotFoundError:
        pass
    except (OSError, CorruptFileError) as error:
        _log.warning("%s: made again (%s)", path, error)
    # Later: what it needs takes as long to import as a mesh to be made.
    from facegeo.morphable.cage_mesh import mesh_of

    arrays = mesh_of(cage, detail)
    # Behind the caller's back: writing takes as long as making it.
    Thread(target=_store, args=(path, dict(arrays)), name="facegeo-mesh-cache").start()
    return arrays


def _store(path: Path, arrays: Arrays) -> None:
    try:
        write_mapped(path, arrays)
    except OutputError as error:
        # A home that cannot be written is no reason to have no mesh: every process makes its own.
        _log.info("%s: kept in memory only (%s)", path, error)


def mesh_fields(cage: Cage, detail: Detail, key: str) -> dict[str, Any]:
    """The fields of a :class:`facegeo.morphable.model.MorphableModel` that are of the mesh.

    Raises
    ------
    CorruptFileError
        If the cage is no surface, or a landmark lies outside of it.
    """
    try:
        arrays = expanded(cage, detail, key)
        layout_rows = _layout_rows(cage, arrays[MODES].shape[1]) if detail == "full" else {}
    except InvalidInputError as error:
        raise CorruptFileError(f"{cage.name}: {error}") from error
    owners = arrays.pop("triangle_parts", None)
    modes, end = arrays.pop(MODES), 1 + len(cage.shape_basis)
    arrays |= {"mean": modes[0], "shape_basis": modes[1:end], "expression_basis": modes[end:]}
    colours = arrays.pop(COLOURS, None)
    regions = [name for name in arrays if name.startswith(REGION)]
    fields: dict[str, Any] = {"uv": None, "uv_triangles": None, **arrays}
    fields["regions"] = {name.removeprefix(REGION): fields.pop(name) for name in regions}
    fields["texture"] = None
    if colours is not None and cage.texture is not None:
        fields["texture"] = VertexTexture(colours[0], colours[1:], cage.texture.std)
    fields["parts"] = {}
    if owners is not None:
        fields["parts"] = {name: frozen(owners == k) for k, name in enumerate(cage.part_names)}
    fields["layout_rows"] = layout_rows
    rows = fields.pop("mirror", None)
    fields["mirror"] = cage.mirror and dataclasses.replace(cage.mirror, vertices=rows)
    return fields


def _layout_rows(cage: Cage, count: int) -> dict[str, np.ndarray]:
    """Rows of the layouts but the landmarks in the full mesh; the low one has no such vertices."""
    rows = {name: layout.rows for name, layout in cage.layouts.items() if name != IBUG68}
    for name in rows:
        index_array(f"landmarks/{name}/rows", rows[name], ("K",), count)
    return rows


class OfMesh:
    """Field of a model's mesh, made with all others when one is first asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type) -> Any:
        if model is None:
            return self
        fields = mesh_fields(model.cage, model.detail, model.key)
        vars(model).update(fields | without_parts(fields, model.left_out))
        return vars(model)[self._name]
