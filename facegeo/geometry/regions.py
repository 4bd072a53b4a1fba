"""Square regions of photos from which faces are cut, each upright or turned with its face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegeo.geometry import crop

#: Degrees by which a face must lean before its region is turned. Up to there a network is as exact
#: on the leaning face (on Helen and AFW within 0.02 percent), and an upright crop is quicker.
LEAST_LEAN = 20.0

#: Regions differ where a corner is farther away than this part of their side.
SLACK = 0.08


@dataclass(frozen=True, eq=False)
class Regions:
    """Square regions of one photo or of several.

    Attributes
    ----------
    rois : (N, 4) float32
        ``xyxy``, whole photo pixels.
    rotations : (N,) float32
        Degrees by which each is turned about its middle, clockwise as the viewer sees it.
    """

    rois: np.ndarray
    rotations: np.ndarray

    def __len__(self) -> int:
        return len(self.rois)

    def __getitem__(self, rows: Any) -> Regions:
        return Regions(self.rois[rows], self.rotations[rows])

    def replaced(self, rows: np.ndarray, others: Regions) -> Regions:
        """The regions with others in some rows: ``rows`` are (M,) indices, ``others`` has M."""
        rois, rotations = self.rois.copy(), self.rotations.copy()
        rois[rows], rotations[rows] = others.rois, others.rotations
        return Regions(rois, rotations)

    @classmethod
    def concatenate(cls, parts: Sequence[Regions]) -> Regions:
        """The regions of all parts, at least one, in order."""
        return cls(
            np.concatenate([part.rois for part in parts]),
            np.concatenate([part.rotations for part in parts]),
        )

    @classmethod
    def from_boxes(
        cls, boxes: np.ndarray, convention: crop.CropConvention, rotations: np.ndarray | None = None
    ) -> Regions:
        """By :func:`facegeo.geometry.crop.rois_from_boxes`."""
        rotations = np.zeros(len(boxes), np.float32) if rotations is None else rotations
        rois = crop.rois_from_boxes(boxes, convention, rotations)
        return cls(rois, np.asarray(rotations, np.float32))

    @classmethod
    def from_landmarks(cls, landmarks: np.ndarray) -> Regions:
        """By :func:`facegeo.geometry.crop.rois_from_landmarks`, turned where a face leans.

        Parameters
        ----------
        landmarks : (N, 68, 2 or 3) float
            Photo pixels.
        """
        lean = crop.lean_of_faces(landmarks)
        rotations = np.where(np.abs(lean) > LEAST_LEAN, lean, 0).astype(np.float32)
        return cls(crop.rois_from_landmarks(landmarks, rotations), rotations)

    @property
    def sides(self) -> np.ndarray:
        """(N,) float32, photo pixels."""
        return np.asarray(self.rois[:, 2] - self.rois[:, 0])

    @property
    def corners(self) -> np.ndarray:
        """(N, 4, 2) float64: top left, top right, bottom right, bottom left of each crop."""
        x0, y0, x1, y1 = np.asarray(self.rois, np.float64).T
        corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1).reshape(-1, 4, 2)
        middle = corners.mean(axis=1, keepdims=True)
        turn = crop.rotation_matrices(self.rotations)
        return np.asarray((corners - middle) @ turn.mT + middle)

    def differ(self, others: Regions, slack: float | np.ndarray = SLACK) -> np.ndarray:
        """True where the crop of another region would show something else, ``(N,)`` bool.

        Parameters
        ----------
        others : Regions
            One for each.
        slack : float, or (N,) float
            Largest distance of a corner from the other's, and largest difference of the sides, as
            a part of the region's side.
        """
        if self.rotations.any() or others.rotations.any():
            away = np.linalg.norm(self.corners - others.corners, axis=2).max(axis=1, initial=0)
        else:  # the same, in a tenth of the time
            moved = np.abs(self.rois - others.rois)
            away = np.hypot(*np.maximum(moved[:, :2], moved[:, 2:]).T)
        away = np.maximum(away, np.abs(self.sides - others.sides))
        return np.asarray(away > slack * self.sides)

    def are_inside(self, image_hw: tuple[int, int]) -> np.ndarray:
        """True where a region can be cut out of a photo of this height and width, ``(N,)`` bool."""
        inside = [crop.wish_of_roi(roi, image_hw) is None for roi in self.rois]
        return np.array(inside, bool) & np.isfinite(self.rotations)

    def crops(self, image: np.ndarray, size: int) -> np.ndarray:
        """By :func:`facegeo.geometry.crop.crop_faces`: ``(N, size, size, 3)`` uint8."""
        return crop.crop_faces(image, self.rois, size, rotations=self.rotations)
