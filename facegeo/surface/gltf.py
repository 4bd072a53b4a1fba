"""Content of a binary glTF 2.0 file: buffer views, accessors, both chunks.

Numbers are of 16 bits where the extension ``KHR_mesh_quantization`` lets them be. Of a vertex, each
attribute begins at a multiple of four bytes, as the standard wants, so three numbers take eight;
sparse values stand one behind the other.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np

#: What files need whose positions or offsets are whole numbers.
QUANTIZATION: Final = "KHR_mesh_quantization"
#: The largest number of a signed 16-bit one that has its negative.
LARGEST: Final = 32767

_MAGIC, _VERSION = b"glTF", 2
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENTS: Final = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_SHAPES: Final = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
#: The index that restarts a primitive, which no vertex may have.
_RESTART: Final = 65535


class Content:
    """The binary chunk as it grows, and what tells its parts apart."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._zeros: dict[tuple[str, int], int] = {}

    def view(self, content: bytes, **more: int) -> int:
        """Add bytes; returns the number of their view."""
        self._blob.extend(b"\0" * (-len(self._blob) % 4))
        view = {"buffer": 0, "byteOffset": len(self._blob), "byteLength": len(content)}
        self._blob.extend(content)
        self._views.append(view | more)
        return len(self._views) - 1

    def attribute(
        self, array: np.ndarray, *, normalized: bool = False, bounds: bool = False
    ) -> int:
        """Add numbers of every vertex, (V, 2..4); returns the number of their accessor.

        Parameters
        ----------
        bounds : bool
            State the least and largest, as is required of positions.
        """
        array = _little(array)
        count, width = array.shape
        padded = np.zeros((count, width + -(width * array.itemsize) % 4 // array.itemsize), "u1")
        padded = padded.astype(array.dtype)
        padded[:, :width] = array
        stride = padded.shape[1] * padded.itemsize
        view = self.view(padded.tobytes(), byteStride=stride, target=_ARRAY_BUFFER)
        limits = _bounds(array) if bounds else {}
        return self._accessor(array, count, normalized, {"bufferView": view} | limits)

    def indices(self, triangles: np.ndarray, count: int) -> int:
        """Add triangles (F, 3) of ``count`` vertices, of 16 bits where those suffice."""
        flat = _little(
            triangles.reshape(-1, 1).astype(np.uint16 if count <= _RESTART else np.uint32)
        )
        flat = _little(flat)
        view = self.view(flat.tobytes(), target=_ELEMENT_ARRAY_BUFFER)
        return self._accessor(flat, len(flat), False, {"bufferView": view})

    def offsets(self, array: np.ndarray, *, normalized: bool = False, bounds: bool = False) -> int:
        """Add offsets of every vertex, (V, 3), most of them zero; arguments as :meth:`attribute`.

        Only those that are not zero are written, with the rows that they belong to, where that
        takes less.
        """
        array = _little(array)
        count, size = len(array), array.shape[1] * array.itemsize
        rows = _little(np.flatnonzero(array.any(axis=1)).astype(_row_type(count)))
        if not len(rows):
            return self._all_zero(array, normalized, bounds)
        if len(rows) * (rows.itemsize + size) >= count * (size + -size % 4):
            return self.attribute(array, normalized=normalized, bounds=bounds)
        sparse = {
            "count": len(rows),
            "indices": {
                "bufferView": self.view(rows.tobytes()),
                "componentType": _component(rows),
            },
            "values": {"bufferView": self.view(array[rows].tobytes())},
        }
        limits = _bounds(array) if bounds else {}
        return self._accessor(array, count, normalized, {"sparse": sparse} | limits)

    def file(self, tree: dict[str, Any]) -> bytes:
        """The file: a tree of everything but what lies here, each chunk padded to four bytes."""
        binary = bytes(self._blob) + b"\0" * (-len(self._blob) % 4)
        tree = tree | {
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(binary)}],
        }
        text = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<II", len(text), _JSON) + text
        body += struct.pack("<II", len(binary), _BIN) + binary
        return struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(body)) + body

    def _all_zero(self, array: np.ndarray, normalized: bool, bounds: bool) -> int:
        """An accessor without content is zero everywhere; one serves all."""
        key = f"{array.dtype.str}{normalized}{bounds}", len(array)
        if key not in self._zeros:
            limits = _bounds(array) if bounds else {}
            self._zeros[key] = self._accessor(array, len(array), normalized, limits)
        return self._zeros[key]

    def _accessor(
        self, array: np.ndarray, count: int, normalized: bool, fields: dict[str, Any]
    ) -> int:
        entry = {
            "componentType": _component(array),
            "count": count,
            "type": _SHAPES[array.shape[1]],
            **fields,
        }
        self._accessors.append(entry | ({"normalized": True} if normalized else {}))
        return len(self._accessors) - 1


def _row_type(count: int) -> type[np.uint16 | np.uint32]:
    return np.uint16 if count <= _RESTART else np.uint32


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _component(array: np.ndarray) -> int:
    return _COMPONENTS[array.dtype.str[1:]]


def _bounds(array: np.ndarray) -> dict[str, Any]:
    return {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
