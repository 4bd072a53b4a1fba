"""Hard negatives: what the network takes for faces in photographs of other things."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from facegeo.detect.base import suppress_overlaps
from facegeo.networks.detector.network import SIDE_MULTIPLE, OneStageDetector, cells, decode
from facegeo.training.detector.scenes import HardNegatives
from facegeo.training.detector.sources import Backgrounds

#: Photographs searched in a round, each at one of these scales.
_PHOTOS = 120
_SCALES = (0.5, 1.0, 1.0, 2.0)

_HARD_SCORE = 0.3
_MOST_IN_AN_IMAGE = 8

#: Older ones are forgotten.
_KEPT = 1500


def mine(
    network: OneStageDetector,
    backgrounds: Backgrounds,
    known: HardNegatives,
    rng: np.random.Generator,
) -> HardNegatives:
    """Search some backgrounds, chosen at random; returns the newest findings, known ones behind."""
    rows: list[int] = []
    boxes: list[np.ndarray] = []
    count = min(_PHOTOS, len(backgrounds.photos))
    for row in rng.choice(len(backgrounds.photos), count, replace=False):
        scale = float(rng.choice(_SCALES))
        found = _false_boxes(network, backgrounds.photos[row], scale, backgrounds.ignored[row])
        rows.extend([row] * len(found))
        boxes.extend(found)
    images = np.concatenate([np.array(rows, np.int64), known.photos])[:_KEPT]
    new = np.array(boxes, np.float32).reshape(-1, 4)
    return HardNegatives(images, np.concatenate([new, known.boxes])[:_KEPT])


def _false_boxes(
    network: OneStageDetector, image: np.ndarray, scale: float, ignored: np.ndarray
) -> np.ndarray:
    """Confident boxes ``(K, 4)`` in photo pixels whose centre is in no ignored region."""
    height, width = (
        max(int(n * scale) // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE for n in image.shape[:2]
    )
    view = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    device = next(network.parameters()).device
    with torch.inference_mode():
        outputs = network.eval()(torch.from_numpy(view)[None].to(device))
        scores, distances = (output.float().cpu() for output in outputs)
        boxes = decode(distances[0], *cells(height, width)).numpy()
    confident = np.flatnonzero(scores[0].numpy() > _HARD_SCORE)
    boxes, kept = boxes[confident], scores[0].numpy()[confident]
    boxes = boxes[suppress_overlaps(boxes, kept, 0.3)[:_MOST_IN_AN_IMAGE]]
    boxes = boxes * np.tile(np.array(image.shape[1::-1]) / (width, height), 2)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (centre[:, None] >= ignored[:, :2]) & (centre[:, None] <= ignored[:, 2:])
    return boxes[~inside.all(axis=2).any(axis=1)].astype(np.float32)
