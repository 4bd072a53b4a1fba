"""Labels made anew with what networks say of the same photos: less noise than the labels alone.

A network is asked about jittered views of each crop and their mirror images. The mean of its
answers errs less than one answer does, and in other places than the labels, so a mean of both is
nearer to the truth, and nearer to what a network can learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import InvalidInputError
from facegeo.geometry import pose as pose_maths
from facegeo.geometry.crop import find_convention, resized_crops
from facegeo.geometry.params import split
from facegeo.images.collections import decoded
from facegeo.morphable import MorphableModel
from facegeo.morphable.mirror import mirror_landmarks, mirror_pose
from facegeo.predictor import FaceGeometry
from facegeo.training.data.datasets import LabelledFaces, write_labels
from facegeo.training.data.similarity import (
    inverted,
    moved_images,
    similarities,
    transform_landmarks,
    transform_pose,
)
from facegeo.training.labels.correction import FittedLabels, fitted_labels
from facegeo.training.labels.yaw_bias import turned_back, with_depth_turned, yaw_bias_deg

#: Of the labels, as of every network that is trained here.
CONVENTION = find_convention("exact")

_CHUNK = 512
_JITTER_DEG, _JITTER_SCALE, _JITTER_PX = 10.0, 0.08, 4.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of a network for N crops.

    Attributes
    ----------
    landmarks : (N, 68, 3)
        Crop pixels.
    rotation : (N, 3, 3)
        Model to the pose's frame.
    """

    landmarks: np.ndarray
    rotation: np.ndarray


def predict_views(
    network: FaceGeometry, crops: np.ndarray, views: int = 5, seed: int = 0
) -> Prediction:
    """The mean over the crops, jittered views of them, and the mirror images of all.

    Parameters
    ----------
    crops : (N, 120, 120, 3) uint8
    views : int
        Views beside which their mirror images are asked about; the first is the crop as it is.
    """
    rng = np.random.default_rng(seed)
    landmarks = np.zeros((len(crops), NUM_LANDMARKS, 3))
    rotation = np.zeros((len(crops), 3, 3))
    for view in range(views):
        matrices = _jitter(rng, len(crops), 0.0 if view == 0 else 1.0)
        seen = crops if view == 0 else moved_images(crops, matrices)
        for flipped in (False, True):
            points, pose = _predicted(network, seen, flipped)
            convention = find_convention(network.card.crop_convention)
            back = inverted(matrices)
            landmarks += transform_landmarks(points, back)
            rotation += pose_maths.decompose_affine(transform_pose(pose, back, convention))[1]
    return Prediction(landmarks / (2 * views), pose_maths.nearest_rotation(rotation))


def relabelled(
    faces: LabelledFaces,
    model: MorphableModel,
    predictions: Sequence[Prediction],
    weights: Sequence[float],
) -> FittedLabels:
    """Labels between the given ones and the networks'.

    What is constant between a network and the labels is taken out first, because conventions differ
    by that: a shift of all landmarks, a turn of all heads, and how much further to the side one of
    them turns those that look aside.

    Parameters
    ----------
    weights : sequence of float
        One for each prediction; the labels have what is left of 1.

    Raises
    ------
    InvalidInputError
        If the weights are negative or above 1 together.
    """
    if min(weights, default=0) < 0 or sum(weights) > 1:
        raise InvalidInputError(f"weights: expected at least 0 and at most 1 together: {weights}")
    rest = 1 - sum(weights)
    own = pose_maths.decompose_affine(split(faces.params).pose)[1]
    landmarks, rotation = rest * faces.landmarks, rest * own
    for said, weight in zip(predictions, weights, strict=True):
        turn = np.swapaxes(said.rotation, 1, 2) @ own
        turned = said.rotation @ pose_maths.nearest_rotation(turn.mean(axis=0)[None])[0]
        back = turned_back(turned, yaw_bias_deg(turned, own))
        points = with_depth_turned(said.landmarks, turned, back)
        shift = np.median(points - faces.landmarks, axis=(0, 1))
        landmarks = landmarks + weight * (points - shift)
        rotation = rotation + weight * back
    held = pose_maths.nearest_rotation(rotation)
    return fitted_labels(model, landmarks, held, CONVENTION, calibration=np.eye(3))


def relabel(
    faces: LabelledFaces,
    model: MorphableModel,
    networks: Sequence[tuple[FaceGeometry, float]],
    out: str | Path,
    *,
    views: int = 5,
) -> dict[str, Any]:
    """Make a label file of the same faces; networks come with their weights.

    Returns
    -------
    report : dict
        How far the new labels are from the old ones, and the networks.
    """
    parts: list[list[Prediction]] = [[] for _ in networks]
    for start in tqdm(range(0, len(faces), _CHUNK), desc="labels", disable=None):
        chunk = range(start, min(start + _CHUNK, len(faces)))
        crops = np.stack(list(decoded(faces.pictures, chunk)))
        for (network, _), said in zip(networks, parts, strict=True):
            said.append(predict_views(network, crops, views, seed=start))
    whole = [
        Prediction(
            *(np.concatenate([getattr(o, k) for o in said]) for k in ("landmarks", "rotation"))
        )
        for said in parts
    ]
    made = relabelled(faces, model, whole, [weight for _, weight in networks])
    write_labels(
        out,
        faces.pictures.names,
        made.params,
        made.landmarks,
        model.name,
        faces.offset_px,
        visibility=faces.visibility,
        manual=faces.manual,
        manual_points=faces.manual_points,
    )
    moved = np.linalg.norm((made.landmarks - faces.landmarks)[..., :2], axis=2).mean(axis=1)
    return {
        "faces": len(faces),
        "networks": {network.card.name: weight for network, weight in networks},
        "views": 2 * views,
        "moved_px_median": float(np.median(moved)),
        "moved_px_p99": float(np.percentile(moved, 99)),
        "fit_residual_median": float(np.median(made.residual)),
    }


def _predicted(
    network: FaceGeometry, crops: np.ndarray, flipped: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (crop pixels) and poses; of the mirror image, as they are in the crop itself."""
    seen = np.ascontiguousarray(crops[:, :, ::-1]) if flipped else crops
    outputs = network.network.run({"crops": resized_crops(seen, network.crop_size)})
    points, pose = outputs["landmarks"], split(outputs["params"]).pose
    if not flipped:
        return points, pose
    convention = find_convention(network.card.crop_convention)
    return mirror_landmarks(points), mirror_pose(pose, convention)


def _jitter(rng: np.random.Generator, count: int, reach: float) -> np.ndarray:
    return similarities(
        reach * rng.uniform(-_JITTER_DEG, _JITTER_DEG, count),
        1 + reach * rng.uniform(-_JITTER_SCALE, _JITTER_SCALE, count),
        reach * rng.uniform(-_JITTER_PX, _JITTER_PX, (count, 2)),
    )
