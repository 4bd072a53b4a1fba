"""3D morphable models: coefficients to vertices and landmarks, fitting, files, readers."""

from facegeo.morphable.basis import LandmarkBasis, Mirror
from facegeo.morphable.model import DEFAULT_FACE_MODEL, MorphableModel

__all__ = ["DEFAULT_FACE_MODEL", "LandmarkBasis", "Mirror", "MorphableModel"]
