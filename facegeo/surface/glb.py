"""Binary glTF 2.0: one mesh with normals, texture or vertex colours, and morph targets.

Written here: libraries that write glTF take a texture as a Pillow image, which the base
installation has no other use for.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_MAGIC, _VERSION = b"glTF", 2
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_UNSIGNED_BYTE, _UNSIGNED_INT, _FLOAT = 5121, 5125, 5126
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071


def glb_file(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    *,
    uv: np.ndarray | None = None,
    texture: bytes | None = None,
    colors: np.ndarray | None = None,
    targets: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """A GLB file of one mesh.

    Parameters
    ----------
    vertices, normals : (V, 3) float32
        Right-handed, y up; metres by the standard. Normals of unit length.
    triangles : (F, 3) int
        Counter-clockwise seen from outside.
    uv : (V, 2) float32, optional
        In [0, 1], v up.
    texture : bytes, optional
        A PNG file, first row at v = 1. Needs ``uv``.
    colors : (V, 3) uint8, optional
        RGB.
    targets : mapping of str to (V, 3) float32, optional
        Name -> offsets of the positions: morph targets, all of weight 0.
    """
    file = _Content()
    attributes = {
        "POSITION": file.positions(vertices),
        "NORMAL": file.accessor(np.asarray(normals, "<f4"), _ARRAY_BUFFER),
    }
    if uv is not None:
        down = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)
        attributes["TEXCOORD_0"] = file.accessor(down.astype("<f4"), _ARRAY_BUFFER)
    if colors is not None:
        # Four bytes a vertex: the standard wants every row to begin at a multiple of four.
        opaque = np.full((len(colors), 4), 255, np.uint8)
        opaque[:, :3] = colors
        attributes["COLOR_0"] = file.accessor(opaque, _ARRAY_BUFFER, normalized=True)
    indices = file.accessor(np.asarray(triangles, "<u4").reshape(-1), _ELEMENT_ARRAY_BUFFER)
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": 0}
    mesh: dict[str, Any] = {"name": "face", "primitives": [primitive]}
    if targets:
        primitive["targets"] = [{"POSITION": file.positions(t)} for t in targets.values()]
        mesh["weights"] = [0.0] * len(targets)
        # Not in the standard's schema, but where Blender, three.js and Unity look for the names.
        mesh["extras"] = {"targetNames": list(targets)}
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "facegeo"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "face", "mesh": 0}],
        "meshes": [mesh],
        "materials": [_material(textured=texture is not None)],
    }
    if texture is not None:
        tree |= {
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [
                {
                    "magFilter": _LINEAR,
                    "minFilter": _LINEAR_MIPMAP_LINEAR,
                    "wrapS": _CLAMP_TO_EDGE,
                    "wrapT": _CLAMP_TO_EDGE,
                }
            ],
            "images": [{"mimeType": "image/png", "bufferView": file.view(texture)}],
        }
    tree |= {
        "accessors": file.accessors,
        "bufferViews": file.views,
        "buffers": [{"byteLength": len(file.blob)}],
    }
    return _joined(tree, bytes(file.blob))


class _Content:
    """The binary chunk as it grows, and what tells its parts apart."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        """Add bytes; returns the number of their view."""
        self.blob.extend(b"\0" * (-len(self.blob) % 4))
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(content)}
        self.blob.extend(content)
        self.views.append(view if target is None else view | {"target": target})
        return len(self.views) - 1

    def accessor(self, array: np.ndarray, target: int, **more: Any) -> int:
        """Add an array; returns the number of its accessor."""
        kinds = {"u1": _UNSIGNED_BYTE, "u4": _UNSIGNED_INT, "f4": _FLOAT}
        shapes = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
        self.accessors.append(
            {
                "bufferView": self.view(array.tobytes(), target),
                "componentType": kinds[array.dtype.str[1:]],
                "count": len(array),
                "type": shapes[1 if array.ndim == 1 else array.shape[1]],
                **more,
            }
        )
        return len(self.accessors) - 1

    def positions(self, array: np.ndarray) -> int:
        """Add positions or offsets of positions, of which the standard requires the bounds."""
        array = np.asarray(array, "<f4")
        low, high = array.min(axis=0).tolist(), array.max(axis=0).tolist()
        return self.accessor(array, _ARRAY_BUFFER, min=low, max=high)


def _material(*, textured: bool) -> dict[str, Any]:
    """Skin: not metallic, rough, and visible from inside since a face is an open surface."""
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
    if textured:
        surface["baseColorTexture"] = {"index": 0}
    return {"name": "face", "pbrMetallicRoughness": surface, "doubleSided": True}


def _joined(tree: dict[str, Any], binary: bytes) -> bytes:
    """Both chunks in one file, each padded to four bytes as the standard wants."""
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<II", len(text), _JSON) + text
    body += struct.pack("<II", len(binary), _BIN) + binary
    return struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(body)) + body
