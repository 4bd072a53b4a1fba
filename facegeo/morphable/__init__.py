"""3D morphable models: coefficients to vertices and landmarks, fitting, files, readers."""

from facegeo.morphable.basis import Eyes, LandmarkBasis, Mirror, VertexTexture
from facegeo.morphable.model import DEFAULT_FACE_MODEL, MorphableModel

__all__ = [
    "DEFAULT_FACE_MODEL",
    "Eyes",
    "LandmarkBasis",
    "Mirror",
    "MorphableModel",
    "VertexTexture",
]
