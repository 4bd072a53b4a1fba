"""AFLW, the full set with 21 points: SynergyNet's Table 5.

Köstinger et al. 2011; the crops, points and yaw angles are those that 3DDFA made of it. The mean
distance of the visible points is divided by sqrt(width x height) of the box around 68 annotated
points where the data have them, else around the prediction's own 68.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeo.base.arrays import describe
from facegeo.base.npz import load_npy, load_npz
from facegeo.errors import CorruptFileError, FacegeoError, UnreadableFileError
from facegeo.evaluation import published
from facegeo.evaluation.measures import (
    YAW_BINS,
    box_size,
    by_yaw,
    in_range,
    points_21,
    spread_of_bins,
    visible_error,
)
from facegeo.evaluation.report import error_curves, published_rows, table
from facegeo.geometry.crop import CROP_SIZE, resized_crops
from facegeo.images import decode_photo
from facegeo.images.collections import FolderImages, ImageCollection, Skipped, TarImages
from facegeo.predictor import FaceGeometry

#: Faces that are read together; bounds memory, not results.
_CHUNK = 512

#: 3DDFA's names.
_LIST, _PICTURES = "AFLW_GT_crop.list", "AFLW_GT_crop"
_ROIS, _YAWS = "AFLW_GT_crop_roi_box.npy", "AFLW_GT_crop_yaws.npy"
_POINTS21, _POINTS68 = "AFLW_GT_pts21.npy", "AFLW_GT_pts68.npy"


@dataclass(frozen=True, eq=False)
class AflwCrops:
    """AFLW's faces as crops, with their annotations.

    Attributes
    ----------
    folder : Path
    pictures : ImageCollection
        120 x 120 crops.
    points : (N, 21, 2) float32
        Photo pixels.
    visible : (N, 21) bool
    rois : (N, 4) float32
        ``xyxy`` of the crops in the photos.
    yaw_deg : (N,) float64
    sizes : (N,) float64 or None
        sqrt(width x height) of the box around 68 annotated points, photo pixels; None where the
        data have no such points.
    """

    folder: Path
    pictures: ImageCollection
    points: np.ndarray
    visible: np.ndarray
    rois: np.ndarray
    yaw_deg: np.ndarray
    sizes: np.ndarray | None = None

    @classmethod
    def open(cls, folder: str | Path) -> AflwCrops:
        """Read the annotations of a folder in one of two layouts.

        Parameters
        ----------
        folder : path
            With ``crops.tar`` and ``annotations.npz`` (``names``, ``pts21``, ``roi_box``,
            ``yaw_deg``); or 3DDFA's ``test.data`` and ``test.configs``, or a folder above them:
            ``AFLW_GT_crop.list``, ``AFLW_GT_crop/``, ``AFLW_GT_crop_roi_box.npy``,
            ``AFLW_GT_crop_yaws.npy``, ``AFLW_GT_pts21.npy`` and, if it is there,
            ``AFLW_GT_pts68.npy``.

        Raises
        ------
        UnreadableFileError, CorruptFileError
            The message names the file, and the array whose shape is wrong.
        """
        folder = Path(folder)
        if (folder / "annotations.npz").is_file():
            return cls._from_archive(folder)
        if folder.is_dir() and any(folder.rglob(_LIST)):
            return cls._from_3ddfa(folder)
        raise UnreadableFileError(
            f"{folder}: expected annotations.npz and crops.tar, or 3DDFA's {_LIST} with "
            f"{_PICTURES}/ and the arrays of test.configs; found neither"
        )

    @classmethod
    def _from_archive(cls, folder: Path) -> AflwCrops:
        path = folder / "annotations.npz"
        keys = ("names", "pts21", "roi_box", "yaw_deg")
        names, points, rois, yaw = load_npz(path, keys).values()
        images = TarImages(folder / "crops.tar", [str(name) for name in names.ravel()])
        return cls._checked(path, images, points, rois, yaw)

    @classmethod
    def _from_3ddfa(cls, folder: Path) -> AflwCrops:
        listed = _the_only(folder, _LIST)
        try:
            names = listed.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise CorruptFileError(f"{listed}: {error}") from error
        points, rois, yaw = (_array(_the_only(folder, n)) for n in (_POINTS21, _ROIS, _YAWS))
        images = FolderImages(_the_only(folder, _PICTURES), names)
        points68 = _array(_the_only(folder, _POINTS68)) if any(folder.rglob(_POINTS68)) else None
        return cls._checked(listed, images, points, rois, yaw, points68)

    @classmethod
    def _checked(
        cls,
        path: Path,
        images: ImageCollection,
        points: np.ndarray,
        rois: np.ndarray,
        yaw: np.ndarray,
        points68: np.ndarray | None = None,
    ) -> AflwCrops:
        count = len(images.names)
        for what, array, wanted in (
            ("the 21 points", points, (count, 2, 21)),
            ("the ROI boxes", rois, (count, 4)),
            ("the yaw angles", yaw, (count,)),
        ):
            if array.shape != wanted:
                raise CorruptFileError(f"{path}: {what} have shape {array.shape}, not {wanted}")
            if array.dtype.kind not in "fiu":
                raise CorruptFileError(f"{path}: {what} are {describe(array)}, not numbers")
        sizes = None
        if points68 is not None:
            if points68.shape not in ((count, 2, 68), (count, 3, 68)):
                raise CorruptFileError(
                    f"{path}: the 68 points have shape {points68.shape}, not ({count}, 2, 68) "
                    f"or ({count}, 3, 68)"
                )
            sizes = box_size(points68[:, :2].transpose(0, 2, 1))
        points = points.astype(np.float32).transpose(0, 2, 1)
        # Boxes may be small unsigned numbers: their differences would wrap around.
        return cls(
            path.parent,
            images,
            points,
            points[..., 0] != -1,
            rois.astype(np.float32),
            yaw.astype(np.float64),
            sizes,
        )

    def __len__(self) -> int:
        return len(self.rois)

    def crop(self, index: int) -> np.ndarray:
        """The pixels of one crop. Raises UnreadableFileError, CorruptFileError."""
        return decode_photo(self.pictures.read(index), self.pictures.names[index])


def evaluate(predictor: FaceGeometry, data: AflwCrops) -> dict[str, Any]:
    """The protocol's figures.

    Faces that cannot be used (crop missing or damaged, no visible point, numbers that are none) are
    named, left out and counted.

    Returns
    -------
    report : dict
        ``n``; ``left_out``; ``normalised_by``; ``n_by_range``;
        ``nme_percent.{0-30,30-60,60-90,mean_of_bins,std_of_bins}``; ``curve``.
    """
    skipped = Skipped(str(data.folder))
    parts, used = [], []
    for indices, crops in _chunks(data, skipped):
        crops = resized_crops(crops, predictor.crop_size)
        landmarks = predictor.predict_crops(crops, data.rois[indices]).landmarks[..., :2]
        size = box_size(landmarks) if data.sizes is None else data.sizes[indices]
        predicted = points_21(landmarks)
        truth, visible = data.points[indices], data.visible[indices]
        parts.append(visible_error(predicted, truth, visible, size))
        used.append(indices)
    skipped.report(len(data) - skipped.count)
    if not parts:
        raise CorruptFileError(f"{data.folder}: none of {len(data)} faces can be used")
    errors, yaw = np.concatenate(parts), data.yaw_deg[np.concatenate(used)]
    nme = by_yaw(errors, yaw)
    ranges = {f"yaw {name}": errors[in_range(yaw, name)] for name in YAW_BINS}
    return {
        "n": len(errors),
        "left_out": skipped.count,
        "normalised_by": "predicted" if data.sizes is None else "annotated",
        "n_by_range": {name: int(in_range(yaw, name).sum()) for name in YAW_BINS},
        "nme_percent": nme | {"std_of_bins": spread_of_bins(nme)},
        "curve": error_curves(ranges | {"all": errors}, 15.0, "NME in percent, 21 points"),
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, beside the rows of the paper."""
    nme, counts = report["nme_percent"], report["n_by_range"]
    lines = [f"AFLW, {report['n']} faces, 21 points, NME in percent", ""]
    columns = [*YAW_BINS, "mean_of_bins", "std_of_bins"]
    lines += table(
        ["", *YAW_BINS, "mean of bins", "std of bins"],
        [
            ("faces", [*(counts[b] for b in YAW_BINS), float("nan"), float("nan")]),
            ("this model", [nme[c] for c in columns]),
        ],
    )
    spread = {name: (*row, float(np.std(row[:3]))) for name, row in published.AFLW21.items()}
    lines += published_rows(spread)
    box = {
        "annotated": "68 annotated points, as in the paper",
        "predicted": "the model's own 68 points: the data have no 68 annotated ones, so the rows "
        "of the paper are comparable only roughly",
    }[report["normalised_by"]]
    lines += [
        "",
        f"Divided by sqrt(width x height) of the box around {box}.",
        f"Rows with the name of a method: {published.AFLW21_SOURCE}; their std is computed from "
        "the printed means.",
        f"Faces left out: {report['left_out']}.",
    ]
    return "\n".join(lines)


