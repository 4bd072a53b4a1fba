"""Mesh files: OBJ and PLY with a texture beside them, GLB with morph targets.

All are right-handed with y up, triangles counter-clockwise and normals outward. A mesh in photo
pixels is turned into that frame by negating y.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo.base.arrays import array_of, describe
from facegeo.base.files import replacing, write_bytes
from facegeo.errors import InvalidInputError
from facegeo.geometry.axes import Y_FLIP, flip_y
from facegeo.images.decode import check_image
from facegeo.morphable import MorphableModel
from facegeo.morphable.basis import EYE_PARTS
from facegeo.morphable.validation import index_array
from facegeo.render.normals import vertex_normals
from facegeo.surface.glb import GlbMesh, glb_file
from facegeo.surface.parts import connected_parts, middle_of_bounds
from facegeo.surface.ply import ply_bytes

#: Meshes that have files beside them.
_WITH_FILES = (".obj", ".ply")
#: Larger textures are written into GLB as JPEG, in a tenth of the bytes.
_LARGEST_PNG = 500_000
_JPEG_QUALITY = 95

_FLIP = {"photo": Y_FLIP.astype(np.float32), "model": np.ones(3, np.float32)}


@dataclass(frozen=True, eq=False)
class Surface:
    """Content of a mesh file.

    Attributes
    ----------
    vertices : (V, 3) float32
    triangles : (F, 3) int32
        Counter-clockwise seen from outside in the model frame, as in every facegeo mesh.
    frame : "photo" or "model"
        "photo": pixels with y down; "model": right-handed with y up.
    uv : (U, 2) float32, optional
        In [0, 1], v up.
    uv_triangles : (F, 3) int32, optional
        Row of ``uv`` of every corner; ``triangles`` without it.
    texture : (H, W, 3) uint8, optional
        BGR, first row at v = 1. Needs ``uv``.
    colors : (V, 3) uint8, optional
        BGR, one a vertex.
    morph_targets : mapping of str to (V, 3) float32
        Name -> offset of every vertex for a weight of one, in the frame of ``vertices``.
    weights : mapping of str to float
        Weights of morph targets that ``vertices`` show; 0 for those that are not named.
    parts : mapping of str to (F,) bool
        Triangles of pieces that GLB keeps as nodes of their own: those that share no vertex with
        others.
    origins : mapping of str to (3,) float
        What parts turn about at rest, in the frame of ``vertices``; others about their middle.
    scale : float
        The file's unit in units of ``vertices``: GLB is in metres by its standard, so a mesh in
        millimetres is written with 0.001.

    Raises
    ------
    InvalidInputError
        If an array does not fit; the message names it.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    frame: str = "photo"
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    texture: np.ndarray | None = None
    colors: np.ndarray | None = None
    morph_targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    scale: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    origins: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in _checked(self).items():
            object.__setattr__(self, key, value)

    @property
    def neutral(self) -> np.ndarray:
        """(V, 3) float32: the vertices with all weights at zero."""
        vertices = self.vertices.astype(np.float64)
        for name, weight in self.weights.items():
            if weight:
                vertices -= weight * self.morph_targets[name]
        return vertices.astype(np.float32)

    def placed(self, points: np.ndarray) -> np.ndarray:
        """Points or offsets in the file's frame and unit, float32."""
        return (points * (_FLIP[self.frame] * np.float32(self.scale))).astype(np.float32)


def model_surface(
    model: MorphableModel,
    shape: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray | None = None,
    **fields: Any,
) -> Surface:
    """One face of a morphable model, with its expressions as morph targets and eyes that turn.

    Parameters
    ----------
    shape : (Ns,) float32
    expression : (Ne,) float32
        The mesh shows this expression; it is the targets' weights.
    pose : (3, 4) float32, optional
        Model units to photo pixels (y down). Without it the mesh stays in the model frame, in
        model units.
    fields
        Further fields of :class:`Surface`: ``texture``, ``colors``, ``scale``.
    """
    posed = None if pose is None else np.asarray(pose)[None]
    vertices = model.vertices(np.asarray(shape)[None], np.asarray(expression)[None], posed)[0]
    offsets = model.expression_basis
    if posed is not None:
        offsets = offsets @ posed[0, :, :3].astype(np.float32).T
    names = model.expression_names or [f"expression{i}" for i in range(model.num_expression)]
    return Surface(
        vertices,
        model.triangles,
        frame="model" if pose is None else "photo",
        uv=model.uv,
        uv_triangles=model.uv_triangles,
        morph_targets=dict(zip(names, offsets, strict=True)),
        weights=dict(zip(names, np.asarray(expression).tolist(), strict=True)),
        parts=model.parts,
        origins=_eye_origins(model, shape, pose),
        **fields,
    )


