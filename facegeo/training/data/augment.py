"""Settings of the random views of a labelled crop."""

from __future__ import annotations

from dataclasses import dataclass

from facegeo.training.core.settings import NOT_NEGATIVE, SHARE, Interval, check_numbers


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities (0..1) and ranges.

    Attributes
    ----------
    flip, occlusion, cut, blur, noise, jpeg, grey : float
        Probability of a horizontal flip, patches over the face, a part of it beyond the image's
        border, blur, noise, compression, and an image without colour.
    swap, reshape, turn : float
        Probability of another face's texture, another shape and expression, and a head turned
        further to the side. These views are made beforehand, ``data.variants`` of each face.
    rotation_deg, shift : float
        Largest turn, and largest shift as a part of the crop's side, each way.
    zoom : float
        Scale between 1 / (1 + zoom) and 1 + zoom.
    recentre : float
        Probability that a view is placed as a tracker or a benchmark would place it: the turned
        landmarks' box in the middle, by :func:`facegeo.geometry.crop.rois_from_landmarks`, with a
        quarter of ``shift`` and ``zoom``. The other views keep the place that their crop has.
    brightness, contrast, saturation, tint : float
        Largest change, as a part of the full range.
    """

    flip: float = 0.5
    swap: float = 0.1
    reshape: float = 0.0
    turn: float = 0.0
    occlusion: float = 0.3
    cut: float = 0.0
    blur: float = 0.2
    noise: float = 0.0
    jpeg: float = 0.2
    grey: float = 0.05
    rotation_deg: float = 20.0
    shift: float = 0.05
    zoom: float = 0.12
    recentre: float = 0.0
    brightness: float = 0.2
    contrast: float = 0.3
    saturation: float = 0.3
    tint: float = 0.1

    def __post_init__(self) -> None:
        probabilities = "flip swap reshape turn occlusion cut blur noise jpeg grey recentre"
        numbers = {SHARE: f"{probabilities} shift brightness contrast saturation tint"}
        numbers |= {Interval(0, 180): "rotation_deg", NOT_NEGATIVE: "zoom"}
        check_numbers(self, "augment.", numbers)

    @property
    def made_beforehand(self) -> float:
        """Probability that a view's face is swapped, reshaped or turned."""
        return 1 - (1 - self.swap) * (1 - self.reshape) * (1 - self.turn)
