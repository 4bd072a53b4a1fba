"""Label files from a teacher and 68 manual points: of AFLW's crops, and of photos with points only.

What :mod:`.recipe` makes of each face is fitted by the face model of the network to come. The files
also say which landmarks are seen, and which a person set; a part is kept for validation by names.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegeo.base.files import replacing
from facegeo.conventions import LANDMARK_REGIONS, NUM_LANDMARKS
from facegeo.evaluation.aflw import AflwCrops
from facegeo.evaluation.measures import box_size, points_21
from facegeo.geometry.axes import Y_FLIP
from facegeo.geometry.crop import find_convention, photo_to_crop
from facegeo.geometry.params import split
from facegeo.morphable import MorphableModel
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import write_labels
from facegeo.training.data.visibility import UNKNOWN
from facegeo.training.labels.correction import (
    FitAccuracy,
    FittedLabels,
    ManualPoints,
    convention_offsets,
    corrected_params,
    fitted_labels,
)
from facegeo.training.labels.manual import Manual68, PointFaces, jpeg, read_merl_rav
from facegeo.training.labels.recipe import (
    CorrectedFaces,
    Recipe,
    TeacherFaces,
    corrected_faces,
    point_weights,
)
from facegeo.training.labels.teacher import Taught, Teacher, taught_params
from facegeo.training.labels.visibility import derived_visibility

_EXACT: Final = find_convention("exact")

#: A face is left out where its landmarks miss the manual points by more than this part of the
#: face's size on average, or where the fitted model misses the landmarks by more.
_WORST_MANUAL, _WORST_FIT = 0.06, 0.08
#: Faces with fewer points have only the teacher's word.
_LEAST_POINTS = 4


def fit_accuracy() -> FitAccuracy:
    """Accuracy of the fits: lids and lips close where people set them closed.

    With noise of 1.5 mm the fitted faces vary as much as the model says that people do: the root
    mean square of their shapes is 1.07 standard deviations.
    """
    weights = np.ones(NUM_LANDMARKS)
    for region, weight in (
        ("right_eye", 16),
        ("left_eye", 16),
        ("outer_lips", 2),
        ("inner_lips", 4),
    ):
        weights[list(LANDMARK_REGIONS[region])] = weight
    return FitAccuracy(noise_mm=1.5, weights=weights, rounds=2)


@dataclass(frozen=True, eq=False)
class PointLabels:
    """Labels of N faces, good and bad.

    Attributes
    ----------
    fitted : FittedLabels
    visibility : (N, 68) uint8
    manual : Manual68
    bad : dict of str to (N,) bool
        Faces to leave out, by the reason.
    """

    fitted: FittedLabels
    visibility: np.ndarray
    manual: Manual68
    bad: dict[str, np.ndarray]

    @property
    def good(self) -> np.ndarray:
        """(N,) bool: nothing is wrong with the face."""
        return ~np.any(list(self.bad.values()), axis=0)

    def write(
        self, path: str | Path, names: Sequence[str], chosen: np.ndarray, model: MorphableModel
    ) -> None:
        """Write some faces as :func:`facegeo.training.data.datasets.read_labelled` reads them.

        The labels lie where the photo shows the points, so their offset is 0.
        """
        write_labels(
            path,
            np.array(names)[chosen],
            self.fitted.params[chosen],
            self.fitted.landmarks[chosen],
            model.name,
            visibility=self.visibility[chosen],
            manual=self.manual.is_set[chosen],
            manual_points=self.manual.points[chosen],
        )


def label_aflw_with_points(
    folder: str | Path,
    teacher: Teacher,
    model: MorphableModel,
    merl_rav: str | Path,
    out: str | Path,
    *,
    validation: str | Path | None = None,
    views: int = 8,
    recipe: Recipe | None = None,
) -> dict[str, Any]:
    """Label files of AFLW's crops, by their 21 points and MERL-RAV's 68.

    Parameters
    ----------
    folder : path
        As :class:`AflwCrops` reads it.
    teacher : Teacher
    model : MorphableModel
        The face model of the network to come.
    merl_rav : path
        As :func:`facegeo.training.labels.manual.read_merl_rav` reads it.
    out : path
        Labels to train on: none of the validation part, whether that is written or not.
    validation : path, optional
        Label file of the faces that nothing is trained on.
    views : int
        Views of each crop over which the teacher's parameters are averaged.
    recipe : Recipe, optional

    Returns
    -------
    report : dict
        How many faces were kept, and left out for which reason; residuals; the calibration.
    """
    recipe = recipe or Recipe()
    data = AflwCrops.open(folder)
    names = list(data.pictures.names)
    merl = read_merl_rav(merl_rav, names, data.rois)
    taught = taught_params(teacher, data.crop, len(data), str(data.folder), views=views)
    faces = TeacherFaces(taught.params, teacher.rows, taught.drift)
    manual_21 = _aflw_points(data, faces)
    training = taught.readable & ~merl.validation
    offsets = _offsets(faces, manual_21, training)
    corrected = corrected_faces(faces, merl.manual, manual_21, offsets, recipe)
    labels = _labels(taught, faces, corrected, merl.manual, model, recipe)
    few = data.visible.sum(axis=1) < _LEAST_POINTS
    labels.bad["few_points"] = few
    labels.bad["points_of_aflw_missed"] = ~few & (
        _error_21(faces, corrected, manual_21, offsets) > _WORST_MANUAL
    )
    kept = labels.good & ~merl.validation
    labels.write(out, names, kept, model)
    aside = labels.good & merl.validation & merl.recommended
    if validation is not None:
        labels.write(validation, names, aside, model)
    return _report(labels, kept, aside, taught, recipe) | {
        "kept_with_68_points": int((kept & merl.recommended).sum()),
        "offsets": offsets.tolist(),
    }


def label_points(
    folder: str | Path,
    teacher: Teacher,
    model: MorphableModel,
    out: str | Path,
    pictures: str | Path,
    *,
    validation: str | Path | None = None,
    large: tuple[str | Path, int] | None = None,
    views: int = 8,
    recipe: Recipe | None = None,
) -> dict[str, Any]:
    """Label files of photos with 68 manual points, and the crops they are of.

    Parameters
    ----------
    folder : path
        As :class:`facegeo.training.labels.manual.PointFaces` reads it.
    pictures : path
        Tar archive to write: the crops of all faces that are kept, those for validation too.
    large : (path, int), optional
        Another archive of the same regions, and the side of its crops in pixels.
    teacher, model, out, validation, views, recipe
        As for :func:`label_aflw_with_points`.

    Returns
    -------
    report : dict
    """
    recipe = recipe or Recipe()
    data = PointFaces.open(folder)
    names = list(data.pictures.names)
    manual = data.manual()
    taught = taught_params(teacher, data.crop, len(data), str(folder), views=views)
    faces = TeacherFaces(taught.params, teacher.rows, taught.drift)
    corrected = corrected_faces(faces, manual, recipe=recipe)
    labels = _labels(taught, faces, corrected, manual, model, recipe)
    kept, aside = labels.good & ~data.validation, labels.good & data.validation
    labels.write(out, names, kept, model)
    if validation is not None:
        labels.write(validation, names, aside, model)
    _write_crops(pictures, data, kept | aside)
    if large is not None:
        _write_crops(large[0], data, kept | aside, size=large[1])
    return _report(labels, kept, aside, taught, recipe)


def _labels(
    taught: Taught,
    faces: TeacherFaces,
    corrected: CorrectedFaces,
    manual: Manual68,
    model: MorphableModel,
    recipe: Recipe,
) -> PointLabels:
    fitted = fitted_labels(
        model, corrected.landmarks, corrected.rotation, _EXACT, accuracy=fit_accuracy()
    )
    visibility = manual.state.copy()
    unknown = (visibility == UNKNOWN).all(axis=1)
    derived = derived_visibility(model, CoarseFace(model, _EXACT), fitted.params[unknown])
    visibility[unknown] = derived
    weights = point_weights(manual, recipe)
    way = np.linalg.norm(np.nan_to_num(manual.points - corrected.landmarks[..., :2]), axis=2)
    missed = (way * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    size = box_size(corrected.landmarks[..., :2])
    return PointLabels(
        fitted,
        visibility,
        manual,
        {
            "unreadable": ~taught.readable,
            "points_missed": missed / size > _WORST_MANUAL,
            "badly_fitted": fitted.residual > _WORST_FIT,
        },
    )


def _aflw_points(data: AflwCrops, faces: TeacherFaces) -> ManualPoints:
    """AFLW's points in the teacher's crop pixels.

    In 3DDFA's files they count from 0 in x: where corners of eyes and mouth and their mirror points
    lie shows it to 0.2 photo pixels. What they are off in y is part of each point's offset.
    """
    lifted = np.concatenate([data.points, np.zeros_like(data.points[..., :1])], axis=2)
    exact = photo_to_crop(lifted, data.rois, _EXACT)[..., :2].astype(np.float64)
    return ManualPoints(faces.targets(exact), data.visible)


def _offsets(faces: TeacherFaces, manual: ManualPoints, chosen: np.ndarray) -> np.ndarray:
    some = ManualPoints(manual.points[chosen], manual.visible[chosen])
    first = corrected_params(faces.params[chosen], faces.rows, some)
    return convention_offsets(first, faces.rows, some)


def _error_21(
    faces: TeacherFaces, corrected: CorrectedFaces, manual: ManualPoints, offsets: np.ndarray
) -> np.ndarray:
    """Mean distance of AFLW's visible points, as a part of the face's size; ``(N,)``."""
    affine = split(corrected.params).pose[:, :2, :3] * Y_FLIP[:2, None]
    landmarks = faces.rows.landmarks(corrected.params)
    placed = points_21(landmarks)[..., :2] + np.einsum("nij,kj->nki", affine, offsets)
    distance = np.linalg.norm(placed - manual.points, axis=2) * manual.visible
    mean = distance.sum(axis=1) / np.maximum(manual.visible.sum(axis=1), 1)
    return np.asarray(mean / box_size(landmarks[..., :2]))


def _write_crops(path: str | Path, data: PointFaces, chosen: np.ndarray, **options: int) -> None:
    with replacing(path) as temporary, tarfile.open(temporary, "w") as archive:
        for index in np.flatnonzero(chosen).tolist():
            content = jpeg(data.crop(index, **options))
            member = tarfile.TarInfo(data.pictures.names[index])
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _report(
    labels: PointLabels, kept: np.ndarray, aside: np.ndarray, taught: Taught, recipe: Recipe
) -> dict[str, Any]:
    calibration = labels.fitted.calibration
    turn = np.degrees(np.arccos(np.clip((np.trace(calibration) - 1) / 2, -1, 1)))
    return {
        "faces": len(kept),
        "kept": int(kept.sum()),
        "validation": int(aside.sum()),
        "left_out": {name: int(bad.sum()) for name, bad in labels.bad.items()},
        "fit_residual_median": float(np.median(labels.fitted.residual[kept])),
        "overshoot_deg": recipe.yaw_bias_deg,
        "calibration_deg": float(turn),
        "calibration": calibration.tolist(),
        "drift_px": taught.drift,
    }
