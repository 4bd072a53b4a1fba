"""facegeo's own detector: padding, scaling, tiles, decoding, suppression.

The network is :class:`facegeo.networks.detector.network.OneStageDetector`; boxes lie where the
released FaceBoxes would put them, so one rule for regions of interest serves both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from facegeo.backends import FOR_ANY_SIZE, open_graph
from facegeo.backends.base import Backend, naming
from facegeo.detect.base import (
    SIDE_MULTIPLE,
    Detections,
    DetectorOptions,
    NetworkDetector,
    Search,
    select,
    suppress_overlaps,
)
from facegeo.errors import UnreadableFileError

#: As in facegeo.networks.detector.network, which this module must not import: it needs PyTorch.
STRIDES = (8, 16, 32, 64)
_UNIT_STRIDES = 2.0
_LARGEST_LOG = 6.0

#: Boxes that compete in non-maximum suppression, and how much two survivors may overlap.
_CANDIDATE_SCORE = 0.05
_MAX_CANDIDATES = 2000
_MAX_OVERLAP = 0.35

#: The network knows faces of up to about 600 pixels. An image that has room for larger ones is
#: searched a second time with this longer side: a thirtieth of the pixels, most often.
_COARSE_ABOVE, _COARSE_SIDE = 640, 224
#: Pixels of the first search: there larger boxes are not believed, and the second one's boxes count
#: from this size on.
_LARGEST_FACE, _SMALLEST_LARGE_FACE = 400.0, 240.0
#: A box that lies by more than this part in a large face, so many times its side, is a piece of it.
_PIECE, _PIECE_SMALLER = 0.7, 1.3

#: Neighbouring tiles share this part of their side, so that a face up to that size is whole in one.
_TILE_OVERLAP = 0.25


class OneStageFaces(NetworkDetector):
    """Finds faces with a one-stage network.

    Parameters
    ----------
    network : Backend
        Input ``photos`` (N, H, W, 3) uint8 BGR; outputs ``scores`` (N, A), ``distances`` (N, 4, A).
    options : DetectorOptions, optional
    """

    def __init__(
        self,
        network: Backend,
        options: DetectorOptions | None = None,
        name: str = "facegeo-detector",
    ) -> None:
        super().__init__(network, options, name)
        self._search = self._options.search or Search()
        # Suppression goes from the best box down, so what is not reported removes nothing.
        self._lowest = max(_CANDIDATE_SCORE, self._options.score_threshold)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        options: DetectorOptions | None = None,
        device: str = "cpu",
    ) -> OneStageFaces:
        """From an ONNX file. Raises UnreadableFileError, CorruptFileError."""
        path = Path(path)
        try:
            onnx = path.read_bytes()
        except OSError as error:
            raise UnreadableFileError(f"{path}: {error.strerror}") from error
        with naming(path):
            network = open_graph(onnx, backend=FOR_ANY_SIZE, device=device)
        return cls(network, options)

    def __call__(self, image: np.ndarray) -> Detections:
        """Faces of a ``(H, W, 3)`` uint8 BGR photo."""
        return self.detect([image])[0]

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Faces of many photos; photos of one size go through the network together."""
        views = [view for k, image in enumerate(images) for view in self._views(k, image)]
        found: list[list[_Candidates]] = [[] for _ in images]
        for group in _by_size(views):
            outputs = self._network.run({"photos": _batch(group)})
            grid = cells(*group[0].pixels.shape[:2])
            for k, view in enumerate(group):
                boxes, scores = candidates(
                    outputs["scores"][k], outputs["distances"][k], grid, self._lowest
                )
                believed = view.believes(boxes)
                boxes = boxes[believed] / np.float32(view.scale) + view.origin
                found[view.photo].append(_Candidates(boxes, scores[believed]))
        return [
            self._finish(parts, _SMALLEST_LARGE_FACE / self._scale(image))
            for parts, image in zip(found, images, strict=True)
        ]

    def _scale(self, image: np.ndarray) -> float:
        """Factor by which an image is scaled for the first search."""
        limit = self._search.max_side
        return 1.0 if limit is None else min(1.0, limit / max(image.shape[:2]))

    def _finish(self, parts: Sequence[_Candidates], large: float) -> Detections:
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        kept = suppress_overlaps(boxes, scores, _MAX_OVERLAP)
        if len(kept) > 1:
            kept = kept[~_pieces(boxes[kept], scores[kept], large)]
        return select(boxes[kept], scores[kept], self._options)

    def _views(self, index: int, image: np.ndarray) -> Iterator[_View]:
        tile, scale = self._search.tile, self._scale(image)
        height, width = image.shape[:2]
        whole = image if scale == 1.0 else _shrunk(image, scale)
        longer = max(whole.shape[:2])
        if longer > _COARSE_ABOVE:
            coarse = _COARSE_SIDE / longer
            # A large face has no detail that aliasing would hurt, and this is ten times as fast.
            small = pad(_shrunk(whole, coarse, cv2.INTER_LINEAR))
            least = _SMALLEST_LARGE_FACE * coarse
            yield _View(index, small, scale * coarse, limit=least, is_coarse=True)
            yield _View(index, pad(whole), scale, limit=_LARGEST_FACE)
        else:
            yield _View(index, pad(whole), scale)
        if scale == 1.0 or tile is None:
            return
        for y in tile_starts(height, tile):
            for x in tile_starts(width, tile):
                part = pad(image[y : y + tile, x : x + tile])
                yield _View(index, part, 1.0, np.array([x, y, x, y], np.float32))


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Boxes of one view, photo pixels."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class _View:
    """Photo as the network sees it: padded pixels, their scale and origin in the photo."""

    photo: int
    pixels: np.ndarray
    scale: float
    origin: np.ndarray = field(default_factory=lambda: np.zeros(4, np.float32))
    limit: float = np.inf
    is_coarse: bool = False

    def believes(self, boxes: np.ndarray) -> np.ndarray:
        """Mask of the boxes, in the view's pixels, of sizes that this view is there for."""
        sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
        if self.is_coarse:
            return np.asarray(sides > self.limit)
        return np.asarray(sides <= self.limit)


