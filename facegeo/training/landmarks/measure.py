"""A network in training, measured as ``facegeo eval`` measures what ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegeo.errors import TrainingError
from facegeo.evaluation.aflw2000 import Aflw2000
from facegeo.evaluation.measures import by_yaw, normalised_mean_error, pose_errors, roc_area
from facegeo.geometry import pose
from facegeo.geometry.crop import CROP_SIZE, crop_to_photo, resized_crops
from facegeo.geometry.params import split
from facegeo.images.collections import decoded
from facegeo.networks.synergy.network import SynergyNet
from facegeo.synthetic.negatives import half_a_face, shifted_crops
from facegeo.training.data.datasets import LabelledFaces
from facegeo.training.data.variants import CONVENTION

_BATCH = 125

#: Faces that are measured at most.
_MOST_HELD_BACK = 1000


@dataclass(frozen=True, eq=False)
class DevSet:
    """AFLW2000-3D photos that choose the model; nothing is trained on them."""

    data: Aflw2000
    crops: np.ndarray
    angles_deg: np.ndarray

    @classmethod
    def open(cls, folder: str | Path) -> DevSet:
        """Read the annotations and the data set's own crops."""
        data = Aflw2000.open(folder)
        return cls(data, data.crops(), data.poses_deg())

    def measure(
        self, network: SynergyNet, device: torch.device, size: int = CROP_SIZE
    ) -> dict[str, Any]:
        """Mean NME of both annotations and orientation error of a network in evaluation mode.

        ``size`` is the side of the crops that it sees.
        """
        outputs = predict(network, self.crops, device, size)
        points = {"refined": outputs["landmarks"]}
        points["coarse"] = outputs.get("coarse_landmarks", outputs["landmarks"])
        report: dict[str, Any] = {}
        for kind, values in points.items():
            image = crop_to_photo(values, self.data.rois, CONVENTION)[..., :2]
            for name, truth in (
                ("original", self.data.original),
                ("reannotated", self.data.reannotated),
            ):
                bins = by_yaw(normalised_mean_error(image, truth), self.data.yaw_deg)
                report[f"nme_{name}_{kind}"] = bins["mean_of_bins"]
        angles = pose.upstream_euler(split(outputs["params"]).pose)
        report["pose_mae_deg"] = pose_errors(angles, self.angles_deg)["mean"]
        _, rotation, _ = pose.decompose_affine(split(outputs["params"]).pose)
        exact = pose_errors(pose.euler_from_rotation(rotation), self.angles_deg)
        report["pose_mae_deg_exact"] = exact["mean"]
        if "presence" in outputs:
            off = shifted_crops(self.crops, half_a_face(self.data.original, self.data.rois))
            shifted = predict(network, off, device, size)
            report["presence_auc_shifted"] = roc_area(outputs["presence"], shifted["presence"])
        return report


@dataclass(frozen=True, eq=False)
class HeldBack:
    """Faces of a training set that nothing is trained on.

    Attributes
    ----------
    crops : (N, 120, 120, 3) uint8
    landmarks : (N, 68, 3) float32
        Crop pixels.
    """

    crops: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def of(cls, faces: LabelledFaces, part: float) -> tuple[HeldBack, LabelledFaces]:
        """A part of the faces, evenly taken, and the others."""
        every = round(1 / part)
        chosen = range(0, len(faces), every)
        others = np.delete(np.arange(len(faces)), chosen)
        crops = np.stack(list(decoded(faces.pictures, chosen[:_MOST_HELD_BACK])))
        landmarks = faces.landmarks[chosen][:_MOST_HELD_BACK]
        place = np.array([*faces.offset_px, 0], np.float32)
        return cls(crops, landmarks + place), faces.some(others)

    def measure(
        self, network: SynergyNet, device: torch.device, size: int = CROP_SIZE
    ) -> dict[str, float]:
        """Mean distance of the landmarks in percent of the face's size, as ``nme``."""
        found = predict(network, self.crops, device, size)["landmarks"]
        errors = normalised_mean_error(found[..., :2], self.landmarks[..., :2])
        return {"nme": float(errors.mean())}


def predict(
    network: SynergyNet, crops: np.ndarray, device: torch.device, size: int = CROP_SIZE
) -> dict[str, np.ndarray]:
    """Outputs by name for ``(N, 120, 120, 3)`` crops. Raises TrainingError if one is not finite."""
    crops = resized_crops(crops, size)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            batch = torch.from_numpy(crops[start : start + _BATCH]).to(device)
            parts.append([value.cpu().numpy() for value in network(batch)])
    columns = (np.concatenate(values) for values in zip(*parts, strict=True))
    outputs = dict(zip(network.output_names, columns, strict=True))
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise TrainingError(
                f"the averaged network's {name} are not finite: the training diverged; lower "
                "optimiser.rate, and start it anew in another folder or without its checkpoint"
            )
    return outputs
