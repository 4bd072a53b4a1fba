"""Presence: does the network know a well-placed face from what is none?

The figure is the area under the ROC curve of ``presence`` on face crops of AFLW2000-3D, which
nothing is trained on, against crops of background photos that training holds back, and against the
same faces shifted by half their size, and lying on their side or standing on their head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from facegeo.errors import CorruptFileError, FacegeoError, InvalidInputError
from facegeo.evaluation.aflw2000 import Aflw2000, InputKind
from facegeo.evaluation.measures import roc_area
from facegeo.evaluation.report import table
from facegeo.geometry import crop
from facegeo.images import decode_photo
from facegeo.images.collections import Skipped, open_images
from facegeo.predictor import FaceGeometry
from facegeo.synthetic.negatives import (
    HELD_BACK_EVERY,
    background_crop,
    half_a_face,
    shifted_crops,
    split_backgrounds,
)

#: Squares of each background photo.
_SQUARES = 5

#: What is asked for; see :func:`to_markdown`.
_TARGETS = {"backgrounds": 0.995, "shifted": 0.95, "turned": 0.99}


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Squares of photos that are held back from training.

    Attributes
    ----------
    crops : (M, 120, 120, 3) uint8
    names : tuple of str
        The photos that they are from.
    of : int
        How many photos there are in all.
    left_out : int
    """

    crops: np.ndarray
    names: tuple[str, ...]
    of: int
    left_out: int

    @classmethod
    def open(cls, path: str | Path, seed: int = 0) -> Backgrounds:
        """Cut squares, the same ones each time, from the held-back photos of a tar or folder.

        Photos that cannot be read are named, left out and counted.

        Raises
        ------
        UnreadableFileError, CorruptFileError, InvalidInputError
            If there is no such archive or folder, or too few photos in it.
        """
        images = open_images(path)
        chosen = split_backgrounds(images.names).held_back
        skipped = Skipped(str(path))
        crops, names = [], []
        for index in chosen:
            name = images.names[index]
            try:
                image = decode_photo(images.read(index), name)
            except FacegeoError as error:
                skipped.add(error)
                continue
            rng = np.random.default_rng([seed, crc32(Path(name).name.encode())])
            crops += [background_crop(image, rng) for _ in range(_SQUARES)]
            names.append(name)
        skipped.report(len(names))
        if not names:
            raise CorruptFileError(f"{path}: none of {len(chosen)} held-back photos can be read")
        return cls(np.stack(crops), tuple(names), len(images.names), skipped.count)


def evaluate(
    predictor: FaceGeometry,
    data: Aflw2000,
    backgrounds: Backgrounds,
    source: InputKind = "crops",
) -> dict[str, Any]:
    """The areas under the ROC curves.

    Parameters
    ----------
    source : {"crops", "photos"}
        Faces and shifted faces from the data set's own crops, where a shift brings in black; or cut
        from the photos, where it brings in what is beside the face.

    Returns
    -------
    report : dict
        ``n`` faces; ``roc_area.{backgrounds,shifted,turned}``; ``n_backgrounds`` crops;
        ``held_back`` (``names``, ``of``, ``left_out``); ``median`` presence of the four kinds;
        ``curve``, the ROC curves.

    Raises
    ------
    InvalidInputError
        If the model has no presence output.
    """
    faces, shifted = _faces(data, source)
    scores = {"faces": _presence(predictor, faces)}
    scores["shifted"] = _presence(predictor, shifted)
    scores["turned"] = _presence(predictor, _turned(faces))
    scores["backgrounds"] = _presence(predictor, backgrounds.crops)
    return {
        "n": len(faces),
        "source": source,
        "roc_area": {name: roc_area(scores["faces"], scores[name]) for name in _TARGETS},
        "target": dict(_TARGETS),
        "n_backgrounds": len(backgrounds.crops),
        "held_back": {
            "rule": f"the first of every {HELD_BACK_EVERY} photos by file name",
            "names": list(backgrounds.names),
            "of": backgrounds.of,
            "left_out": backgrounds.left_out,
        },
        "median": {name: float(np.median(values)) for name, values in scores.items()},
        "curve": {
            "x": "part of the negatives taken for faces",
            "y": "part of the faces found",
            "x_max": 1.0,
            "curves": {
                f"against {name}": roc_curve(scores["faces"], scores[name]) for name in _TARGETS
            },
        },
    }


def roc_curve(positive: np.ndarray, negative: np.ndarray) -> dict[str, list[float]]:
    """The ROC curve at each score of a negative, at most 201 of them: ``x`` and ``y``."""
    rows = np.unique(np.linspace(0, len(negative) - 1, 201).round().astype(int))
    thresholds = np.sort(negative)[::-1][rows]
    ordered = np.sort(positive), np.sort(negative)
    y, x = (1 - np.searchsorted(v, thresholds, "left") / len(v) for v in ordered)
    return {"x": [0.0, *x.tolist()], "y": [float((positive > negative.max()).mean()), *y.tolist()]}


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a table."""
    areas, median, held_back = report["roc_area"], report["median"], report["held_back"]
    what = {
        "backgrounds": f"{report['n_backgrounds']} background crops",
        "shifted": "the same, shifted by half a face",
        "turned": "the same, turned by 90, 180 or 270 degrees",
    }
    lines = [f"Presence of {report['n']} faces of AFLW2000-3D ({report['source']})", ""]
    lines += table(
        ["against", "ROC area", "wanted", "median presence"],
        [(what[n], [areas[n], report["target"][n], median[n]]) for n in what],
        digits=4,
    )
    lines += [
        "",
        f"Median presence of the faces: {median['faces']:.4f}. Backgrounds: squares of "
        f"{len(held_back['names'])} of {held_back['of']} photos, which training holds back "
        f"({held_back['rule']}); a few may show people. Photos left out: {held_back['left_out']}.",
        "The papers have no such output, and no figures.",
    ]
    return "\n".join(lines)


def _faces(data: Aflw2000, source: InputKind) -> tuple[np.ndarray, np.ndarray]:
    """Faces, and the same shifted; each ``(N, 120, 120, 3)``."""
    shift = half_a_face(data.original, data.rois)
    if source == "crops":
        faces = data.crops()
        return faces, shifted_crops(faces, shift)
    # The image moves against the region.
    scale = (data.rois[:, 2:] - data.rois[:, :2]) / crop.CROP_SIZE
    moved = data.rois - np.tile(shift * scale, 2)
    pairs = [
        crop.crop_faces(image, np.stack([roi, other]))
        for image, roi, other in zip(data.photos(), data.rois, moved, strict=True)
    ]
    faces, shifted = np.stack(pairs, axis=1)
    return faces, shifted


def _turned(crops: np.ndarray) -> np.ndarray:
    """Each crop turned by 90, 180 or 270 degrees, one after the other."""
    return np.stack([np.rot90(image, 1 + k % 3) for k, image in enumerate(crops)])


def _presence(predictor: FaceGeometry, crops: np.ndarray) -> np.ndarray:
    side = np.array([0, 0, crop.CROP_SIZE, crop.CROP_SIZE], np.float32)
    crops = crop.resized_crops(crops, predictor.crop_size)
    presence = predictor.predict_crops(crops, np.tile(side, (len(crops), 1))).presence
    if np.isnan(presence).any():
        raise InvalidInputError(
            f"model {predictor.card.name!r} has no presence output: expected a network that says "
            "how likely a crop holds a well-placed face, as SynergyNet trained by facegeo does"
        )
    return np.asarray(presence, np.float64)
