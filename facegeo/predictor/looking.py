"""The network's looks at a face: at its box's region, at the one that it asks for, and turned.

A region is placed by a box first. Where the landmarks that are seen there ask for another one the
network looks again, so what is measured does not depend on whose box it was. What is not fully
believed is looked at in the very crop that it asks for. What is doubtful even then may be a face
that lies on its side or stands on its head, whose forehead a network takes for a chin; it is looked
at in the other orientations, and the one that is believed most counts. Faces stand upright as a
rule, so another orientation must be believed clearly more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facegeo.conventions import LANDMARK_REGIONS
from facegeo.detect.base import UNQUESTIONED
from facegeo.geometry import crop
from facegeo.geometry.regions import SLACK, Regions
from facegeo.results import FaceBatch

#: Most times that the network looks at a face: at its box's region, and at those that it asks for,
#: until they are off by no more than this part of the side.
LOOKS, FINE_SLACK = 3, 0.02

#: Landmarks in a crop that is off lie nearer to where training crops have them than the face does:
#: on Helen and AFW they show 0.8 to 0.9 of it. From here on the network looks again.
FIRST_SLACK = 0.8 * SLACK

#: Degrees by which a face may be turned against what was seen, and where its middle is then: at so
#: many times the way from the middle of what was seen to the eyes. What stands on its head was seen
#: with its eyes on its eyes, so its middle lies on their other side, or with its mouth for eyes:
#: then it is the same.
_TURNS = ((45.0, 0), (-45.0, 0), (90.0, 0), (-90.0, 0), (180.0, 0), (180.0, 1), (180.0, 2))

#: Degrees between two looks that tell of different orientations; looks at one differ by less.
_OTHER_LEAN = 40.0

#: By so much the logarithm of the odds, presence to 1 - presence, must be better in another
#: orientation. On training faces of Helen, AFW and AFLW 0.75 to 1.5 take no upright face for a
#: turned one, whatever its box; 0.5 does, and 2 loses turned ones.
_UPRIGHT_ODDS = 1.0

_EYES = [*LANDMARK_REGIONS["right_eye"], *LANDMARK_REGIONS["left_eye"]]

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], FaceBatch]


@dataclass(frozen=True, eq=False)
class Looker:
    """The network's eye.

    Attributes
    ----------
    measure : callable
        Crops (N, S, S, 3), rois (N, 4), rotations (N,) -> FaceBatch.
    crop_size : int
    recrop : bool
        Look more than once.
    """

    measure: Measure
    crop_size: int
    recrop: bool

    def __call__(
        self, images: Sequence[np.ndarray], owners: np.ndarray, regions: Regions
    ) -> tuple[FaceBatch, np.ndarray]:
        """Faces of several images.

        Parameters
        ----------
        images : sequence of (H, W, 3) uint8
        owners : (N,) int
            Which image each region is of.
        regions : Regions

        Returns
        -------
        batch : FaceBatch
            N faces.
        first : (N,) float32
            Presence in the regions themselves, at the first look.
        """
        batch = self._look(images, owners, regions)
        first = batch.presence
        return (self._looked_again(images, owners, regions, batch) if self.recrop else batch), first

    def _looked_again(
        self,
        images: Sequence[np.ndarray],
        owners: np.ndarray,
        regions: Regions,
        batch: FaceBatch,
    ) -> FaceBatch:
        batch = self._settled(images, owners, regions, batch, FIRST_SLACK)
        doubtful = np.flatnonzero(batch.presence < UNQUESTIONED)
        if len(doubtful) == 0:
            return batch
        known, seen = owners[doubtful], batch[doubtful]
        regions = Regions(seen.rois, seen.rotations)
        finer = self._settled(images, known, regions, seen, FINE_SLACK)
        batch = _most_believed(batch, doubtful, finer)
        doubtful = doubtful[batch.presence[doubtful] < UNQUESTIONED]
        rows = np.repeat(doubtful, len(_TURNS))
        degrees, ways = np.tile(_TURNS, (len(doubtful), 1)).T
        others = _turned(batch[rows], degrees, ways)
        inside = _are_inside(images, owners[rows], others)
        rows, others = rows[inside], others[inside]
        if len(rows) == 0:
            return batch
        turned = self._look(images, owners[rows], others)
        turned = self._settled(images, owners[rows], others, turned, FIRST_SLACK)
        return _most_believed(batch, rows, turned)

    def _settled(
        self,
        images: Sequence[np.ndarray],
        owners: np.ndarray,
        regions: Regions,
        batch: FaceBatch,
        first_slack: float,
    ) -> FaceBatch:
        """Faces as they are seen after looks at the regions that the landmarks ask for."""
        slack = np.full(len(regions), first_slack)
        for _ in range(LOOKS - 1):
            wanted = Regions.from_landmarks(batch.landmarks)
            rows = np.flatnonzero(regions.differ(wanted, slack))
            rows = rows[_are_inside(images, owners[rows], wanted[rows])]
            if len(rows) == 0:
                break
            again = self._look(images, owners[rows], wanted[rows])
            # Where another look believes less, it has left the face. NaN, no presence: the other.
            better = ~((again.presence < 0.5) & (again.presence < batch.presence[rows]))
            regions = regions.replaced(rows, wanted[rows])
            batch = batch.replaced(rows[better], again[better])
            slack[rows] = FINE_SLACK
        return batch

    def _look(
        self, images: Sequence[np.ndarray], owners: np.ndarray, regions: Regions
    ) -> FaceBatch:
        crops = np.zeros((len(regions), self.crop_size, self.crop_size, 3), np.uint8)
        for owner in set(owners.tolist()):
            rows = owners == owner
            crops[rows] = regions[rows].crops(images[owner], self.crop_size)
        return self.measure(crops, regions.rois, regions.rotations)


def _turned(batch: FaceBatch, degrees: np.ndarray, ways: np.ndarray) -> Regions:
    """Regions of faces that are turned by so much against what was seen; see :data:`_TURNS`."""
    regions = Regions(batch.rois, batch.rotations)
    points = batch.landmarks[..., :2]
    eyes = points[:, _EYES].mean(axis=1) - (points.min(axis=1) + points.max(axis=1)) / 2
    shift = ways[:, None] * eyes
    rois = batch.rois + np.rint(np.tile(shift, 2)).astype(np.float32)
    rotations = (regions.rotations + degrees + 180) % 360 - 180
    return Regions(rois, rotations.astype(np.float32))


def _most_believed(batch: FaceBatch, rows: np.ndarray, others: FaceBatch) -> FaceBatch:
    """The batch with the other faces, one or more for some rows, that are believed more."""
    lean, before = crop.lean_of_faces(others.landmarks), crop.lean_of_faces(batch.landmarks[rows])
    off = np.abs((lean - before + 180) % 360 - 180)
    merit = _log_odds(others.presence) - _UPRIGHT_ODDS * (off > _OTHER_LEAN)
    order = np.lexsort((merit, rows))
    best = order[np.append(np.diff(rows[order]) > 0, True)]  # the last of each row
    best = best[merit[best] > _log_odds(batch.presence[rows[best]])]
    return batch.replaced(rows[best], others[best]) if len(best) else batch


def _log_odds(presence: np.ndarray) -> np.ndarray:
    likely = np.clip(presence, 1e-6, 1 - 1e-6, dtype=np.float64)
    return np.asarray(np.log(likely / (1 - likely)))


def _are_inside(images: Sequence[np.ndarray], owners: np.ndarray, regions: Regions) -> np.ndarray:
    inside = np.zeros(len(regions), bool)
    for owner in set(owners.tolist()):
        rows = owners == owner
        height, width = images[owner].shape[:2]
        inside[rows] = regions[rows].are_inside((height, width))
    return inside
