"""Binary PLY files: one element of vertices with all that is known of them, one of triangles."""

from __future__ import annotations

import numpy as np


def ply_bytes(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    *,
    uv: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    texture: str | None = None,
) -> bytes:
    """Content of a PLY file, little endian.

    Parameters
    ----------
    vertices, normals : (V, 3) float32
    triangles : (F, 3) int32
    uv : (V, 2) float32, optional
        Properties ``s`` and ``t``, by which Blender, MeshLab and trimesh know them; t up.
    colors : (V, 3) uint8, optional
        Red, green, blue.
    texture : str, optional
        Name of the image beside the file, by MeshLab's comment ``TextureFile``.
    """
    columns: list[tuple[str, str, np.ndarray]] = [
        (name, "float", values)
        for names, table in (("x y z", vertices), ("nx ny nz", normals), ("s t", uv))
        if table is not None
        for name, values in zip(names.split(), table.T, strict=True)
    ]
    if colors is not None:
        named = zip(("red", "green", "blue"), colors.T, strict=True)
        columns += [(name, "uchar", values) for name, values in named]
    codes = {"float": "<f4", "uchar": "u1"}
    rows = np.empty(len(vertices), [(name, codes[kind]) for name, kind, _ in columns])
    for name, _, values in columns:
        rows[name] = values
    faces = np.empty(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *([] if texture is None else [f"comment TextureFile {texture}"]),
        f"element vertex {len(vertices)}",
        *(f"property {kind} {name}" for name, kind, _ in columns),
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode(errors="surrogateescape") + rows.tobytes() + faces.tobytes()
