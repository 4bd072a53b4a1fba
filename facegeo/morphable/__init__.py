"""3D morphable models: coefficients to vertices and landmarks, fitting, files, readers."""

from facegeo.morphable.basis import Eyes, LandmarkBasis, Mirror, VertexTexture
from facegeo.morphable.model import MorphableModel

__all__ = ["Eyes", "LandmarkBasis", "Mirror", "MorphableModel", "VertexTexture"]