def _chunks(data: AflwCrops, skipped: Skipped) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in tqdm(range(0, len(data), _CHUNK), desc="AFLW", disable=None):
        indices, crops = [], []
        for index in range(start, min(start + _CHUNK, len(data))):
            try:
                crops.append(_face(data, index))
            except FacegeoError as error:
                skipped.add(error)
            else:
                indices.append(index)
        if indices:
            yield np.array(indices), np.stack(crops)


def _face(data: AflwCrops, index: int) -> np.ndarray:
    """The crop of a face whose annotation can be used."""
    name = data.pictures.names[index]
    visible = data.visible[index]
    left, top, right, bottom = data.rois[index]
    if not visible.any():
        raise CorruptFileError(f"{name}: none of its 21 points is visible")
    if not np.isfinite(data.points[index][visible]).all():
        raise CorruptFileError(f"{name}: its 21 points are not finite")
    if not np.isfinite(data.yaw_deg[index]):
        raise CorruptFileError(f"{name}: its yaw angle is not finite")
    if not (right > left and bottom > top):
        raise CorruptFileError(f"{name}: its ROI box is empty")
    if data.sizes is not None and not 0 < data.sizes[index] < np.inf:
        raise CorruptFileError(f"{name}: the box around its 68 points is empty")
    crop = data.crop(index)
    if crop.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise CorruptFileError(f"{name}: expected a crop of side {CROP_SIZE}, got {crop.shape[:2]}")
    return crop


def _the_only(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise UnreadableFileError(f"{folder}: expected one {name} below it, found {len(found)}")
    return found[0]


def _array(path: Path) -> np.ndarray:
    array = load_npy(path)
    if array.dtype.kind not in "fiu":
        raise CorruptFileError(f"{path}: not an array of numbers")
    return array
