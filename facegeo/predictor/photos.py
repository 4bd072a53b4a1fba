"""The stages between photos and faces: locate, look, choose."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from facegeo.base import arrays
from facegeo.base.callers import warn_caller
from facegeo.detect import Detections, PresenceFilter
from facegeo.detect.base import TURNED, UNQUESTIONED
from facegeo.detect.turned import find_turned
from facegeo.errors import FacegeoError, InvalidInputError
from facegeo.geometry import crop
from facegeo.geometry.regions import Regions
from facegeo.images import Color, load_photo, path_given
from facegeo.predictor.looking import Looker
from facegeo.results import FaceBatch
from facegeo.track.boxes import shares

#: Two results are one face where their landmarks' boxes share more than this of the smaller one.
_SAME_FACE = 0.6

#: The same where they lean by more than TURNED degrees apart, and the less believed is doubtful.
_SAME_CROSSED = 0.3

#: Part of its landmarks that lies in a box which is a face's; tight ones leave chin and jaw out.
_FITS = 0.4

#: Where the caller knew of a face and presence is less, there is none.
_IS_FACE = 0.5

#: Which of a photo's faces the caller knows.
Kind = Literal["boxes", "landmarks"] | None


@dataclass(frozen=True)
class Known:
    """Facts that the caller knows of one photo's faces."""

    boxes: Any = None
    landmarks: Any = None

    @property
    def is_nothing(self) -> bool:
        return self.kind is None

    @property
    def kind(self) -> Kind:
        if self.landmarks is not None:
            return "landmarks"
        return None if self.boxes is None else "boxes"


@dataclass(frozen=True, eq=False)
class Located:
    """One photo and where its faces are looked at; of one that failed, the error.

    Attributes
    ----------
    index : int
    source : path or None
        What the caller gave, if it was a path.
    image : (H, W, 3) uint8 or None
    found : Detections
    regions : Regions
        One for each box.
    given : {"boxes", "landmarks"} or None
        What the caller knew of the faces; then all stay.
    error : FacegeoError or None
    """

    index: int
    source: str | os.PathLike[str] | None
    image: np.ndarray | None
    found: Detections
    regions: Regions
    given: Kind = None
    error: FacegeoError | None = None

    @property
    def by_caller(self) -> bool:
        return self.given is not None


_NO_IMAGE = np.zeros((0, 0, 3), np.uint8)
NO_REGIONS = Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def located(
    index: int,
    source: Any,
    color: Color,
    known: Known,
    find: Callable[[np.ndarray], Detections],
    convention: crop.CropConvention,
) -> Located:
    """Find where one photo is looked at; an error of this photo is kept, not raised."""
    path = path_given(source)
    try:
        image = load_photo(source, color)
        found, regions = _placed(image, known, find, convention)
    except FacegeoError as error:
        return Located(index, path, None, Detections.none(), NO_REGIONS, error=error)
    return Located(index, path, image, found, regions, known.kind)


def _placed(
    image: np.ndarray,
    known: Known,
    find: Callable[[np.ndarray], Detections],
    convention: crop.CropConvention,
) -> tuple[Detections, Regions]:
    if known.boxes is not None and known.landmarks is not None:
        raise InvalidInputError("boxes, landmarks: expected one of them, got both")
    if known.landmarks is not None:
        points = crop.landmarks_xy(known.landmarks)
        regions = Regions.from_landmarks(points)
        found = _of_caller(crop.landmark_boxes(points))
    else:
        if known.boxes is not None:
            found = _of_caller(arrays.boxes_xyxy(known.boxes))
        else:
            found = find(image)
        regions = Regions.from_boxes(found.boxes, convention, found.rotations)
    crop.check_rois(regions.rois, (image.shape[0], image.shape[1]))
    return found, regions


