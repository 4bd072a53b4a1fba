"""Tracker of who is who: faces found once, then followed by their own landmarks.

The next frame's crop comes from the last landmarks, so most frames need no detector. It runs every
``detect_every`` frames to find newcomers and to confirm the known, and at once where a track is in
doubt. A track is in doubt when the network's presence is low, when its landmarks jump, or when the
detector does not see it; three frames of doubt and the face is lost: not reported any more, but
remembered for a while, so that a face that comes out from behind a hand has its number again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facegeo.detect import Detections
from facegeo.detect.base import UNQUESTIONED
from facegeo.errors import InvalidInputError
from facegeo.geometry import crop
from facegeo.geometry.regions import LEAST_LEAN, Regions
from facegeo.results import FaceBatch
from facegeo.track import boxes as box_maths
from facegeo.track.options import TrackerOptions

Locate = Callable[[np.ndarray], Detections]
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], FaceBatch]
Look = Callable[[np.ndarray, Regions, np.ndarray], tuple[FaceBatch, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Tracked:
    """The faces of one frame.

    Attributes
    ----------
    ids : (N,) list of int
        Numbers of the tracks, ascending; a number is never used for two people.
    batch : FaceBatch
        What the network says, N rows in the same order.
    scores : (N,) float32
        The detector's confidence when it last saw the face.
    """

    ids: list[int]
    batch: FaceBatch
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class _Track:
    """A face between two frames; ``number`` is 0 until it has been believed once."""

    number: int
    box: np.ndarray  # around the landmarks
    roi: np.ndarray
    rotation: float  # of the region, degrees
    velocity: np.ndarray  # of the box's centre, pixels a second
    score: float
    seen_s: float
    anchor: tuple[float, np.ndarray] | None = None  # when and where its speed was last measured
    step: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels, over the last frame
    doubt: int = 0
    unseen: bool = False  # the detector's last run did not find it
    placed: bool = False  # its region comes from the detector and not yet from its landmarks
    sure: bool = True  # by the presence when it was last believed
    lost: bool = False
    found: np.ndarray | None = None  # the detector's box in this frame

    @property
    def is_asked(self) -> bool:
        """It has to be looked at as a photo's face is, which may be turned."""
        return self.placed or (self.found is not None and not self.sure)

    def expected(self, now_s: float) -> np.ndarray:
        """Box as it would lie by now if it went on moving, for half a second at most."""
        shift = self.velocity * min(max(now_s - self.seen_s, 0), 0.5)
        return self.box + np.tile(shift, 2)

    @property
    def stepped(self) -> np.ndarray:
        """Box as it would lie if it moved as over the last frame, whatever the clock says.

        Frames that arrive in bursts have the clock foretell too much or too little.
        """
        return self.box + np.tile(self.step, 2)


#: Frames between two runs of the detector, with a network that tells presence and with one that
#: does not.
DETECT_EVERY, DETECT_EVERY_BLIND = 30, 10
#: Detector boxes include the forehead; a pair overlaps by about two thirds.
SAME_FACE = 0.25
#: A lost face may have moved meanwhile: its box is grown by this before it is compared.
_RETURN_GROWTH = 1.4
_RETURN_OVERLAP = 0.15
#: Two tracks whose landmarks overlap by more are on the same face.
TWICE = 0.6
#: From one frame to the next, in sizes of the face.
LARGEST_JUMP = 0.5
LARGEST_GROWTH = 1.5
#: Seconds over which a speed is measured at least: times of frames that arrive in bursts differ by
#: less than the frames do.
SHORTEST_S = 0.02
#: Corners of a region may be off by this part of its side before it is moved.
ROI_SLACK = 0.02
#: Degrees by which a face may lean in its region before that is turned anew; and how far below
#: facegeo.geometry.regions.LEAST_LEAN it must come before its region is upright again.
LEAN_SLACK = 5.0


