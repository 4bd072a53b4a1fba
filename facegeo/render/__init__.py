"""Triangle meshes on a photo: z-buffer, depth, PNCC, visibility, texture, overlays.

Everything takes plain arrays: vertices in photo pixels (``(V, 3)`` for one mesh, ``(N, V, 3)`` for
several that share their triangles), triangles ``(F, 3)``, a photo ``(H, W, 3)`` uint8.

The rules, stated once:

Coverage
    Pixel (row i, column j) is covered by a triangle if its centre, the point ``(x, y) = (j, i)``,
    lies inside. A centre exactly on an edge belongs to the triangle only if that is a top or a left
    edge, so triangles that share an edge never both cover it, and leave no gap. Edges are evaluated
    in float64 in a form that is exactly antisymmetric, without snapping vertices to a grid.
Depth
    z is larger towards the viewer: the largest z is drawn. At equal z (as float32) the triangle
    with the smaller index is. Projection is parallel along z, as the vertices are already in
    pixels.
Facing
    Triangles are counter-clockwise seen from outside. A triangle that faces the viewer is so on the
    screen too, but in photo coordinates, where y points down and the frame is left-handed, its
    signed area ``(b - a) x (c - a)`` is negative and its outward normal is
    ``-(b - a) x (c - a)``, with z > 0. Both sides are drawn unless back faces are culled.
"""

from facegeo.render.coarse import coarse_mesh
from facegeo.render.normals import face_normals, vertex_normals
from facegeo.render.overlay import draw_mesh, draw_textured, draw_wireframe
from facegeo.render.products import (
    decode_depth,
    depth_image,
    depth_map,
    encode_depth,
    interpolate,
    normalized_coordinates,
    pncc_image,
    visible_vertices,
)
from facegeo.render.texture import TexelSource, Texture, sample_texture
from facegeo.render.zbuffer import Raster, rasterize

__all__ = [
    "Raster",
    "TexelSource",
    "Texture",
    "coarse_mesh",
    "decode_depth",
    "depth_image",
    "depth_map",
    "draw_mesh",
    "draw_textured",
    "draw_wireframe",
    "encode_depth",
    "face_normals",
    "interpolate",
    "normalized_coordinates",
    "pncc_image",
    "rasterize",
    "sample_texture",
    "vertex_normals",
    "visible_vertices",
]
