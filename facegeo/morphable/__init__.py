"""3D morphable models: coefficients to vertices and landmarks, fitting, files, readers."""

from facegeo.morphable.basis import LandmarkBasis, Mirror
from facegeo.morphable.model import MorphableModel

__all__ = ["LandmarkBasis", "Mirror", "MorphableModel"]
