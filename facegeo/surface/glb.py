"""Morph targets for binary glTF 2.0: trimesh writes the mesh, these are added to its file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from facegeo.errors import CorruptFileError

_MAGIC, _VERSION = b"glTF", 2
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_FLOAT = 5126


def with_morph_targets(glb: bytes, targets: Mapping[str, np.ndarray]) -> bytes:
    """A GLB file whose one mesh has morph targets, all of weight 0.

    Parameters
    ----------
    glb : bytes
        A file with one mesh of one primitive.
    targets : mapping of str to (V, 3) float32
        Name -> offsets of the positions; V as in the file.
    """
    if not targets:
        return glb
    tree, binary = split_glb(glb)
    (mesh,) = tree["meshes"]
    (primitive,) = mesh["primitives"]
    blob = bytearray(binary)
    primitive["targets"] = [
        {"POSITION": _append(tree, blob, np.ascontiguousarray(offsets, "<f4"))}
        for offsets in targets.values()
    ]
    mesh["weights"] = [0.0] * len(targets)
    # Not in the standard's schema, but where Blender, three.js and Unity look for the names.
    mesh.setdefault("extras", {})["targetNames"] = list(targets)
    tree["buffers"][0]["byteLength"] = len(blob)
    return join_glb(tree, bytes(blob))


def split_glb(glb: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON tree and the binary chunk of a GLB file. Raises CorruptFileError."""
    magic, version, length = struct.unpack_from("<4sII", glb)
    if (magic, version, length) != (_MAGIC, _VERSION, len(glb)):
        raise CorruptFileError("not a binary glTF 2.0 file")
    chunks = {}
    start = 12
    while start < len(glb):
        size, kind = struct.unpack_from("<II", glb, start)
        chunks[kind] = glb[start + 8 : start + 8 + size]
        start += 8 + size
    return json.loads(chunks[_JSON]), chunks.get(_BIN, b"")


def join_glb(tree: dict[str, Any], binary: bytes) -> bytes:
    """The inverse of :func:`split_glb`; chunks are padded to four bytes as the standard wants."""
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<II", len(text), _JSON) + text
    body += struct.pack("<II", len(binary), _BIN) + binary
    return struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(body)) + body


def _append(tree: dict[str, Any], blob: bytearray, offsets: np.ndarray) -> int:
    """Add an array to the file; returns the number of its accessor."""
    blob.extend(b"\0" * (-len(blob) % 4))
    view = {"buffer": 0, "byteOffset": len(blob), "byteLength": offsets.nbytes}
    blob.extend(offsets.tobytes())
    tree["bufferViews"].append(view)
    tree["accessors"].append(
        {
            "bufferView": len(tree["bufferViews"]) - 1,
            "componentType": _FLOAT,
            "count": len(offsets),
            "type": "VEC3",
            # The standard requires the bounds of positions.
            "min": offsets.min(axis=0).tolist(),
            "max": offsets.max(axis=0).tolist(),
        }
    )
    return len(tree["accessors"]) - 1
