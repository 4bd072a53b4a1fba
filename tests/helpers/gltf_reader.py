"""An independent reader of GLB files, and the rules of glTF 2.0 that such a file must keep.

It shares no code with the writer: numbers come by the standard's formulas, and each rule is one of
the specification's or of ``KHR_mesh_quantization``.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
RANGES = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535}

#: Component type and whether it is normalized -> attributes that may have it.
CORE = {
    "POSITION": {(5126, False)},
    "NORMAL": {(5126, False)},
    "TEXCOORD_0": {(5126, False), (5121, True), (5123, True)},
    "COLOR_0": {(5126, False), (5121, True), (5123, True)},
}
QUANTIZED = {
    "POSITION": {
        (kind, is_normal) for kind in (5120, 5121, 5122, 5123) for is_normal in (False, True)
    },
    "NORMAL": {(5120, True), (5122, True)},
    "TEXCOORD_0": {
        (5120, False),
        (5120, True),
        (5121, False),
        (5122, False),
        (5122, True),
        (5123, False),
    },
    "COLOR_0": set(),
}
TARGETS_CORE = {"POSITION": {(5126, False)}, "NORMAL": {(5126, False)}}
TARGETS_QUANTIZED = {
    "POSITION": {(5120, False), (5120, True), (5122, False), (5122, True)},
    "NORMAL": {(5120, True), (5122, True)},
}


@dataclass
class Glb:
    """A file as its JSON and its binary chunk."""

    tree: dict[str, Any]
    blob: bytes

    @classmethod
    def parse(cls, data: bytes) -> Glb:
        """Both chunks; raises AssertionError where the container breaks a rule."""
        magic, version, length = struct.unpack_from("<4sII", data)
        assert magic == b"glTF" and version == 2 and length == len(data)
        size, kind = struct.unpack_from("<II", data, 12)
        assert kind == 0x4E4F534A and size % 4 == 0
        tree = json.loads(data[20 : 20 + size])
        rest = 20 + size
        size, kind = struct.unpack_from("<II", data, rest)
        assert kind == 0x004E4942 and size % 4 == 0 and rest + 8 + size == len(data)
        return cls(tree, data[rest + 8 :])

    def raw(self, number: int) -> np.ndarray:
        """An accessor's numbers as they stand, (count, width)."""
        entry = self.tree["accessors"][number]
        width, dtype = WIDTHS[entry["type"]], np.dtype(TYPES[entry["componentType"]])
        values = np.zeros((entry["count"], width), dtype)
        if "bufferView" in entry:
            view = self.tree["bufferViews"][entry["bufferView"]]
            start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
            stride = view.get("byteStride", width * dtype.itemsize)
            rows = [start + stride * row for row in range(entry["count"])]
            for row, place in enumerate(rows):
                values[row] = np.frombuffer(self.blob, dtype, width, place)
        if "sparse" in entry:
            values[self._plain(entry["sparse"]["indices"], entry["sparse"]["count"], 1)[:, 0]] = (
                self._plain(
                    entry["sparse"]["values"] | {"componentType": entry["componentType"]},
                    entry["sparse"]["count"],
                    width,
                )
            )
        return values

    def _plain(self, place: dict[str, Any], count: int, width: int) -> np.ndarray:
        view = self.tree["bufferViews"][place["bufferView"]]
        start = view.get("byteOffset", 0) + place.get("byteOffset", 0)
        dtype = np.dtype(TYPES[place["componentType"]])
        return np.frombuffer(self.blob, dtype, count * width, start).reshape(count, width)

    def numbers(self, number: int) -> np.ndarray:
        """An accessor's numbers as they are meant, float64."""
        entry = self.tree["accessors"][number]
        values = self.raw(number).astype(np.float64)
        if entry.get("normalized"):
            values = np.maximum(values / RANGES[entry["componentType"]], -1)
        return values

    def mesh_nodes(self) -> dict[str, dict[str, Any]]:
        """Name -> node, of those with a mesh."""
        return {node["name"]: node for node in self.tree["nodes"] if "mesh" in node}

    def names(self, node: str) -> list[str]:
        """Names of the morph targets of a node's mesh."""
        mesh = self.tree["meshes"][self.mesh_nodes()[node]["mesh"]]
        return mesh.get("extras", {}).get("targetNames", [])

    def weights(self, node: str) -> dict[str, float]:
        """The weights that a viewer shows at first."""
        mesh = self.tree["meshes"][self.mesh_nodes()[node]["mesh"]]
        return dict(zip(self.names(node), mesh.get("weights", []), strict=True))

    def attribute(
        self, node: str, name: str, weights: dict[str, float] | None = None
    ) -> np.ndarray:
        """An attribute in the mesh's own frame, morphed; the file's own weights without any."""
        mesh = self.tree["meshes"][self.mesh_nodes()[node]["mesh"]]
        first = mesh["primitives"][0]
        values = self.numbers(first["attributes"][name])
        chosen = self.weights(node) if weights is None else weights
        for target_name, target in zip(self.names(node), first.get("targets", []), strict=True):
            if chosen.get(target_name):
                values = values + chosen[target_name] * self.numbers(target[name])
        return values

    def vertices(
        self,
        node: str,
        weights: dict[str, float] | None = None,
        rotation: np.ndarray | None = None,
    ) -> np.ndarray:
        """A node's vertices in the scene: p = T R S (base + sum of weights x targets)."""
        entry = self.mesh_nodes()[node]
        local = self.attribute(node, "POSITION", weights) * entry.get("scale", [1, 1, 1])
        turned = local if rotation is None else local @ rotation.T
        return turned + entry.get("translation", [0, 0, 0])

    def triangles(self, node: str) -> np.ndarray:
        """Triangles of all primitives of a node."""
        mesh = self.tree["meshes"][self.mesh_nodes()[node]["mesh"]]
        return np.concatenate(
            [self.raw(p["indices"]).reshape(-1, 3).astype(np.int64) for p in mesh["primitives"]]
        )


