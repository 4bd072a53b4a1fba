"""Matching of cells to the faces that they learn, and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from facegeo.networks.detector.network import decode

#: Sides of faces in strides that a scale learns; ranges of neighbours overlap by a factor of two.
#: The finest scale has no lower end, the coarsest no upper end.
_SIDES_IN_STRIDES = (1.4, 5.5)

#: Cells this near to a face's centre, in strides, along x and y, learn the face.
_NEAR = 0.75

#: Cells this near in units of the box's size, on scales out of range by less than _SLACK, learn
#: neither that there is a face nor that there is none.
_UNDECIDED = 0.25
_SLACK = 2.0

_BOX_WEIGHT = 2.0


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets that the cells of a batch learn.

    Attributes
    ----------
    positive : (N, A) bool
    counted : (N, A) bool
        Cells whose score is learnt.
    boxes : (N, A, 4) float32
        Face of each positive cell, ``xyxy``.
    """

    positive: torch.Tensor
    counted: torch.Tensor
    boxes: torch.Tensor


def assign(
    boxes: torch.Tensor,
    valid: torch.Tensor,
    ignored: torch.Tensor,
    centres: torch.Tensor,
    strides: torch.Tensor,
) -> Targets:
    """Share out the faces of a batch among the cells.

    Parameters
    ----------
    boxes : (N, M, 4) float32
    valid : (N, M) bool
        False where a row of ``boxes`` only fills up.
    ignored : (N, K, 4) float32
        Regions without truth; empty boxes ignore nothing.
    centres, strides : (A, 2), (A,) float32
        Of :func:`facegeo.networks.detector.network.cells`.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    side = size.prod(dim=2).clamp(min=1e-6).sqrt()
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    low, high = _SIDES_IN_STRIDES
    in_strides = side[:, None] / strides.unique()[:, None]  # (N, scales, M)
    low_end = torch.full_like(in_strides[:1, :, :1], low)
    high_end = torch.full_like(low_end, high)
    low_end[:, 0], high_end[:, -1] = 0.0, torch.inf
    real = valid[:, None]
    fits = (in_strides >= low_end) & (in_strides < high_end) & real
    loosely = (in_strides >= low_end / _SLACK) & (in_strides < high_end * _SLACK) & real
    # Boxes that a scale does not learn are given no extent there, so that they hold no cell.
    scale = torch.bucketize(strides, strides.unique())
    near = torch.where(fits, _NEAR * strides.unique()[:, None], -1.0)
    around = torch.where(loosely[..., None], _UNDECIDED * size[:, None], -1.0)
    offset_x, offset_y = (
        (centres[:, None, axis] - middle[:, None, :, axis]).abs_() for axis in (0, 1)
    )  # (N, A, M)
    distance = torch.maximum(offset_x, offset_y)
    chosen = distance <= near[:, scale]
    # Where two faces want a cell, the smaller one, which is in front or would be lost, has it.
    cost, best = torch.where(chosen, side[:, None], torch.inf).min(dim=2)
    positive = cost.isfinite()
    faces = boxes.gather(1, best[..., None].expand(-1, -1, 4))
    undecided = (offset_x <= around[:, scale, :, 0]) & (offset_y <= around[:, scale, :, 1])
    hidden = _within(centres, ignored)
    return Targets(positive, positive | ~(undecided.any(dim=2) | hidden), faces)


def _within(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """(N, A) bool: whether points ``(A, 2)`` lie in some of the boxes ``(N, K, 4)``."""
    if not (boxes[..., 2] >= boxes[..., 0]).any():
        return torch.zeros(len(boxes), len(points), dtype=torch.bool, device=points.device)
    x, y = points[:, None, 0], points[:, None, 1]
    left, top, right, bottom = boxes[:, None].unbind(dim=3)
    return ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).any(dim=2)


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of ``xyxy`` boxes, row by row."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    inner = common.prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - inner
    iou = inner / union.clamp(min=1e-6)
    hull = around.prod(dim=1).clamp(min=1e-6)
    return iou, iou - (hull - union) / hull


def detection_loss(
    logits: torch.Tensor,
    distances: torch.Tensor,
    targets: Targets,
    centres: torch.Tensor,
    strides: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Quality focal loss (Li et al. 2020) of the scores and generalised IoU loss of the boxes.

    A positive cell's score aims at the root of the IoU that its box has now: the score then ranks
    boxes by how well they fit, and small faces, whose IoU is low, are not pushed under the
    threshold.

    Returns
    -------
    loss : scalar
    parts : dict
        ``score``, ``box``, and ``iou``, the mean over positive cells.
    """
    boxes = decode(distances.float(), centres, strides)[targets.positive]
    iou, generalised = overlap(boxes, targets.boxes[targets.positive])
    quality = iou.detach().clamp(min=1e-4).sqrt()
    wanted = torch.zeros_like(logits, dtype=torch.float32)
    wanted[targets.positive] = quality
    logits = logits.float()
    focus = (wanted - torch.sigmoid(logits)).square()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    norm = quality.sum().clamp(min=1.0)
    score = (focus * entropy)[targets.counted].sum() / norm
    box = (quality * (1 - generalised)).sum() / norm
    mean_iou = float(iou.detach().mean()) if len(iou) else 0.0
    parts = {"score": float(score.detach()), "box": float(box.detach()), "iou": mean_iou}
    return score + _BOX_WEIGHT * box, parts