class Tracker:
    """Follows the faces of one video.

    Parameters
    ----------
    locate : callable
        Photo -> Detections.
    measure : callable
        Crops, their regions and rotations -> FaceBatch, as :meth:`FaceGeometry.predict_crops`.
    options : TrackerOptions
    crop_size : int
        Side of the crops that ``measure`` takes.
    convention : CropConvention, optional
        How boxes become crops; by default as for the networks of facegeo.
    look : callable, optional
        Photo, Regions, the detector's scores -> FaceBatch and a mask of those that are believed: as
        faces are looked at in a photo. It is asked where the detector has found a face, and where
        it sees one that is not sure. By default ``measure``, once, and all are believed.
    """

    def __init__(
        self,
        locate: Locate,
        measure: Measure,
        options: TrackerOptions | None = None,
        crop_size: int = crop.CROP_SIZE,
        convention: crop.CropConvention = crop.CONVENTIONS["exact"],
        look: Look | None = None,
    ) -> None:
        self.options = options or TrackerOptions()
        self._locate = locate
        self._measure = measure
        self._look = look or self._looked_at_once
        self._crop_size, self._convention = crop_size, convention
        self._next = 1
        self.reset()

    def reset(self) -> None:
        """Forget all faces, as at a cut. Numbers go on, they are not used again."""
        self._tracks: list[_Track] = []
        self._size: tuple[int, int] | None = None
        self._since_detection = math.inf
        self._now_s = -math.inf
        self._tells_presence = False

    def update(self, image: np.ndarray, now_s: float) -> Tracked:
        """Faces of the next frame.

        Parameters
        ----------
        image : (H, W, 3) uint8
            BGR.
        now_s : float
            Its timestamp. Times that stand still or turn back tell no speed; they do no harm.

        Raises
        ------
        InvalidInputError
            If the timestamp is no finite number.
        """
        if not math.isfinite(now_s):
            raise InvalidInputError(f"now_s: expected a finite number of seconds, got {now_s}")
        self._adapt_to((image.shape[1], image.shape[0]))
        memory_s = self.options.memory_s
        if now_s - self._now_s > memory_s:  # the stream was interrupted
            self._since_detection = math.inf
        self._now_s = now_s
        tracks = [t for t in self._tracks if not (t.lost and now_s - t.seen_s > memory_s)]
        if self._is_detection_due(tracks):
            tracks = self._detected(tracks, image, now_s)
            self._since_detection = 0
        self._since_detection += 1
        size = (image.shape[0], image.shape[1])
        followed = [t for t in tracks if not t.lost and crop.wish_of_roi(t.roi, size) is None]
        gone = [replace(t, lost=True) for t in tracks if t.number and t not in followed]
        batch, refused = self._measured(image, followed)
        self._tells_presence = self._tells_presence or not np.isnan(batch.presence).all()
        followed = self._judged(followed, batch, refused, now_s)
        return self._report(followed, gone, batch)

    def _is_detection_due(self, tracks: Sequence[_Track]) -> bool:
        alive = [track for track in tracks if not track.lost]
        if any(track.doubt for track in alive):
            return True
        every = self.options.detect_every or (
            DETECT_EVERY if self._tells_presence else DETECT_EVERY_BLIND
        )
        if not alive or len(alive) < len(tracks):
            every = min(every, self.options.search_every)
        return self._since_detection >= every

    def _detected(self, tracks: Sequence[_Track], image: np.ndarray, now_s: float) -> list[_Track]:
        """Tracks after a run of the detector: confirmed, missed, returned, new."""
        found = self._locate(image)
        regions = Regions.from_boxes(found.boxes, self._convention, found.rotations)
        rois, rotations = regions.rois, regions.rotations.tolist()
        pairs = _matched(tracks, found.boxes, now_s)
        result = []
        for index, track in enumerate(tracks):
            if index not in pairs:
                result.append(replace(track, unseen=True))
                continue
            j = pairs[index]
            track = replace(track, score=float(found.scores[j]), unseen=False, found=found.boxes[j])
            if track.lost or track.doubt:  # what it held on to is not to be trusted
                where = {"roi": rois[j], "rotation": rotations[j], "box": found.boxes[j]}
                track = replace(track, **where, lost=False, placed=True)
            result.append(track)
        new = [j for j in range(len(found)) if j not in pairs.values()]
        result += [
            _Track(
                number=0,
                box=found.boxes[j],
                roi=rois[j],
                rotation=rotations[j],
                velocity=np.zeros(2),
                score=float(found.scores[j]),
                seen_s=now_s,
                placed=True,
            )
            for j in new[: self._room(result)]
        ]
        return result

    def _room(self, tracks: Sequence[_Track]) -> int | None:
        if self.options.max_faces is None:
            return None
        return max(0, self.options.max_faces - sum(not track.lost for track in tracks))

    def _measured(
        self, image: np.ndarray, tracks: Sequence[_Track]
    ) -> tuple[FaceBatch, np.ndarray]:
        """The network on all regions, and a mask of what the detector has found and is no face.

        Where a region comes from the detector the face is looked for first. The detector's regions
        are placed by another rule than those that follow: without the second look a face's first
        frame would differ from the others.
        """
        regions, refused = _regions(tracks), np.zeros(len(tracks), bool)
        asked = [k for k, track in enumerate(tracks) if track.is_asked]
        if asked:
            scores = np.array([tracks[k].score for k in asked], np.float32)
            batch, believed = self._look(image, regions[asked], scores)
            placed = np.array([tracks[k].placed for k in asked])
            refused[asked] = placed & ~believed
            own = Regions.from_landmarks(batch.landmarks)
            moved = placed | regions[asked].differ(own)
            moved &= own.are_inside((image.shape[0], image.shape[1]))
            regions = regions.replaced(np.array(asked)[moved], own[moved])
        return self._looked_at(image, regions), refused

    def _looked_at_once(
        self, image: np.ndarray, regions: Regions, scores: np.ndarray
    ) -> tuple[FaceBatch, np.ndarray]:
        return self._looked_at(image, regions), np.ones(len(scores), bool)

    def _looked_at(self, image: np.ndarray, regions: Regions) -> FaceBatch:
        crops = regions.crops(image, self._crop_size)
        return self._measure(crops, regions.rois, regions.rotations)

    def _judged(
        self, tracks: Sequence[_Track], batch: FaceBatch, refused: np.ndarray, now_s: float
    ) -> list[_Track]:
        """Tracks moved to where the network sees them, with doubt counted."""
        if not tracks:
            return []
        seen = crop.landmark_boxes(batch.landmarks)
        own = _followed(batch, seen)
        sure = ~(batch.presence < UNQUESTIONED)
        doubtful = _jumped(seen, _stacked([track.expected(now_s) for track in tracks]))
        if doubtful.any():
            if self._tells_presence:
                # Else only the clock tells that a face has moved on and the network saw none.
                doubtful &= _jumped(seen, _stacked([track.stepped for track in tracks]))
            doubtful &= ~_is_confirmed(seen, tracks)
            doubtful &= np.array([not track.placed for track in tracks])
        # A comparison with NaN is false: no presence, no doubt.
        doubtful |= refused | (batch.presence < self.options.least_presence)
        if not self._tells_presence:
            doubtful |= np.array([track.unseen for track in tracks])
        doubtful |= _is_second(seen, tracks, doubtful, now_s)
        return [
            # In doubt it stays where it was last believed: there it is looked for.
            replace(track, doubt=track.doubt + 1, placed=False, found=None)
            if doubtful[i]
            else _moved(track, seen[i], own[i], bool(sure[i]), now_s)
            for i, track in enumerate(tracks)
        ]

    def _report(self, followed: Sequence[_Track], gone: list[_Track], batch: FaceBatch) -> Tracked:
        """Number the new, let go of the lost, and put the others in the order of their numbers."""
        kept: list[tuple[_Track, int]] = []
        for row, track in enumerate(followed):
            if track.number == 0:
                if track.doubt:
                    continue  # never believed
                track = replace(track, number=self._next)
                self._next += 1
            if track.doubt >= self.options.patience:
                gone.append(replace(track, lost=True, doubt=0, unseen=False))
            else:
                kept.append((track, row))
        kept.sort(key=lambda pair: pair[0].number)
        self._tracks = [track for track, _ in kept] + gone
        rows = [row for _, row in kept]
        return Tracked(
            [track.number for track, _ in kept],
            batch[rows],
            np.array([track.score for track, _ in kept], np.float32),
        )

    def _adapt_to(self, size: tuple[int, int]) -> None:
        """Streams change their resolution: the same faces are elsewhere in pixels then."""
        if self._size is not None and size != self._size:
            factor = np.divide(size, self._size)
            twice = np.tile(factor, 2).astype(np.float32)
            self._tracks = [
                replace(
                    t,
                    box=t.box * twice,
                    roi=t.roi * twice,
                    velocity=t.velocity * factor,
                    step=t.step * factor,
                    anchor=t.anchor and (t.anchor[0], t.anchor[1] * factor),
                )
                for t in self._tracks
            ]
            self._since_detection = math.inf
        self._size = size


