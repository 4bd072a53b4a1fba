"""Binary glTF 2.0: meshes as named nodes, with texture or vertex colours, and morph targets.

Written here: libraries that write glTF take a texture as a Pillow image, which the base
installation has no other use for, and write 32-bit numbers.

Positions and offsets are whole numbers of 16 bits; a node's scale and translation make metres of
them (``KHR_mesh_quantization``). Its rotation is free: it turns the mesh about the node's origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from facegeo.surface.gltf import LARGEST, QUANTIZATION, Content

_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071
_PNG_HEAD = b"\x89PNG"

#: Node that holds the others where there are several; turning it turns the head.
_ROOT: Final = "head"

#: Colours, linear RGB, of parts that a photo shows little or nothing of.
_PLAIN: Final = {
    "mouth_inside": (0.16, 0.03, 0.03),
    "teeth_upper": (0.62, 0.57, 0.47),
    "teeth_lower": (0.62, 0.57, 0.47),
    "tongue": (0.42, 0.13, 0.12),
}
#: Largest component of an offset of a normal of 8 bits.
_BYTE: Final = 127
#: An offset of a normal that is left out, 1.7 degrees.
_LEAST_TURN: Final = 0.03
#: Offsets of so many steps, 0.004 mm in a head, are left out: two of three rows move no more.
_LEAST_STEPS: Final = 1


@dataclass(frozen=True, eq=False)
class GlbMesh:
    """One node with its mesh.

    Attributes
    ----------
    name : str
    origin : (3,) float
        Where the node's own origin lies.
    vertices, normals : (V, 3) float32
        Right-handed, y up; metres by the standard. Normals of unit length.
    triangles : mapping of str to (F, 3) int
        Part of the mesh -> its triangles, counter-clockwise seen from outside.
    uv : (V, 2) float32, optional
        In [0, 1], v up.
    colors : (V, 3) uint8, optional
        RGB.
    targets : mapping of str to (V, 3) float32
        Name -> offsets of the positions.
    target_normals : mapping of str to (V, 3) float32
        The same names -> offsets of the normals.
    weights : mapping of str to float
        Of targets; 0 where none is given.
    """

    name: str
    origin: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    triangles: Mapping[str, np.ndarray]
    uv: np.ndarray | None = None
    colors: np.ndarray | None = None
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    target_normals: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def glb_file(meshes: Sequence[GlbMesh], texture: bytes | None = None) -> bytes:
    """A GLB file.

    Parameters
    ----------
    meshes : sequence of GlbMesh
        Several become children of one node, ``head``.
    texture : bytes, optional
        A PNG or JPEG file, first row at v = 1. Needs ``uv``.
    """
    content = Content()
    materials = _Materials(textured=texture is not None)
    written = [_mesh(content, mesh, materials) for mesh in meshes]
    nodes = [node | {"mesh": number} for number, (node, _) in enumerate(written)]
    if len(nodes) > 1:
        nodes.append({"name": _ROOT, "children": list(range(len(nodes)))})
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "facegeo"},
        "extensionsUsed": [QUANTIZATION],
        "extensionsRequired": [QUANTIZATION],
        "scene": 0,
        "scenes": [{"nodes": [len(nodes) - 1]}],
        "nodes": nodes,
        "meshes": [mesh for _, mesh in written],
        "materials": materials.entries,
    }
    if texture is not None:
        kind = "image/png" if texture.startswith(_PNG_HEAD) else "image/jpeg"
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
            "images": [{"mimeType": kind, "bufferView": content.view(texture)}],
        }
    return content.file(tree)


class _Materials:
    """Materials as they are asked for; one for all that the photo colours."""

    def __init__(self, *, textured: bool) -> None:
        self.entries: list[dict[str, Any]] = []
        self._textured = textured
        self._numbers: dict[str, int] = {}

    def is_plain(self, part: str) -> bool:
        """True for a part that has one colour, whatever the photo shows."""
        return self._textured and part in _PLAIN

    def number(self, part: str) -> int:
        """Number of a part's material."""
        plain = self.is_plain(part)
        name = part if plain else "face"
        if name not in self._numbers:
            self._numbers[name] = len(self.entries)
            self.entries.append(self._material(name, _PLAIN[part] if plain else None))
        return self._numbers[name]

    def _material(self, name: str, color: tuple[float, ...] | None) -> dict[str, Any]:
        """Skin: not metallic, rough, and visible from inside since a face is an open surface."""
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
        if color is not None:
            surface["baseColorFactor"] = [*color, 1.0]
        elif self._textured:
            surface["baseColorTexture"] = {"index": 0}
        return {"name": name, "pbrMetallicRoughness": surface, "doubleSided": True}