def _eye_origins(
    model: MorphableModel, shape: np.ndarray, pose: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Centres of the eyeballs of a face at rest, for the parts that the model has."""
    if model.eyes is None:
        return {}
    centres = model.eyes.centres(np.asarray(shape)[None], np.zeros((1, model.num_expression)))[0]
    if pose is not None:
        centres = centres @ np.asarray(pose)[:, :3].T + np.asarray(pose)[:, 3]
    return {name: at for name, at in zip(EYE_PARTS, centres, strict=True) if name in model.parts}


def write_mesh(
    surface: Surface, path: str | os.PathLike[str], *, targets: bool = True
) -> list[Path]:
    """Write ``.obj``, ``.ply`` or ``.glb`` as the file's name says.

    Parameters
    ----------
    targets : bool
        Of GLB: write the morph targets, as :func:`write_glb` does.

    Returns
    -------
    list of Path
        The files that were written: an OBJ with texture has three, a PLY two.

    Raises
    ------
    InvalidInputError
        If the name has another ending.
    OutputError
        If the place is not writable; files that were there before are unchanged.
    """
    path = Path(path)
    if path.suffix.lower() == ".glb":
        return write_glb(surface, path, targets=targets)
    writer = {".obj": write_obj, ".ply": write_ply}.get(path.suffix.lower())
    if writer is None:
        raise InvalidInputError(f"path: expected a name ending in .obj, .ply or .glb, got {path}")
    return writer(surface, path)


def write_obj(surface: Surface, path: str | os.PathLike[str]) -> list[Path]:
    """Wavefront OBJ; with a texture also ``<name>.mtl`` and ``<name>.png`` beside it.

    Their names have ``_`` for blanks.
    Written here: libraries would split the vertices along the texture's seams.
    """
    path = Path(path)
    stem = _stem(path)
    material, texture = path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}.png")
    contents: dict[Path, bytes] = {}
    if surface.texture is not None:
        contents[texture] = _png(surface.texture)
        contents[material] = _mtl(texture.name).encode()
    contents[path] = _obj(surface, material.name if surface.texture is not None else None)
    return _write_together(contents)


def write_ply(surface: Surface, path: str | os.PathLike[str]) -> list[Path]:
    """Binary PLY with normals and, where the surface has them, UV coordinates and vertex colours.

    A texture is written as ``<name>.png`` beside it and named in the header. Where the texture has
    seams, their vertices are written once a side.
    """
    path = Path(path)
    texture = path.with_name(f"{_stem(path)}.png")
    contents: dict[Path, bytes] = {}
    if surface.texture is not None:
        contents[texture] = _png(surface.texture)
    rows, triangles, uv = _split_seams(surface)
    vertices = surface.placed(surface.vertices)
    contents[path] = ply_bytes(
        vertices[rows],
        triangles,
        _normals(vertices, surface.triangles)[rows],  # unsplit: seams do not show in the shading
        uv=uv,
        colors=None if surface.colors is None else surface.colors[rows, ::-1],
        texture=None if surface.texture is None else texture.name,
    )
    return _write_together(contents)


def write_glb(
    surface: Surface, path: str | os.PathLike[str], *, targets: bool = True
) -> list[Path]:
    """Binary glTF 2.0 with normals, texture or vertex colours, and morph targets.

    A surface of several parts becomes a node ``head`` with a named child for each, whose origin is
    the part's: turning an eye's node turns the eye. Numbers are of 16 bits
    (``KHR_mesh_quantization``). glTF has one index for position and texture: where the texture has
    seams, their vertices are written once a side. The texture is a PNG, or a JPEG where that would
    have more than half a megabyte.

    Parameters
    ----------
    targets : bool
        Write the mesh without its expression, and that as the weights of the morph targets. Each
        part has the targets that move it, the first, which is the skin of a head, all of them.
        Without it the mesh is written as it is.
    """
    texture = None
    if surface.texture is not None:
        texture = _png(surface.texture)
        if len(texture) > _LARGEST_PNG:
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            texture = cv2.imencode(".jpg", surface.texture, quality)[1].tobytes()
    write_bytes(Path(path), glb_file(_glb_meshes(surface, targets), texture))
    return [Path(path)]


def sample_vertex_colors(image: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The photo's colour under every vertex, whether or not the vertex is visible.

    Parameters
    ----------
    image : (H, W, 3) uint8
    vertices : (V, 3) float32
        Photo pixels.

    Returns
    -------
    (V, 3) uint8
        Channels as in the photo, bilinear; vertices outside take the nearest border pixel.
    """
    image = check_image(image)
    points = array_of("vertices", vertices, ("V", 3))
    if len(points) == 0:
        return np.zeros((0, 3), np.uint8)
    # OpenCV remaps to images of at most 32767 pixels a side, so the list becomes a rectangle.
    side = int(np.ceil(np.sqrt(len(points))))
    grid = np.zeros((side * side, 2), np.float32)
    grid[: len(points)] = np.clip(points[:, :2], 0, (image.shape[1] - 1, image.shape[0] - 1))
    x, y = np.moveaxis(grid.reshape(side, side, 2), -1, 0)
    colors = cv2.remap(image, x.copy(), y.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return colors.reshape(-1, 3)[: len(points)]


def _glb_meshes(surface: Surface, targets: bool) -> list[GlbMesh]:
    """The parts of a surface, each with its own vertices, in the file's frame and unit."""
    rows, triangles, uv = _split_seams(surface)
    vertices = surface.placed(surface.neutral if targets else surface.vertices)
    # Normals of the unsplit mesh, so that seams do not show in the shading.
    normals = _normals(vertices, surface.triangles)
    offsets: dict[str, np.ndarray] = {}
    turns: dict[str, np.ndarray] = {}
    for name, target in surface.morph_targets.items() if targets else ():
        offsets[name] = surface.placed(target)
        turns[name] = _turns(vertices, normals, offsets[name], surface.triangles)
    colors = None if uv is not None or surface.colors is None else surface.colors[:, ::-1]
    parts = connected_parts(surface.triangles, surface.parts)
    meshes: list[GlbMesh] = []
    for part in parts:
        corners = np.concatenate(
            [triangles[numbers].ravel() for numbers in part.triangles.values()]
        )
        own = np.unique(corners) if len(parts) > 1 else np.arange(len(rows))
        whole = rows[own]
        moving = [name for name in offsets if not meshes or offsets[name][whole].any()]
        meshes.append(
            GlbMesh(
                part.name,
                _origin(surface, part.name, vertices[whole]),
                vertices[whole],
                normals[whole],
                {
                    name: np.searchsorted(own, triangles[numbers])
                    for name, numbers in part.triangles.items()
                },
                uv=None if uv is None else uv[own],
                colors=None if colors is None else colors[whole],
                targets={name: offsets[name][whole] for name in moving},
                target_normals={name: turns[name][whole] for name in moving},
                weights=surface.weights,
            )
        )
    return meshes


def _origin(surface: Surface, part: str, vertices: np.ndarray) -> np.ndarray:
    """Origin of a part's node in the file's frame and unit, (3,) float64."""
    if part in surface.origins:
        return surface.placed(surface.origins[part]).astype(np.float64)
    return middle_of_bounds(vertices)


def _turns(
    vertices: np.ndarray, normals: np.ndarray, offsets: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """Changes of the normals, (V, 3) float32, by offsets of the vertices."""
    turns = np.zeros_like(normals)
    moved = np.asarray(offsets.any(axis=1))
    touched = np.unique(triangles[np.any(moved[triangles], axis=1)])
    is_touched = np.zeros(len(vertices), bool)
    is_touched[touched] = True
    around = triangles[np.any(is_touched[triangles], axis=1)]
    turns[touched] = (_normals(vertices + offsets, around) - normals)[touched]
    return turns


def _stem(path: Path) -> str:
    """The name of files beside a mesh: some readers take a blank for the end of a name.

    Where a mesh whose name differs in blanks only lies there too, a number keeps them apart.
    """
    plain = _without_blanks(path.stem)
    if not _is_shared(plain, path):
        return plain
    return f"{plain}-{hashlib.sha256(os.fsencode(path.stem)).hexdigest()[:8]}"


def _is_shared(plain: str, path: Path) -> bool:
    if "_" not in plain:
        return False
    own, wanted = path.stem.casefold(), plain.casefold()  # many file systems mix upper and lower
    with contextlib.suppress(OSError):  # whoever writes there says what is wrong
        meshes = (other for other in path.parent.iterdir() if other.suffix.lower() in _WITH_FILES)
        stems = {mesh.stem.casefold() for mesh in meshes}
        return any(_without_blanks(stem) == wanted for stem in stems - {own})
    return False


def _without_blanks(name: str) -> str:
    return re.sub(r"\s+", "_", name)


def _write_together(contents: Mapping[Path, bytes]) -> list[Path]:
    with contextlib.ExitStack() as stack:
        # All are complete beside their places before the first is renamed.
        for target, content in contents.items():
            stack.enter_context(replacing(target)).write_bytes(content)
    return list(contents)[::-1]


def _checked(surface: Surface) -> dict[str, Any]:
    if surface.frame not in _FLIP:
        raise InvalidInputError(f"frame: expected one of {sorted(_FLIP)}, got {surface.frame!r}")
    if not 0 < surface.scale < np.inf:
        raise InvalidInputError(f"scale: expected a positive number, got {surface.scale}")
    vertices = array_of("vertices", surface.vertices, ("V", 3))
    size = len(vertices)
    triangles = index_array("triangles", surface.triangles, ("F", 3), size, np.int32)
    uv, uv_triangles = surface.uv, surface.uv_triangles
    if uv is not None:
        uv = array_of("uv", uv, ("U", 2))
        if uv_triangles is None:
            uv_triangles = triangles
        uv_triangles = index_array("uv_triangles", uv_triangles, triangles.shape, len(uv), np.int32)
    elif surface.texture is not None or uv_triangles is not None:
        raise InvalidInputError("uv: needed for a texture and for uv_triangles")
    targets = {
        name: array_of(f"morph_targets[{name!r}]", offset, (size, 3))
        for name, offset in surface.morph_targets.items()
    }
    unknown = [name for name in surface.weights if name not in targets]
    if unknown:
        raise InvalidInputError(f"weights: expected names of morph targets, got {unknown[0]!r}")
    weights = {name: float(weight) for name, weight in surface.weights.items()}
    if not np.isfinite(list(weights.values())).all():
        raise InvalidInputError("weights: expected finite numbers")
    foreign = [name for name in surface.origins if name not in surface.parts]
    if foreign:
        raise InvalidInputError(f"origins: expected names of parts, got {foreign[0]!r}")
    return {
        "origins": {
            name: array_of(f"origins[{name!r}]", origin, (3,))
            for name, origin in surface.origins.items()
        },
        "weights": weights,
        "parts": _checked_parts(surface.parts, len(triangles)),
        "vertices": vertices,
        "triangles": triangles,
        "uv": uv,
        "uv_triangles": uv_triangles,
        "texture": _bytes_of("texture", surface.texture, ("H", "W", 3)),
        "colors": _bytes_of("colors", surface.colors, (size, 3)),
        "morph_targets": targets,
    }


def _checked_parts(parts: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    checked = {name: np.asarray(mask) for name, mask in parts.items()}
    for name, mask in checked.items():
        if mask.dtype != bool or mask.shape != (count,):
            raise InvalidInputError(
                f"parts[{name!r}]: expected booleans of shape ({count},), got {describe(mask)}"
            )
    if checked and np.sum(list(checked.values()), axis=0).max(initial=0) > 1:
        raise InvalidInputError("parts: expected no triangle in two of them")
    return checked


def _bytes_of(name: str, value: Any, shape: tuple[int | str, ...]) -> np.ndarray | None:
    if value is None:
        return None
    if np.asarray(value).dtype != np.uint8:
        raise InvalidInputError(f"{name}: expected uint8, got {describe(np.asarray(value))}")
    return array_of(name, value, shape, np.uint8)


def _obj(surface: Surface, material: str | None) -> bytes:
    """The text of an OBJ file; its indices begin at one."""
    parts = [f"mtllib {material}\nusemtl face\n" if material else ""]
    parts.append(_lines("v %.9g %.9g %.9g\n", surface.placed(surface.vertices)))
    corners = surface.triangles + 1
    if surface.uv is None or surface.uv_triangles is None:
        parts.append(_lines("f %d %d %d\n", corners))
    else:
        parts.append(_lines("vt %.9g %.9g\n", surface.uv))
        both = np.stack([corners, surface.uv_triangles + 1], axis=2).reshape(-1, 6)
        parts.append(_lines("f %d/%d %d/%d %d/%d\n", both))
    return "".join(parts).encode()


def _lines(form: str, table: np.ndarray) -> str:
    """One line a row; formatting all rows at once is several times faster than one by one."""
    return form * len(table) % tuple(table.ravel().tolist())


def _mtl(texture: str) -> str:
    return f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n"


def _normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward unit normals in the file's frame; (0, 0, 1) at a vertex without triangles."""
    normals = flip_y(vertex_normals(flip_y(vertices), triangles))
    normals[~normals.any(axis=1)] = (0, 0, 1)  # glTF wants unit length everywhere
    return normals


def _png(image: np.ndarray) -> bytes:
    _, encoded = cv2.imencode(".png", image)
    return encoded.tobytes()


def _split_seams(surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of vertices, triangles into them, and one UV a row.

    Vertices keep their rows where no vertex has two texture coordinates.
    """
    size = len(surface.vertices)
    if surface.uv is None or surface.uv_triangles is None:
        return np.arange(size), surface.triangles, None
    if np.array_equal(surface.triangles, surface.uv_triangles) and len(surface.uv) == size:
        return np.arange(size), surface.triangles, surface.uv
    pairs = np.stack([surface.triangles.ravel(), surface.uv_triangles.ravel()], axis=1)
    pairs, corner = np.unique(pairs, axis=0, return_inverse=True)
    return pairs[:, 0], corner.reshape(-1, 3).astype(np.int32), surface.uv[pairs[:, 1]]
