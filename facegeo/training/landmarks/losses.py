"""SynergyNet's losses (Wu et al. 2021, equations 3 to 7), of presence and of distillation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from facegeo.conventions import NUM_POSE
from facegeo.networks.synergy.uncertainty import negative_log_likelihood
from facegeo.training.core.settings import NOT_NEGATIVE, POSITIVE, check_numbers
from facegeo.training.data.visibility import SEEN, UNKNOWN

if TYPE_CHECKING:
    from facegeo.networks.synergy.network import Regression


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; the first four are the paper's lambda 1 to 4.

    Attributes
    ----------
    params, landmarks, inverse, consistency : float
        Equations 3, 4, 5, 6.
    coarse : float
        Equation 4 on the coarse landmarks too; not in the paper.
    fitted : float
        The same against the landmarks that the label's parameters have in the face model. Those of
        ``coarse`` are where no face of the model can be, and at that distance the pose which comes
        nearest is not the label's: heads turn too far to the side.
    presence : float
        Cross-entropy of the presence output.
    teacher_params, teacher_features : float
        Distillation: distance from a teacher's whitened parameters and from its features.
    visibility : float
        Cross-entropy of the visibility of landmarks whose label knows it.
    covariance : float
        Negative log-likelihood of the landmarks' errors; it trains the covariance alone.
    landmark_unit_px : float
        Crop pixels that count as one in equation 4: where smooth L1 turns from square to straight.
    """

    params: float = 0.02
    landmarks: float = 0.03
    inverse: float = 0.02
    consistency: float = 0.001
    coarse: float = 0.0
    fitted: float = 0.0
    presence: float = 0.1
    teacher_params: float = 0.0
    teacher_features: float = 0.0
    visibility: float = 0.05
    covariance: float = 0.01
    landmark_unit_px: float = 6.0

    def __post_init__(self) -> None:
        weights = {field.name for field in dataclasses.fields(self)} - {"landmark_unit_px"}
        numbers = {NOT_NEGATIVE: " ".join(sorted(weights)), POSITIVE: "landmark_unit_px"}
        check_numbers(self, "loss.", numbers)


def parameter_loss(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Equation 3: |alpha - alpha*|^2 of whitened parameters ``(N, P)``; ``(N,)``."""
    return (predicted - truth).square().sum(dim=1)


def landmark_loss(
    predicted: torch.Tensor, truth: torch.Tensor, unit_px: float = 1.0
) -> torch.Tensor:
    """Equation 4: smooth L1, summed over the 68 points and three axes; ``(N,)``."""
    distance = functional.smooth_l1_loss(predicted / unit_px, truth / unit_px, reduction="none")
    return distance.sum(dim=(1, 2))


def inverse_loss(inverse: Mapping[str, torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    """Equations 5 and 6: |alpha-hat - alpha|^2 over the groups that were regressed; ``(N,)``.

    ``truth`` is ``(N, P)``: the labels for equation 5, the image's parameters for equation 6.
    """
    total = truth.new_zeros(len(truth))
    for name, found in inverse.items():
        length = found.shape[1]
        # Pose first, then shape, and expression to the end, whatever the numbers of modes.
        start = {"pose": 0, "shape": NUM_POSE, "expression": truth.shape[1] - length}[name]
        total = total + parameter_loss(found, truth[:, start : start + length])
    return total


def presence_loss(logit: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of ``(N,)`` logits against 0 or 1; ``(N,)``."""
    return functional.binary_cross_entropy_with_logits(logit, present, reduction="none")


def visibility_loss(logits: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of ``(N, 68)`` logits, summed over points of known state; ``(N,)``."""
    seen = (states == SEEN).to(logits.dtype)
    known = (states != UNKNOWN).to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, seen, reduction="none")
    return (entropy * known).sum(dim=1)


def total_loss(
    result: Regression,
    whitened: torch.Tensor,
    landmarks: torch.Tensor,
    fitted: torch.Tensor,
    visibility: torch.Tensor,
    present: torch.Tensor,
    config: LossConfig,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Equation 7, and the terms on their own.

    Parameters
    ----------
    whitened : (N, P) float
        Labels, whitened.
    landmarks : (N, 68, 3) float
        Labels, crop pixels.
    fitted : (N, 68, 3) float
        Those that the face model has with the label's parameters.
    visibility : (N, 68) uint8
        As :mod:`facegeo.training.data.visibility` has it.
    present : (N,) float
        1 for faces, 0 for negatives: those have no labels and count in the presence term only.

    Returns
    -------
    total : scalar
    terms : dict of str to scalar
        Unweighted means over the faces; over all crops for presence.
    """
    unit = config.landmark_unit_px
    by_face = {
        "params": parameter_loss(result.whitened, whitened),
        "landmarks": landmark_loss(result.landmarks, landmarks, unit),
        "inverse": inverse_loss(result.inverse, whitened),
        "consistency": inverse_loss(result.inverse, result.whitened),
    }
    if config.coarse:
        by_face["coarse"] = landmark_loss(result.coarse, landmarks, unit)
    if config.fitted:
        by_face["fitted"] = landmark_loss(result.coarse, fitted, unit)
    if result.visibility_logits is not None:
        by_face["visibility"] = visibility_loss(result.visibility_logits, visibility)
    if result.cholesky is not None:
        errors = (result.landmarks - landmarks)[..., :2].detach()
        by_face["covariance"] = negative_log_likelihood(errors, result.cholesky).sum(dim=1)
    terms = _over_faces(by_face, present)
    terms["presence"] = presence_loss(result.presence_logit, present).mean()
    total = torch.stack([getattr(config, name) * value for name, value in terms.items()]).sum()
    return total, terms


def distillation_terms(
    whitened: torch.Tensor,
    teacher_whitened: torch.Tensor,
    features: torch.Tensor | None,
    teacher_features: torch.Tensor,
    present: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Distance of a network from its teacher: its whitened parameters, and its features.

    Parameters
    ----------
    whitened, teacher_whitened : (N, P) float
        Parameters, both whitened by the network's statistics.
    features : (N, C) float, or None
        In the teacher's space; None leaves their term out.
    teacher_features : (N, C) float
    present : (N,) float
        1 for faces, 0 for negatives, which count in no term.

    Returns
    -------
    terms : dict of str to scalar
        Unweighted means over the faces. Of features the mean square, as networks differ in width.
    """
    by_face = {"teacher_params": parameter_loss(whitened, teacher_whitened)}
    if features is not None:
        by_face["teacher_features"] = (features - teacher_features).square().mean(dim=1)
    return _over_faces(by_face, present)


def _over_faces(
    by_face: Mapping[str, torch.Tensor], present: torch.Tensor
) -> dict[str, torch.Tensor]:
    faces = present.sum().clamp(min=1)
    return {name: (value * present).sum() / faces for name, value in by_face.items()}