@dataclass(frozen=True, eq=False)
class Seen:
    """Faces of several photos.

    Attributes
    ----------
    found : Detections
    batch : FaceBatch
    first : (N,) float32
        Presence at the first look at each.
    owners : (N,) int
        Which of the photos each is in.
    """

    found: Detections
    batch: FaceBatch
    first: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, rows: np.ndarray) -> Seen:
        return Seen(self.found[rows], self.batch[rows], self.first[rows], self.owners[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Seen]) -> Seen:
        """The faces of all parts, which are of the same photos."""
        return cls(
            Detections.concatenate([part.found for part in parts]),
            FaceBatch.concatenate([part.batch for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.owners for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class FaceSearch:
    """Photos to the faces that are reported.

    Attributes
    ----------
    look : Looker
    presence_filter : PresenceFilter or None
    max_faces : int or None
        Of one photo.
    find : callable or None
        The detector, to search photos in other orientations too; None searches them upright only.
    convention : CropConvention
    """

    look: Looker
    presence_filter: PresenceFilter | None
    max_faces: int | None
    find: Callable[[np.ndarray], Detections] | None
    convention: crop.CropConvention

    def __call__(self, photos: Sequence[Located]) -> Seen:
        """The faces that are believed, photo after photo, those of highest score first."""
        seen = self._seen(photos, range(len(photos)))
        kept = self._kept(photos, seen)
        doubtful = self._doubtful(photos, seen, kept)
        if doubtful:
            turned = [self._turned(photos[k]) for k in doubtful]
            seen = Seen.concatenate([seen, self._seen(turned, doubtful)])
            kept = self._kept(photos, seen)
        warn_of_misfits(photos, seen)
        rows = np.flatnonzero(kept)
        rows = rows[np.lexsort((-seen.found.scores[rows], seen.owners[rows]))]
        rows = self._most(photos, seen.owners[rows], rows)
        return seen if np.array_equal(rows, np.arange(len(seen))) else seen[rows]

    def confirmed(self, image: np.ndarray, found: Detections) -> Detections:
        """Boxes of one image that are believed, with the rotations of the faces seen there."""
        regions = Regions.from_boxes(found.boxes, self.convention, found.rotations)
        inside = regions.are_inside((image.shape[0], image.shape[1]))
        seen = self([Located(0, None, image, found[inside], regions[inside])])
        return replace(seen.found, rotations=seen.batch.rotations)

    def looked_at(
        self, image: np.ndarray, regions: Regions, scores: np.ndarray
    ) -> tuple[FaceBatch, np.ndarray]:
        """Faces of some regions of one image, and a mask of those that a photo would show."""
        batch, first = self.look([image], np.zeros(len(regions), np.int64), regions)
        kept = self._believed(scores, batch, regions.rotations, first)
        rows = np.flatnonzero(kept)
        kept[rows] = distinct(batch[rows], scores[rows])
        return batch, kept

    def _seen(self, photos: Sequence[Located], numbers: Sequence[int]) -> Seen:
        found = Detections.concatenate([Detections.none(), *(p.found for p in photos)])
        regions = Regions.concatenate([NO_REGIONS, *(p.regions for p in photos)])
        images = [_NO_IMAGE if p.image is None else p.image for p in photos]
        owners = np.repeat(np.arange(len(photos)), [len(p.found) for p in photos])
        batch, first = self.look(images, owners, regions)
        return Seen(found, batch, first, np.asarray(numbers, np.int64)[owners])

    def _kept(self, photos: Sequence[Located], seen: Seen) -> np.ndarray:
        """True for faces that the presence does not reject and that are there once."""
        kept = self._believed(seen.found.scores, seen.batch, seen.found.rotations, seen.first)
        for k in np.flatnonzero(np.bincount(seen.owners, minlength=1) > 1):
            if not photos[int(k)].by_caller:
                rows = np.flatnonzero(kept & (seen.owners == k))
                kept[rows] = distinct(seen.batch[rows], seen.found.scores[rows])
        return kept

    def _believed(
        self, scores: np.ndarray, batch: FaceBatch, found: np.ndarray, first: np.ndarray
    ) -> np.ndarray:
        """True for faces that the presence does not reject; found by so much turned a search."""
        if self.presence_filter is None:
            return np.ones(len(batch), bool)
        # What only a turned search finds is rare, however it stands when it is looked at.
        turns = np.where(found, found, batch.rotations)
        return self.presence_filter.keeps(scores, batch.presence, turns, first)

    def _doubtful(self, photos: Sequence[Located], seen: Seen, kept: np.ndarray) -> list[int]:
        """Photos in which faces may be turned: none was found, or one that was is doubtful."""
        if self.find is None:
            return []
        believed = kept & ~(seen.batch.presence < UNQUESTIONED)
        return [
            k
            for k, photo in enumerate(photos)
            if photo.image is not None
            and not photo.by_caller
            and (not (seen.owners == k).any() or not believed[seen.owners == k].all())
        ]

    def _turned(self, photo: Located) -> Located:
        assert self.find is not None and photo.image is not None
        found = find_turned(self.find, photo.image)
        regions = Regions.from_boxes(found.boxes, self.convention, found.rotations)
        inside = regions.are_inside((photo.image.shape[0], photo.image.shape[1]))
        return replace(photo, found=found[inside], regions=regions[inside])

    def _most(self, photos: Sequence[Located], owners: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.max_faces is None:
            return rows
        first = np.searchsorted(owners, owners)  # owners are in order
        by_caller = np.array([photos[k].by_caller for k in owners], bool)
        return rows[by_caller | (np.arange(len(rows)) - first < self.max_faces)]


def warn_of_misfits(photos: Sequence[Located], seen: Seen) -> None:
    """A UserWarning for what the caller knew of faces where none is seen."""
    for k, photo in enumerate(photos):
        own = seen[seen.owners == k] if photo.by_caller else None
        if own is None or len(own) == 0:
            continue
        points = own.batch.landmarks[..., :2]
        low, high = own.found.boxes[:, None, :2], own.found.boxes[:, None, 2:]
        inside = ((points >= low) & (points <= high)).all(axis=2).mean(axis=1)
        rows = np.flatnonzero((inside < _FITS) | (own.batch.presence < _IS_FACE))
        if len(rows):
            which = f"photo {photo.index}, {len(rows)} of {len(own)}, the first at index {rows[0]}"
            box = own.found.boxes[rows[0]].round(1).tolist()
            warn_caller(
                f"boxes: expected each on a face, as xyxy in photo pixels; of {which}, {box}, lie "
                "on none; boxes of another form, such as x, y, width, height: "
                "facegeo.detect.boxes_from"
                if photo.given == "boxes"
                else f"landmarks: expected the 68 points of a face each, x and y in photo pixels; "
                f"of {which}, in {box}, lie on none"
            )


def distinct(batch: FaceBatch, scores: np.ndarray) -> np.ndarray:
    """Mask of the faces of one photo that are not another one's face, ``(N,)`` bool.

    A look at a wrong box may end on a face that has a box of its own, and a face that lies between
    two orientations is found in both: the more believed one stays.
    """
    keep = np.ones(len(batch), bool)
    if len(batch) > 1:
        boxes = crop.landmark_boxes(batch.landmarks)
        lean = crop.lean_of_faces(batch.landmarks)
        crossed = np.abs((lean[:, None] - lean + 180) % 360 - 180) > TURNED
        crossed &= (batch.presence < UNQUESTIONED)[:, None]
        same = shares(boxes, boxes) > np.where(crossed, _SAME_CROSSED, _SAME_FACE)
        trust = scores * np.nan_to_num(batch.presence, nan=1.0)
        keep[:] = False
        for row in np.argsort(-trust, kind="stable"):
            keep[row] = not same[row, keep].any()
    return keep


def _of_caller(boxes: np.ndarray) -> Detections:
    return Detections(boxes, np.full(len(boxes), np.nan, np.float32))