def _shrunk(image: np.ndarray, scale: float, method: int = cv2.INTER_AREA) -> np.ndarray:
    height, width = image.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(image, size, interpolation=method))


def _pieces(boxes: np.ndarray, scores: np.ndarray, large: float) -> np.ndarray:
    """Mask of boxes that are a piece of a face of at least that side, of no higher score: (N,)."""
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    whole = sides >= large
    if not whole.any():
        return np.zeros(len(boxes), bool)
    low = np.maximum(boxes[:, None, :2], boxes[None, whole, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, whole, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    inside = shared > _PIECE * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None]
    smaller = sides[:, None] * _PIECE_SMALLER < sides[None, whole]
    return np.asarray((inside & smaller & (scores[:, None] <= scores[None, whole])).any(axis=1))


def pad(image: np.ndarray) -> np.ndarray:
    """Black pixels at the right and below, up to multiples of :data:`SIDE_MULTIPLE`."""
    height, width = image.shape[:2]
    below, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
    if below == 0 and right == 0:
        return image
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def tile_starts(length: int, tile: int) -> list[int]:
    """Starts of tiles along one axis: evenly spread, overlapping, the last tile ends the photo."""
    if length <= tile:
        return [0]
    count = int(np.ceil((length - tile) / (tile * (1 - _TILE_OVERLAP)))) + 1
    return np.linspace(0, length - tile, count).astype(int).tolist()


@lru_cache(maxsize=8)
def cells(height: int, width: int) -> np.ndarray:
    """Cells of a padded photo in the order of the network's outputs.

    Returns
    -------
    cells : (A, 3) float32
        Centre x, centre y, stride.
    """
    scales = []
    for stride in STRIDES:
        y, x = np.mgrid[: -(-height // stride), : -(-width // stride)] * stride
        scales.append(np.stack([x, y, np.full_like(x, stride)], axis=2).reshape(-1, 3))
    result = np.concatenate(scales).astype(np.float32)
    result.setflags(write=False)  # it is shared by all callers
    return result


def candidates(
    scores: np.ndarray,
    distances: np.ndarray,
    grid: np.ndarray,
    lowest: float = _CANDIDATE_SCORE,
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes worth comparing, before suppression.

    Parameters
    ----------
    scores : (A,) float32
    distances : (4, A) float32
    grid : (A, 3) float32
        Of :func:`cells`.
    lowest : float
        Score from which a box is worth it.

    Returns
    -------
    boxes : (N, 4) float32
        ``xyxy``, pixels of the padded photo.
    scores : (N,) float32
    """
    chosen = np.flatnonzero(scores >= lowest)
    if len(chosen) > _MAX_CANDIDATES:
        chosen = chosen[np.argpartition(-scores[chosen], _MAX_CANDIDATES)[:_MAX_CANDIDATES]]
    cell = grid[chosen]
    logs = np.clip(distances[:, chosen].T, -_LARGEST_LOG, _LARGEST_LOG)
    reach = np.exp(logs) * (_UNIT_STRIDES * cell[:, 2:])
    centre = cell[:, :2]
    return np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1), scores[chosen]


def _batch(views: Sequence[_View]) -> np.ndarray:
    """Photos of one size as ``(N, H, W, 3)``; a single one is not copied."""
    if len(views) == 1:
        return np.ascontiguousarray(views[0].pixels)[None]
    return np.stack([view.pixels for view in views])


def _by_size(views: Sequence[_View]) -> list[list[_View]]:
    groups: dict[tuple[int, ...], list[_View]] = {}
    for view in views:
        groups.setdefault(view.pixels.shape, []).append(view)
    return list(groups.values())


def search_rules() -> dict[str, float]:
    """The numbers of this detector's search, by name: for programs that do the same elsewhere."""
    return {
        "side_multiple": SIDE_MULTIPLE,
        "unit_strides": _UNIT_STRIDES,
        "largest_log": _LARGEST_LOG,
        "candidate_score": _CANDIDATE_SCORE,
        "max_candidates": _MAX_CANDIDATES,
        "max_overlap": _MAX_OVERLAP,
        "coarse_above": _COARSE_ABOVE,
        "coarse_side": _COARSE_SIDE,
        "largest_face": _LARGEST_FACE,
        "smallest_large_face": _SMALLEST_LARGE_FACE,
        "piece": _PIECE,
        "piece_smaller": _PIECE_SMALLER,
    }