def _followed(batch: FaceBatch, seen: np.ndarray) -> Regions:
    """Regions for the next frame: those of the landmarks, moved and turned only where they must.

    ``seen`` are the boxes around the landmarks.
    One that is turned stays so, by the same angle, while the face leans in it by little.
    """
    lean = crop.lean_of_faces(batch.landmarks)
    if not batch.rotations.any() and not (np.abs(lean) > LEAST_LEAN).any():  # as most often
        steady = box_maths.steady(crop.rois_around(seen), batch.rois, ROI_SLACK)
        return Regions(steady, batch.rotations)
    off = np.abs((lean - batch.rotations + 180) % 360 - 180)
    turned = batch.rotations != 0
    leans = np.abs(lean) > np.where(turned, LEAST_LEAN - LEAN_SLACK, LEAST_LEAN)
    rotations = np.where(turned & (off <= LEAN_SLACK), batch.rotations, lean)
    rotations = np.where(leans, rotations, 0).astype(np.float32)
    rois = crop.rois_from_landmarks(batch.landmarks, rotations)
    steady = box_maths.steady(rois, batch.rois, ROI_SLACK)
    same = (rotations == batch.rotations)[:, None]
    return Regions(np.where(same, steady, rois), rotations)


def _regions(tracks: Sequence[_Track]) -> Regions:
    rotations = np.array([track.rotation for track in tracks], np.float32)
    return Regions(_stacked([track.roi for track in tracks]), rotations)