def assert_valid(data: bytes) -> Glb:
    """The file, after a check of every rule that concerns it."""
    glb = Glb.parse(data)
    tree = glb.tree
    (buffer,) = tree["buffers"]
    assert 0 <= len(glb.blob) - buffer["byteLength"] < 4
    required, used = tree.get("extensionsRequired", []), tree.get("extensionsUsed", [])
    assert set(required) <= set(used)
    quantized = "KHR_mesh_quantization" in required
    for view in tree["bufferViews"]:
        assert view["byteLength"] > 0
        assert view.get("byteOffset", 0) + view["byteLength"] <= buffer["byteLength"]
        if "byteStride" in view:
            assert view["target"] == 34962
            assert 4 <= view["byteStride"] <= 252 and view["byteStride"] % 4 == 0
    for number in range(len(tree["accessors"])):
        _check_accessor(glb, number)
    _check_nodes(tree)
    needs = [_check_mesh(glb, mesh) for mesh in tree["meshes"]]
    assert any(needs) == quantized, "the extension is declared if and only if it is needed"
    for image in tree.get("images", []):
        view = tree["bufferViews"][image["bufferView"]]
        head = glb.blob[view["byteOffset"] : view["byteOffset"] + 4]
        assert head.startswith(
            {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"}[image["mimeType"]]
        )
        assert "target" not in view and "byteStride" not in view
    for material in tree["materials"]:
        surface = material["pbrMetallicRoughness"]
        if "baseColorTexture" in surface:
            assert surface["baseColorTexture"]["index"] < len(tree["textures"])
        assert all(0 <= value <= 1 for value in surface.get("baseColorFactor", []))
    return glb


def _check_accessor(glb: Glb, number: int) -> None:
    entry = glb.tree["accessors"][number]
    size = np.dtype(TYPES[entry["componentType"]]).itemsize
    element = size * WIDTHS[entry["type"]]
    assert entry["count"] >= 1
    if entry.get("normalized"):
        assert entry["componentType"] in RANGES
    if "bufferView" in entry:
        view = glb.tree["bufferViews"][entry["bufferView"]]
        offset, stride = entry.get("byteOffset", 0), view.get("byteStride", element)
        assert offset % size == 0 and (offset + view.get("byteOffset", 0)) % size == 0
        assert offset + stride * (entry["count"] - 1) + element <= view["byteLength"]
        if view.get("target") == 34962:
            assert (view.get("byteOffset", 0) + offset) % 4 == 0 and stride % 4 == 0
    if "sparse" in entry:
        _check_sparse(glb, entry, element)
    if "min" in entry or "max" in entry:
        values = glb.raw(number)
        for key, limits in (("min", values.min(axis=0)), ("max", values.max(axis=0))):
            assert len(entry[key]) == WIDTHS[entry["type"]]
            assert np.array_equal(np.asarray(entry[key], values.dtype), limits)


def _check_sparse(glb: Glb, entry: dict[str, Any], element: int) -> None:
    sparse = entry["sparse"]
    assert 1 <= sparse["count"] <= entry["count"]
    assert sparse["indices"]["componentType"] in (5121, 5123, 5125)
    for place, size, alignment in (
        (sparse["indices"], None, None),
        (sparse["values"], element, np.dtype(TYPES[entry["componentType"]]).itemsize),
    ):
        view = glb.tree["bufferViews"][place["bufferView"]]
        assert "target" not in view and "byteStride" not in view
        width = size or np.dtype(TYPES[place["componentType"]]).itemsize
        start = place.get("byteOffset", 0)
        assert (view.get("byteOffset", 0) + start) % (alignment or width) == 0
        assert start + width * sparse["count"] <= view["byteLength"]
    rows = glb._plain(sparse["indices"], sparse["count"], 1)[:, 0].astype(np.int64)
    assert (np.diff(rows) > 0).all(), "indices must strictly increase"
    assert rows[-1] < entry["count"]


def _check_nodes(tree: dict[str, Any]) -> None:
    nodes = tree["nodes"]
    children = [child for node in nodes for child in node.get("children", [])]
    assert len(set(children)) == len(children), "a node has one parent"
    roots = set(range(len(nodes))) - set(children)
    assert set(tree["scenes"][tree["scene"]]["nodes"]) == roots
    names = [node["name"] for node in nodes]
    assert len(set(names)) == len(names)
    for node in nodes:
        assert all(np.isfinite(node.get("translation", [0.0])))
        scale = node.get("scale", [1.0, 1.0, 1.0])
        assert scale[0] == scale[1] == scale[2] > 0, "else normals would lean"


def _check_mesh(glb: Glb, mesh: dict[str, Any]) -> bool:
    """Whether a mesh needs the extension."""
    needed = False
    counts = {len(primitive.get("targets", [])) for primitive in mesh["primitives"]}
    assert len(counts) == 1
    (count,) = counts
    assert (
        len(mesh.get("weights", [])) == len(mesh.get("extras", {}).get("targetNames", [])) == count
    )
    accessors = glb.tree["accessors"]
    for primitive in mesh["primitives"]:
        attributes = primitive["attributes"]
        sizes = {accessors[number]["count"] for number in attributes.values()}
        assert len(sizes) == 1
        (size,) = sizes
        for table, core, extended in (
            (attributes, CORE, QUANTIZED),
            *((target, TARGETS_CORE, TARGETS_QUANTIZED) for target in primitive.get("targets", [])),
        ):
            for name, number in table.items():
                entry = accessors[number]
                kind = entry["componentType"], entry.get("normalized", False)
                assert entry["count"] == size and name in attributes
                assert kind in core[name] | extended[name], (name, kind)
                needed |= kind not in core[name]
                if name == "POSITION":
                    assert "min" in entry and "max" in entry
        lengths = np.linalg.norm(glb.numbers(attributes["NORMAL"]), axis=1)
        assert np.abs(lengths - 1).max() < 1e-3
        indices = accessors[primitive["indices"]]
        view = glb.tree["bufferViews"][indices["bufferView"]]
        assert view["target"] == 34963 and "byteStride" not in view
        assert indices["componentType"] in (5121, 5123, 5125) and indices["count"] % 3 == 0
        rows = glb.raw(primitive["indices"])
        assert (
            rows.max() < size
            and rows.max() < {5121: 255, 5123: 65535, 5125: 2**32}[indices["componentType"]]
        )
        assert primitive.get("material", 0) < len(glb.tree["materials"])
    return needed
