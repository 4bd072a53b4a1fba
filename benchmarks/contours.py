"""How far the mesh's outline lies from the head's in photos, on 20 faces outlined by hand.

python benchmarks/contours.py --photos AFLW2000 [--face-model facegeo-head] [--pictures FOLDER]

``data/head_outlines.json`` has stretches of outlines on photos of AFLW2000-3D, points in pixels:
skin, ears, chin lines, and skulls of cropped hair; what hair or another thing covers is left out.
Photos are looked for by name in a folder or a tar file. The distance is the mean from the outline
by hand to the nearest point of the mesh's, without its neck, in % of the face's size. With
``--pictures`` both are drawn beside each photo.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo import FaceGeometry
from facegeo.base.files import write_bytes
from facegeo.bench.timing import machine
from facegeo.images import decode_photo, encode_photo
from facegeo.morphable import MorphableModel
from facegeo.render import rasterize
from facegeo.results import Face
from facegeo.surface.dense import DenseFaces, dense_faces
from facegeo.zoo.face_models import load_face_model

OUTLINES = Path(__file__).parent / "data/head_outlines.json"
_COLOURS = ((80, 80, 255), (255, 200, 60), (120, 255, 120))
_BY_HAND = (0, 255, 255)
#: How far skin of the chin reaches below the jaw's points, millimetres.
_CHIN_MM = 3.0
#: Bands of yaw for means of their own, degrees.
_BANDS = ((0, 15), (15, 45), (45, 72), (72, 90))


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder or tar file")
    parser.add_argument("--model", default="default", help="landmark model")
    parser.add_argument("--face-model", help="also fit this one to the refined landmarks")
    parser.add_argument("--pictures", type=Path, help="folder to draw into")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    outlines = json.loads(OUTLINES.read_text())
    photos = _photos(options.photos, outlines)
    report = {"machine": machine(), **measure(photos, outlines, options)}
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if options.out:
        write_bytes(options.out, text.encode())


def measure(
    photos: dict[str, np.ndarray], outlines: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Mean distance of each photo's outline to that of each mesh, in % of the face's size."""
    predictor = FaceGeometry(options.model)
    meshes: dict[str, Callable[[list[Face]], DenseFaces]] = {
        "coarse_mesh": lambda faces: dense_faces(faces, coarse=True),
        "mesh": dense_faces,
    }
    if options.face_model:
        model = load_face_model(options.face_model)
        meshes[f"{model.name} fitted"] = lambda faces: dense_faces(faces, model)
    rows: dict[str, Any] = {}
    for name, photo in photos.items():
        points = _dense_points(outlines[name])
        face = _face_at(predictor(photo), points.mean(axis=0))
        if face is None:
            rows[name] = None
            continue
        size = float(np.sqrt(np.ptp(face.landmarks[:, :2], axis=0).prod()))
        row, curves = {"yaw": round(face.pose.yaw, 1)}, []
        for kind, made in meshes.items():
            dense = made([face])
            mask = head_mask(dense.model, dense.vertices[0], *photo.shape[:2])
            edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            curves.append(edges)
            edge = np.concatenate(edges)[:, 0]
            apart = np.linalg.norm(points[:, None] - edge[None], axis=2).min(axis=1)
            row[kind] = round(100 * float(apart.mean()) / size, 2)
        rows[name] = row
        if options.pictures:
            picture = _drawn(photo, outlines[name], curves)
            write_bytes(options.pictures / f"{Path(name).stem}.png", encode_photo(picture, ".png"))
    found = [row for row in rows.values() if row]
    bands = {"all": found} | {
        f"yaw {low} to {high}": [row for row in found if low <= abs(row["yaw"]) < high]
        for low, high in _BANDS
    }
    return {
        "benchmark": "contours",
        "model": predictor.card.name,
        "face_model": predictor.mesh_source.morphable.name,
        "faces": len(found),
        "mean_percent_of_face": {
            band: {kind: round(float(np.mean([row[kind] for row in of])), 2) for kind in meshes}
            for band, of in bands.items()
            if of
        },
        "photos": rows,
    }


def head_mask(model: MorphableModel, vertices: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels (H, W) uint8 of the head without its neck."""
    neck = model.regions.get("neck")
    if neck is None:
        neck = _below_jaw(model)
    kept = ~neck[model.triangles].all(axis=1)
    seen = rasterize(vertices, model.triangles[kept], height, width).mesh >= 0
    return np.asarray(seen, np.uint8)


def _below_jaw(model: MorphableModel) -> np.ndarray:
    """Vertices (V,) below the jaw's curve, where a model does not say what is its neck."""
    jaw = model.landmark_basis.mean[:17]
    x, y = model.mean[:, 0], model.mean[:, 1]
    curve = np.interp(x, jaw[:, 0], jaw[:, 1]) - _CHIN_MM / model.unit_mm
    return np.asarray((y < curve) & (np.abs(x) < 0.95 * np.abs(jaw[:, 0]).max()))


def _photos(place: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    wanted, photos = set(names), {}
    if place.is_dir():
        files = {path.name: path.read_bytes() for path in place.rglob("*") if path.name in wanted}
    else:
        with tarfile.open(place) as archive:
            members = [m for m in archive if Path(m.name).name in wanted]
            files = {Path(m.name).name: archive.extractfile(m).read() for m in members}
    for name in sorted(files):
        photos[name] = decode_photo(files[name], name)
    return photos


def _face_at(faces: list[Face], place: np.ndarray) -> Face | None:
    """The face whose middle is nearest to that of the outline, if it is near at all."""
    apart = [np.linalg.norm(face.landmarks[:, :2].mean(axis=0) - place) for face in faces]
    return faces[int(np.argmin(apart))] if apart and min(apart) < 120 else None


def _dense_points(stretches: list[list[list[float]]]) -> np.ndarray:
    """Points, (P, 2), a pixel apart on all stretches."""
    points = []
    for stretch in stretches:
        ends = np.array(stretch)
        for a, b in pairwise(ends):
            steps = max(1, round(float(np.linalg.norm(b - a))))
            points += [a + (b - a) * step / steps for step in range(steps)]
        points.append(ends[-1])
    return np.array(points)


def _drawn(photo: np.ndarray, stretches: Any, curves: list[Any]) -> np.ndarray:
    """The photo twice as large, beside itself with the outlines."""
    plain = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    drawn = plain.copy()
    for edges, colour in zip(curves, _COLOURS, strict=False):
        cv2.polylines(drawn, [2 * edge for edge in edges], True, colour, 1, cv2.LINE_AA)
    by_hand = [np.rint(2 * np.array(stretch) + 0.5).astype(np.int32) for stretch in stretches]
    cv2.polylines(drawn, by_hand, False, _BY_HAND, 2, cv2.LINE_AA)
    return np.hstack([plain, drawn])


if __name__ == "__main__":
    main()