def _matched(tracks: Sequence[_Track], found: np.ndarray, now_s: float) -> dict[int, int]:
    """Index of each track that the detector sees -> index of the box.

    First the tracks that are sure of their place, then, among the boxes that are left, those that
    have to be looked for a little further away.
    """
    by_clock = _stacked([track.expected(now_s) for track in tracks])
    by_step = _stacked([track.stepped for track in tracks])
    pairs: dict[int, int] = {}
    for grown, least, wanted in (
        (1.0, SAME_FACE, lambda track: not track.lost),
        (_RETURN_GROWTH, _RETURN_OVERLAP, lambda track: track.lost or track.doubt > 0),
    ):
        those = [i for i, track in enumerate(tracks) if i not in pairs and wanted(track)]
        free = [j for j in range(len(found)) if j not in pairs.values()]
        clock, step = (
            box_maths.overlaps(box_maths.grow(expected[those], grown), found[free])
            for expected in (by_clock, by_step)
        )
        near = box_maths.assign_by(np.maximum(clock, step), least)
        pairs |= {those[a]: free[b] for a, b in near}
    return pairs


def _moved(track: _Track, seen: np.ndarray, own: Regions, sure: bool, now_s: float) -> _Track:
    """A track that is believed to be where the network sees it."""
    centre = (seen[:2] + seen[2:]) / 2
    # The detector's box has another centre than the landmarks': no speed can be told from it.
    velocity, step, anchor = np.zeros(2), np.zeros(2), (now_s, centre)
    if not track.placed:
        step = centre - (track.box[:2] + track.box[2:]) / 2
        then_s, there = track.anchor or (track.seen_s, centre - step)
        velocity = track.velocity
        if now_s - then_s >= SHORTEST_S:
            velocity = 0.5 * (velocity + (centre - there) / (now_s - then_s))
        elif now_s >= then_s:
            anchor = (then_s, there)
    return replace(
        track,
        box=seen,
        roi=own.rois,
        rotation=float(own.rotations),
        sure=sure,
        velocity=velocity,
        step=step,
        anchor=anchor,
        seen_s=now_s,
        doubt=0,
        placed=False,
        found=None,
    )


def _jumped(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """True where boxes moved or grew more than faces do from one frame to the next, (N,) bool."""
    size, before = box_maths.sizes(seen), box_maths.sizes(expected)
    distance = np.linalg.norm(box_maths.centres(seen) - box_maths.centres(expected), axis=1)
    growth = size / np.maximum(before, 1e-6)
    far: np.ndarray = distance > LARGEST_JUMP * before
    return far | (growth > LARGEST_GROWTH) | (growth < 1 / LARGEST_GROWTH)


def _is_confirmed(seen: np.ndarray, tracks: Sequence[_Track]) -> np.ndarray:
    """True where the detector sees a face at the landmarks in this very frame, (N,) bool."""
    return np.array(
        [
            track.found is not None
            and box_maths.overlaps(box[None], track.found[None])[0, 0] >= SAME_FACE
            for box, track in zip(seen, tracks, strict=True)
        ],
        bool,
    )


def _is_second(
    seen: np.ndarray, tracks: Sequence[_Track], doubtful: np.ndarray, now_s: float
) -> np.ndarray:
    """True where a track has slipped onto another one's face, (N,) bool.

    Of two tracks on one face that one is the second which is new, else the one that is farther from
    where it was going: behind a face in front the hidden one's landmarks go along with the other's.
    A new one of another size, from a box around more than a face, is also on the same as one that
    is in no doubt.
    """
    second = np.zeros(len(seen), bool)
    twice = np.triu(box_maths.overlaps(seen, seen) > TWICE, 1)
    new = np.array([track.number == 0 for track in tracks])
    if new.any():
        beside = new[:, None] & ~doubtful
        twice |= np.triu((beside | beside.T) & (box_maths.shares(seen, seen) > TWICE), 1)
    for i, j in zip(*np.nonzero(twice), strict=True):
        pair = (int(i), int(j))
        away = [
            np.linalg.norm(
                box_maths.centres(seen[k : k + 1])
                - box_maths.centres(tracks[k].expected(now_s)[None])
            )
            for k in pair
        ]
        rank = [(tracks[k].number == 0, tracks[k].doubt, away[n], k) for n, k in enumerate(pair)]
        second[max(rank)[3]] = True
    return second


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)