def _mesh(
    content: Content, mesh: GlbMesh, materials: _Materials
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The node of a mesh, and the mesh."""
    local = np.asarray(mesh.vertices, np.float64) - mesh.origin
    moved = [np.abs(offsets).max(initial=0) for offsets in mesh.targets.values()]
    reach = max(np.abs(local).max(initial=0), *moved, 0.0) or 1.0
    step = float(reach / LARGEST)
    attributes = {
        "POSITION": content.attribute(_whole(local, step), bounds=True),
        "NORMAL": content.attribute(_whole(mesh.normals, 1 / LARGEST), normalized=True),
    }
    layout: dict[str, int] = {}
    if mesh.uv is not None and not all(map(materials.is_plain, mesh.triangles)):
        # Of 32 bits: readers that know no whole numbers for them are many (trimesh 5 is one).
        down = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1)
        layout["TEXCOORD_0"] = content.attribute(down.astype(np.float32))
    if mesh.colors is not None:
        opaque = np.full((len(mesh.colors), 4), 255, np.uint8)
        opaque[:, :3] = mesh.colors
        attributes["COLOR_0"] = content.attribute(opaque, normalized=True)
    targets = [
        {
            "POSITION": content.offsets(_moves(offsets, step), bounds=True),
            "NORMAL": content.offsets(_turns(mesh.target_normals[name]), normalized=True),
        }
        for name, offsets in mesh.targets.items()
    ]
    primitives = [
        {
            "attributes": attributes | ({} if materials.is_plain(part) else layout),
            "indices": content.indices(triangles, len(local)),
            "material": materials.number(part),
            **({"targets": targets} if targets else {}),
        }
        for part, triangles in _by_material(mesh.triangles, materials)
    ]
    entry: dict[str, Any] = {"name": mesh.name, "primitives": primitives}
    if targets:
        entry["weights"] = [float(mesh.weights.get(name, 0.0)) for name in mesh.targets]
        # Not in the standard's schema, but where Blender, three.js and Unity look for the names.
        entry["extras"] = {"targetNames": list(mesh.targets)}
    node = {"name": mesh.name, "translation": mesh.origin.tolist(), "scale": [step] * 3}
    return node, entry


def _by_material(
    triangles: Mapping[str, np.ndarray], materials: _Materials
) -> list[tuple[str, np.ndarray]]:
    """Parts of one material together, under the name of the first."""
    groups: dict[int, list[str]] = {}
    for part in triangles:
        groups.setdefault(materials.number(part), []).append(part)
    return [
        (parts[0], np.concatenate([triangles[part] for part in parts])) for parts in groups.values()
    ]


def _whole(values: np.ndarray, step: float) -> np.ndarray:
    return np.asarray(np.rint(np.asarray(values, np.float64) / step).astype(np.int16))


def _moves(offsets: np.ndarray, step: float) -> np.ndarray:
    """Offsets of positions, (V, 3) int16; those that nobody sees are zero."""
    moves = _whole(offsets, step)
    moves[np.abs(moves).max(axis=1) <= _LEAST_STEPS] = 0
    return moves


def _turns(offsets: np.ndarray) -> np.ndarray:
    """Offsets of normals, (V, 3) int8; those that nobody sees are zero."""
    # Lids turn by more than the format holds, which is one in each direction.
    turns = np.rint(np.clip(offsets, -1, 1) * _BYTE).astype(np.int8)
    turns[np.abs(offsets).max(axis=1) < _LEAST_TURN] = 0
    return turns
