"""FaceBoxes: scaling, anchors, decoding, non-maximum suppression.

Zhang et al. 2017; the pre- and post-processing are those of the released weights.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from facegeo.backends import AUTO, FOR_ANY_SIZE, open_network
from facegeo.detect.base import (
    Detections,
    DetectorOptions,
    NetworkDetector,
    select,
    suppress_overlaps,
)
from facegeo.errors import InvalidInputError
from facegeo.zoo.store import InstalledModel

#: Larger photos are scaled down to fit: height, then width.
MAX_HEIGHT, MAX_WIDTH = 720, 1080

#: Stride of a scale, (anchor side, anchors along each side of a cell): densification, section 3.3
ANCHORS = ((32, ((32, 4), (64, 2), (128, 1))), (64, ((256, 1),)), (128, ((512, 1),)))

#: By which the network's outputs were divided in training: centre, size.
VARIANCE = (0.1, 0.2)

#: Boxes that compete in non-maximum suppression, and how much two survivors may overlap.
CANDIDATE_SCORE = 0.05
MAX_CANDIDATES = 5000
MAX_OVERLAP = 0.3


class FaceBoxesDetector(NetworkDetector):
    """The released FaceBoxes network.

    Raises
    ------
    InvalidInputError
        If it is told how to search: it always shrinks photos to one size.
    """

    def __init__(
        self,
        model: InstalledModel,
        options: DetectorOptions | None = None,
        device: str = AUTO,
        precision: str = AUTO,
    ) -> None:
        if options is not None and options.search is not None:
            raise InvalidInputError(
                f"search: {model.card.name!r} always shrinks photos to {MAX_WIDTH}x{MAX_HEIGHT}; "
                "only facegeo's own detector can be told how to search"
            )
        network = open_network(model, FOR_ANY_SIZE, device, precision)
        super().__init__(network, options, model.card.name)

    def __call__(self, image: np.ndarray) -> Detections:
        scaled, scale = shrink(image)
        outputs = self._network.run({"photos": scaled[None]})
        boxes, scores = decode(outputs["offsets"][0], outputs["scores"][0], scaled.shape[:2])
        return select(boxes / np.float32(scale), scores, self._options)


def shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale a photo down to at most 720 high and 1080 wide; also the factor (1 if it fits)."""
    height, width = image.shape[:2]
    scale = min(1.0, MAX_HEIGHT / height)
    scale *= min(1.0, MAX_WIDTH / (width * scale))
    if scale == 1.0:
        return image, scale
    # Sizes are cut, not rounded, as upstream does. A panorama's short side must not vanish.
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), scale


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> np.ndarray:
    """Anchors of a photo size, in the order of the network's outputs.

    Returns
    -------
    anchors : (A, 3) float32
        Centre x, centre y, side: pixels of the scaled photo.
    """
    scales = []
    for stride, sizes in ANCHORS:
        cells = [_cell_anchors(side, along, stride) for side, along in sizes]
        cell = np.concatenate(cells)
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns] * float(stride)
        corner = np.stack([x, y, np.zeros_like(x)], axis=2)
        scales.append((corner[:, :, None] + cell).reshape(-1, 3))
    result = np.concatenate(scales).astype(np.float32)
    result.setflags(write=False)  # it is shared by all callers
    return result


def decode(
    offsets: np.ndarray, scores: np.ndarray, image_hw: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Network outputs to boxes, after non-maximum suppression.

    Parameters
    ----------
    offsets : (A, 4) float32
    scores : (A,) float32

    Returns
    -------
    boxes : (N, 4) float32
        ``xyxy``, pixels of the photo that the network saw.
    scores : (N,) float32
    """
    candidates = np.flatnonzero(scores > CANDIDATE_SCORE)
    if len(candidates) > MAX_CANDIDATES:
        best = np.argpartition(-scores[candidates], MAX_CANDIDATES)[:MAX_CANDIDATES]
        candidates = candidates[best]
    scores, offsets = scores[candidates], offsets[candidates]
    prior = anchors(*image_hw)[candidates]
    side = prior[:, 2:]
    centre = prior[:, :2] + offsets[:, :2] * VARIANCE[0] * side
    half = side * np.exp(offsets[:, 2:] * VARIANCE[1]) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    keep = suppress_overlaps(boxes, scores, MAX_OVERLAP)
    return boxes[keep], scores[keep]


def _cell_anchors(side: int, along: int, stride: int) -> np.ndarray:
    """Anchors of one size in the cell at the origin: a single one in its middle, more on a grid
    that starts at its corner."""
    steps = np.arange(along) * (stride / along) if along > 1 else np.array([stride / 2])
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, side)], axis=1)
