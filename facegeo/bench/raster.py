"""Speed of the rasteriser on a face-sized ellipsoid of 70,000 triangles."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from facegeo.bench.timing import announce, medians
from facegeo.render import draw_mesh, draw_wireframe, pncc_image, rasterize, visible_vertices

# Semi-axes of a head in parts of the photo's height.
_HEAD = np.array([0.3, 0.42, 0.36])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``facegeo-bench raster``; defaults as in :func:`run_raster_benchmark`."""
    parser.add_argument("--triangles", type=int, default=70_000)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--engine",
        dest="implementation",
        choices=("auto", "numba", "numpy"),
        default="auto",
        help="how the loops run",
    )


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run with parsed options."""
    return run_raster_benchmark(
        args.triangles,
        args.height,
        args.width,
        threads=args.threads,
        implementation=args.implementation,
    )


def ellipsoid(num_triangles: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The front of a head as a regular grid: vertices (V, 3) float32 in photo pixels, triangles.

    At least ``num_triangles`` triangles that face the viewer.
    """
    side = int(np.ceil(np.sqrt(num_triangles / 2))) + 1
    # From the left to the right ear, and from forehead to chin.
    azimuth, elevation = np.meshgrid(
        np.linspace(-1.5, 1.5, side), np.linspace(-1.3, 1.3, side), indexing="xy"
    )
    unit = np.stack(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ],
        axis=-1,
    )
    vertices = unit.reshape(-1, 3) * _HEAD * height + [width / 2, height / 2, 0]
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    return vertices.astype(np.float32), triangles.astype(np.int32)


def run_raster_benchmark(
    triangles: int = 70_000,
    height: int = 720,
    width: int = 1280,
    *,
    threads: int | None = None,
    implementation: Any = "auto",
) -> dict[str, Any]:
    """Time the rasteriser and what is drawn with it.

    Returns
    -------
    dict
        ``triangles``, ``height``, ``width``, ``covered`` (part of the photo), and medians in
        milliseconds: ``rasterize_ms``, ``pncc_ms`` and ``visibility_ms`` (from a raster that
        exists), ``draw_mesh_ms`` and ``draw_wireframe_ms`` (from vertices to image, smoothed
        borders), ``draw_mesh_fast_ms`` (one sample a pixel).
    """
    vertices, corners = ellipsoid(triangles, height, width)
    image = np.full((height, width, 3), 128, np.uint8)
    how = {"threads": threads, "implementation": implementation}
    raster = rasterize(vertices, corners, height, width, **how)

    announce(f"{len(corners)} triangles on {width}x{height}")
    seconds = medians(
        {
            "rasterize": lambda: rasterize(vertices, corners, height, width, **how),
            "pncc": lambda: pncc_image(raster, corners, vertices, implementation=implementation),
            "visibility": lambda: visible_vertices(raster, vertices, corners),
            "draw_mesh": lambda: draw_mesh(image, vertices, corners, implementation=implementation),
            "draw_mesh_fast": lambda: draw_mesh(
                image, vertices, corners, samples=1, implementation=implementation
            ),
            "draw_wireframe": lambda: draw_wireframe(
                image, vertices, corners, implementation=implementation
            ),
        }
    )
    return {
        "triangles": len(corners),
        "height": height,
        "width": width,
        "covered": float(raster.covered.mean()),
        **{f"{name}_ms": 1e3 * value for name, value in seconds.items()},
    }
