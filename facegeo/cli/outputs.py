"""The files that ``facegeo predict`` writes for a photo."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.files import write_bytes
from facegeo.images import encode_photo
from facegeo.render.annotate import ANNOTATORS, IMAGES, annotate
from facegeo.render.products import DEPTH_PER_MM, DEPTH_ZERO, encode_depth
from facegeo.results import Face

#: An image of its own for each face.
TEXTURE = "uv"
STYLES = (*ANNOTATORS, *IMAGES, TEXTURE)
#: Styles that need the dense mesh.
_DENSE = {name for name, one in ANNOTATORS.items() if one.surfaces} | {*IMAGES, TEXTURE}
_MESHES = ("obj", "ply", "glb")
_DEPTH = "depth"
FORMATS = (*_MESHES, _DEPTH)

#: Formats that an annotated photo is written back in; others become JPEG.
_WRITTEN_AS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class OutputOptions:
    """Outputs to write for each photo.

    Attributes
    ----------
    styles : sequence of str
        Some of :data:`STYLES`.
    formats : sequence of str
        Some of :data:`FORMATS`: one mesh file a face, or the photo's depth map.
    opacity : float, optional
        Of the drawing, as in :func:`facegeo.render.annotate.annotate`.
    targets : bool
        Of GLB: with the expressions as morph targets.
    coarse_mesh : bool
        Meshes as the parameters have them, as :func:`facegeo.surface.dense.dense_faces` says.
    """

    styles: Sequence[str] = ("landmarks", "pose")
    formats: Sequence[str] = ()
    opacity: float | None = None
    targets: bool = True
    coarse_mesh: bool = False

    @property
    def dense(self) -> bool:
        """True if a dense mesh is needed."""
        return bool(_DENSE & set(self.styles)) or bool(self.formats)


class ImageOutputs:
    """All that is wanted of one photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
    faces : sequence of Face
    face_model : MorphableModel, optional
        Fit this one instead of using the network's own.
    """

    def __init__(
        self,
        image: np.ndarray,
        faces: Sequence[Face],
        wanted: OutputOptions,
        face_model: Any = None,
    ) -> None:
        self._image = image
        self._faces = faces
        self._options = wanted
        self._face_model = face_model

    @cached_property
    def dense(self) -> Any:
        """The faces as surfaces; computed once for all outputs."""
        from facegeo.surface.dense import dense_faces

        return dense_faces(self._faces, self._face_model, coarse=self._options.coarse_mesh)

    def annotated(self) -> np.ndarray:
        """The photo with everything drawn on it that is drawn on photos."""
        options = self._options
        drawn = [style for style in options.styles if style in ANNOTATORS]
        faces = self._faces
        return annotate(self._image, faces, drawn, lambda: self.dense, opacity=options.opacity)

    def completed(self, record: dict[str, Any]) -> dict[str, Any]:
        """The photo's record for the JSON with that of its dense surfaces.

        These are model, coefficients, placement; and the faces' blendshapes, which are those of the
        surfaces, whatever the faces themselves have.
        """
        if not self._options.dense or not self._faces:
            return record
        dense = self.dense
        faces = [
            face | {"blendshapes": blendshapes}
            for face, blendshapes in zip(record["faces"], dense.blendshapes, strict=True)
        ]
        record = record | {
            "faces": faces,
            "mesh": {
                "model": dense.model.name,
                "fitted": dense.fitted,
                "unit_mm": dense.model.unit_mm,
                "shape": dense.shape.tolist(),
                "expression": dense.expression.tolist(),
                "affine": dense.affine.tolist(),
            },
        }
        if _DEPTH in self._options.formats:
            record["depth"] = {
                "unit": "mm",
                "png_zero": DEPTH_ZERO,
                "png_per_mm": DEPTH_PER_MM,
                "mm_per_px": dense.mm_per_px.tolist(),
            }
        return record

    def write(self, target: Path, suffix: str, record: dict[str, Any]) -> Path:
        """Write all files; their names begin with ``target``. Returns the annotated photo.

        Parameters
        ----------
        record : dict
            The whole content of the JSON file, :meth:`completed`.

        Raises
        ------
        OutputError
            If a place is not writable.
        """
        image = _named(target, suffix if suffix in _WRITTEN_AS else ".jpg")
        write_bytes(image, encode_photo(self.annotated(), image.suffix))
        document = json.dumps(record, indent=1)
        write_bytes(_named(target, ".json"), document.encode())
        if self._faces:
            self._write_images(target)
            self._write_meshes(target)
            if _DEPTH in self._options.formats:
                self._write_depth(target)
        return image

    def _write_images(self, target: Path) -> None:
        for name, draw in IMAGES.items():
            if name in self._options.styles:
                image = encode_photo(draw(self._image, self.dense), ".png")
                write_bytes(_named(target, f".{name}.png"), image)
        if TEXTURE in self._options.styles:
            for index in range(len(self._faces)):
                texture = self.dense.texture(index, self._image)
                if texture is not None:
                    place = _named(target, f".{index}.{TEXTURE}.png")
                    write_bytes(place, encode_photo(texture.image, ".png"))

    def _write_meshes(self, target: Path) -> None:
        from facegeo.surface.mesh_files import write_mesh

        for kind in (kind for kind in self._options.formats if kind in _MESHES):
            for index in range(len(self._faces)):
                surface = self.dense.surface(index, self._image, kind)
                place = _named(target, f".{index}.{kind}")
                write_mesh(surface, place, targets=self._options.targets)

    def _write_depth(self, target: Path) -> None:
        """The map as numbers, and as a 16-bit image; ``depth.png`` is the picture of ``--draw``."""
        depth = self.dense.depth(*self._image.shape[:2])
        numbers = io.BytesIO()
        np.save(numbers, depth, allow_pickle=False)
        write_bytes(_named(target, f".{_DEPTH}.npy"), numbers.getvalue())
        image = encode_photo(encode_depth(depth), ".png")
        write_bytes(_named(target, f".{_DEPTH}16.png"), image)


def _named(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}.faces{ending}")
