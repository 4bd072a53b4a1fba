"""A network in training, measured on faces with manual points that nothing is trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facegeo.errors import CorruptFileError
from facegeo.evaluation.measures import (
    YAW_BINS,
    box_size,
    by_yaw,
    eye_aspect_ratio,
    roc_area,
    visible_error,
    within_ellipse,
)
from facegeo.geometry.crop import CROP_SIZE
from facegeo.images.collections import decoded
from facegeo.networks.synergy.network import SynergyNet
from facegeo.training.data.datasets import LabelledFaces, read_labelled
from facegeo.training.data.variants import yaws_deg
from facegeo.training.data.visibility import SEEN, UNKNOWN
from facegeo.training.landmarks.measure import predict

_log = logging.getLogger(__name__)

#: Both eyes show their opening up to this yaw, degrees.
_FRONTAL_DEG = 25.0


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Faces that choose networks, stages and thresholds.

    Attributes
    ----------
    faces : LabelledFaces
        With manual points.
    crops : (N, 120, 120, 3) uint8
    offset_px : (float, float)
        By which the labels that the network learnt from are moved against the image.
    """

    faces: LabelledFaces
    crops: np.ndarray
    offset_px: tuple[float, float]

    @classmethod
    def open(
        cls, labels: str | Path, images: str | Path, offset_px: tuple[float, float]
    ) -> ValidationSet:
        """Read labels and crops of the faces that have manual points.

        Raises
        ------
        CorruptFileError
            If none has.
        """
        faces = read_labelled(labels, images)
        points = faces.manual_points
        known = np.zeros(0, np.intp)
        if points is not None:
            known = np.flatnonzero(np.isfinite(points).all(axis=2).any(axis=1))
        if len(known) == 0:
            raise CorruptFileError(
                f"data.validation: {labels}: expected manual points to validate with, as "
                "`facegeo label aflw` and `points` write them with --validation"
            )
        if len(known) < len(faces):
            _log.warning("%s: %d faces without points left out", labels, len(faces) - len(known))
            faces = faces.some(known)
        return cls(faces, np.stack(list(decoded(faces.pictures, range(len(faces))))), offset_px)

    def measure(
        self, network: SynergyNet, device: torch.device, size: int = CROP_SIZE
    ) -> dict[str, float]:
        """Errors of a network in evaluation mode.

        Returns
        -------
        dict of str to float
            ``nme``, in percent of sqrt(width x height) of the labels' box, as the mean of the
            ranges of yaw that have faces, and ``nme_0-30`` and so on; ``eyes``, the correlation of
            eye aspect ratios of faces that look ahead; and where the network tells them
            ``visibility_auc`` and ``within_90``, the part of the points in their 90 % ellipse.
        """
        faces = self.faces
        outputs = predict(network, self.crops, device, size)
        points = outputs["landmarks"][..., :2] - np.asarray(self.offset_px, np.float32)
        truth = np.asarray(faces.manual_points)
        is_set = np.isfinite(truth).all(axis=2)
        placed = np.where(is_set[..., None], truth, 0)
        errors = visible_error(points, placed, is_set, box_size(faces.landmarks[..., :2]))
        yaw_deg = yaws_deg(faces.params)
        means = {
            f"nme_{name}": value
            for name, value in by_yaw(errors, yaw_deg).items()
            if name in YAW_BINS and np.isfinite(value)
        }
        report = {"nme": float(np.mean(list(means.values())))} | means
        ahead = (np.abs(yaw_deg) < _FRONTAL_DEG) & is_set[:, 36:48].all(axis=1)
        if ahead.sum() > 2:
            ratios = [eye_aspect_ratio(p[ahead]).mean(axis=1) for p in (points, placed)]
            # Eyes that never change tell nothing.
            is_moved = min(np.ptp(ratio) for ratio in ratios) > 1e-9
            report["eyes"] = float(np.corrcoef(*ratios)[0, 1]) if is_moved else 0.0
        states = faces.visibility
        if "visibility" in outputs and states is not None:
            seen = outputs["visibility"][states == SEEN]
            hidden = outputs["visibility"][(states != SEEN) & (states != UNKNOWN)]
            if len(seen) and len(hidden):
                report["visibility_auc"] = roc_area(seen, hidden)
        if "covariance" in outputs:
            inside = within_ellipse((points - placed)[is_set], outputs["covariance"][is_set])
            report["within_90"] = float(inside.mean())
        return report


def open_validation(
    labels: Sequence[str], images: Sequence[str], offset_px: tuple[float, float]
) -> dict[str, ValidationSet]:
    """Several sets, each by the name that its figures have in the record: ``validation/FILE``.

    Files of one name are told apart by their folders.
    """
    names = [Path(path).with_suffix("") for path in labels]
    stems = [name.name for name in names]
    short = len(set(stems)) == len(stems)
    return {
        f"validation/{name.name if short else name.as_posix()}": ValidationSet.open(
            path, crops, offset_px
        )
        for name, path, crops in zip(names, labels, images, strict=True)
    }
