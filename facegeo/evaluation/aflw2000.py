"""AFLW2000-3D: landmarks against two annotations, and head orientation.

Zhu et al. 2016 (original points), Bulat and Tzimiropoulos 2017 (reannotated points); orientation as
in SynergyNet, Table 8. For evaluation only: nothing is trained on these photos.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facegeo.base.arrays import describe
from facegeo.base.matlab import load_matlab
from facegeo.base.npz import load_npz
from facegeo.errors import CorruptFileError, FacegeoError, UnreadableFileError
from facegeo.evaluation import published
from facegeo.evaluation.measures import YAW_BINS, by_yaw, normalised_mean_error, pose_errors
from facegeo.evaluation.report import error_curves, published_rows, table
from facegeo.geometry import crop, pose
from facegeo.geometry.params import split
from facegeo.images.collections import Skipped, TarImages, decoded
from facegeo.predictor import FaceGeometry
from facegeo.results import FaceBatch

InputKind = Literal["crops", "photos"]

_ARRAYS = {
    "names": ("N",),
    "pts68_original": ("N", 3, 68),
    "pts68_reannotated": ("N", 2, 68),
    "roi_box": ("N", 4),
    "yaw_deg": ("N",),
}


@dataclass(frozen=True, eq=False)
class Aflw2000:
    """The annotations of a folder laid out as ``annotations.npz``, ``crops.tar``, ``images.tar``.

    Attributes
    ----------
    folder : Path
    names : tuple of str
        File names in the archives.
    original, reannotated : (N, 68, 2) float64
        Photo pixels, as annotated (1-based, like the crops' ROI boxes).
    rois : (N, 4) float32
        ``xyxy`` of the crops in the photos.
    yaw_deg : (N,) float64
        For the ranges of the tables.
    """

    folder: Path
    names: tuple[str, ...]
    original: np.ndarray
    reannotated: np.ndarray
    rois: np.ndarray
    yaw_deg: np.ndarray

    @classmethod
    def open(cls, folder: str | Path) -> Aflw2000:
        """Read the annotations. Raises UnreadableFileError, CorruptFileError."""
        folder = Path(folder)
        path = folder / "annotations.npz"
        if not path.is_file():
            raise UnreadableFileError(
                f"{path}: no such file; the data folder holds annotations.npz, "
                "crops.tar and images.tar"
            )
        arrays = load_npz(path, tuple(_ARRAYS))
        count = arrays["names"].size
        for key, shape in _ARRAYS.items():
            wanted = (count, *shape[1:])
            if arrays[key].shape != wanted:
                raise CorruptFileError(f"{path}: {key} has shape {arrays[key].shape}, not {wanted}")
            if key != "names" and arrays[key].dtype.kind not in "fiu":
                raise CorruptFileError(f"{path}: {key} is {describe(arrays[key])}, not numbers")
        return cls(
            folder,
            tuple(map(str, arrays["names"])),
            arrays["pts68_original"][:, :2].transpose(0, 2, 1).astype(np.float64),
            arrays["pts68_reannotated"].transpose(0, 2, 1).astype(np.float64),
            arrays["roi_box"].astype(np.float32),
            arrays["yaw_deg"].astype(np.float64),
        )

    def __len__(self) -> int:
        return len(self.names)

    def crops(self) -> np.ndarray:
        """The 120x120 crops of the data set, ``(N, 120, 120, 3)`` uint8 BGR."""
        crops = TarImages(self.folder / "crops.tar", self.names)
        return np.stack(list(decoded(crops, range(len(self)))))

    def photos(self) -> Iterator[np.ndarray]:
        """The photos, in order, BGR."""
        images = TarImages(self.folder / "images.tar", self.names)
        yield from decoded(images, range(len(self)))

    def annotations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and content of the ``.mat`` of each photo, in order. Raises CorruptFileError."""
        files = self._annotation_files()
        for index, name in enumerate(files.names):
            yield name, _content(files, index)

    def poses_deg(self) -> np.ndarray:
        """(N, 3) float64: annotated yaw, pitch, roll. Raises CorruptFileError."""
        files = self._annotation_files()
        return np.array([_angles(files, index) for index in range(len(self))])

    def readable(
        self, source: InputKind, skipped: Skipped, size: int = crop.CROP_SIZE
    ) -> tuple[Aflw2000, np.ndarray, np.ndarray]:
        """The faces that can be used; the others are named by ``skipped``.

        Returns
        -------
        data : Aflw2000
            Those faces only.
        crops : (N, size, size, 3) uint8
            BGR, the data set's own (of side 120, made smaller) or cut from the photos.
        poses_deg : (N, 3) float64
            Annotated yaw, pitch, roll.

        Raises
        ------
        UnreadableFileError, CorruptFileError
            If an archive is missing or damaged as a whole, or no face can be used.
        """
        archive = {"crops": "crops.tar", "photos": "images.tar"}[source]
        images = TarImages(self.folder / archive, self.names)
        files = self._annotation_files()
        used, crops, angles = [], [], []
        for index, name in enumerate(self.names):
            try:
                self._require_numbers(index)
                angle = _angles(files, index)
                (image,) = decoded(images, [index])
                if source == "photos":
                    (image,) = crop.crop_faces(image, self.rois[index : index + 1], size)
                elif image.shape != (crop.CROP_SIZE, crop.CROP_SIZE, 3):
                    raise CorruptFileError(
                        f"{images.path}: {name} is {image.shape[1]}x{image.shape[0]}, "
                        f"expected {crop.CROP_SIZE}x{crop.CROP_SIZE}"
                    )
                else:
                    (image,) = crop.resized_crops(image[None], size)
            except FacegeoError as error:
                skipped.add(error)
                continue
            used.append(index)
            crops.append(image)
            angles.append(angle)
        skipped.report(len(used))
        if not used:
            raise CorruptFileError(f"{self.folder}: none of {len(self)} faces can be used")
        return self._chosen(np.array(used)), np.stack(crops), np.array(angles)

    def _annotation_files(self) -> TarImages:
        names = [f"{Path(name).stem}.mat" for name in self.names]
        return TarImages(self.folder / "images.tar", names)

    def _require_numbers(self, index: int) -> None:
        arrays = (self.original, self.reannotated, self.rois, self.yaw_deg)
        if not all(np.isfinite(array[index]).all() for array in arrays):
            raise CorruptFileError(
                f"{self.names[index]}: annotations.npz has what is no number in its row {index}"
            )

    def _chosen(self, rows: np.ndarray) -> Aflw2000:
        arrays = (self.original, self.reannotated, self.rois, self.yaw_deg)
        names = tuple(self.names[row] for row in rows)
        return Aflw2000(self.folder, names, *(array[rows] for array in arrays))


def predict(predictor: FaceGeometry, data: Aflw2000, source: InputKind = "crops") -> FaceBatch:
    """Run the network on every face: the data set's crops, or cropped afresh from the photos."""
    if source == "crops":
        crops = crop.resized_crops(data.crops(), predictor.crop_size)
    else:
        cut = [
            crop.crop_faces(image, roi[None], predictor.crop_size)
            for image, roi in zip(data.photos(), data.rois, strict=True)
        ]
        crops = np.concatenate(cut)
    return predictor.predict_crops(crops, data.rois)


def evaluate(
    predictor: FaceGeometry, data: Aflw2000, source: InputKind = "crops"
) -> dict[str, Any]:
    """The protocol's figures.

    Faces that cannot be used (image or annotation missing or damaged) are named, left out and
    counted.

    Returns
    -------
    report : dict
        ``n``; ``left_out``; ``nme_percent.{original,reannotated}.{0-30,30-60,60-90,mean_of_bins}``;
        ``pose_mae_deg.{n,yaw,pitch,roll,mean}`` by the literal upstream formula, which published
        tables use; ``pose_mae_deg_exact`` by the angles that facegeo returns; ``curve``, the
        cumulative errors of both annotations.
    """
    skipped = Skipped(str(data.folder))
    data, crops, truth = data.readable(source, skipped, predictor.crop_size)
    batch = predictor.predict_crops(crops, data.rois)
    points = batch.landmarks[:, :, :2]
    errors = {
        "original": normalised_mean_error(points, data.original),
        "reannotated": normalised_mean_error(points, data.reannotated),
    }
    return {
        "n": len(data),
        "left_out": skipped.count,
        "nme_percent": {name: by_yaw(values, data.yaw_deg) for name, values in errors.items()},
        "pose_mae_deg": pose_errors(pose.upstream_euler(split(batch.params).pose), truth),
        "pose_mae_deg_exact": pose_errors(batch.angles_deg, truth),
        "curve": error_curves(errors, 10.0, "NME in percent, 68 points"),
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as tables, beside the rows of the papers."""
    bins = [*YAW_BINS, "mean_of_bins"]
    nme = report["nme_percent"]
    lines = [f"AFLW2000-3D, {report['n']} photos, NME in percent", ""]
    lines += table(
        ["points", *YAW_BINS, "mean of bins"],
        [(name, [values[b] for b in bins]) for name, values in nme.items()],
    )
    lines += published_rows(published.AFLW2000_ORIGINAL, "original: ")
    lines += published_rows(published.AFLW2000_REANNOTATED, "reannotated: ")
    axes = ("n", "yaw", "pitch", "roll", "mean")
    rows = (
        ("published protocol", report["pose_mae_deg"]),
        ("angles that facegeo returns", report["pose_mae_deg_exact"]),
    )
    lines += ["", "Orientation, mean absolute error in degrees", ""]
    lines += table(["", *axes], [(name, [v[a] for a in axes]) for name, v in rows])
    papers = {name: (float("nan"), *v) for name, v in published.AFLW2000_POSE.items()}
    lines += published_rows(papers)
    sources = (
        published.AFLW2000_ORIGINAL_SOURCE,
        published.AFLW2000_REANNOTATED_SOURCE,
        published.AFLW2000_POSE_SOURCE,
    )
    if report.get("left_out"):  # earlier reports do not count them
        lines += ["", f"Photos left out because they could not be used: {report['left_out']}."]
    lines += ["", f"Rows with the name of a method: {', '.join(sources)}; all 2000 photos."]
    return "\n".join(lines)


def _content(files: TarImages, index: int) -> dict[str, Any]:
    """An annotation file. Raises UnreadableFileError, CorruptFileError."""
    return load_matlab(io.BytesIO(files.read(index)), f"{files.path}: {files.names[index]}")


def _angles(files: TarImages, index: int) -> np.ndarray:
    """(3,) float64: annotated yaw, pitch, roll in degrees."""
    content = _content(files, index)
    try:
        pitch, yaw, roll = np.asarray(content["Pose_Para"][0, :3], np.float64)
    except (KeyError, ValueError, IndexError) as error:
        raise CorruptFileError(
            f"{files.path}: {files.names[index]} has no usable Pose_Para ({error})"
        ) from error
    angles = np.degrees([yaw, pitch, roll])
    if not np.isfinite(angles).all():
        raise CorruptFileError(f"{files.path}: {files.names[index]}: its Pose_Para is {angles}")
    return angles
