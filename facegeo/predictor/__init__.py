"""Photos in, faces out."""

from facegeo.predictor.face_geometry import FaceGeometry

__all__ = ["FaceGeometry"]
