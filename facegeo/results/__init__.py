"""Results of the predictor: frozen dataclasses with fixed fields.

Frames, axes and signs are those of :mod:`facegeo.conventions`. Arrays are shared, not copied: treat
them as read-only.
"""

from facegeo.results.batch import FaceBatch, Rows
from facegeo.results.face import Face, Mesh, MeshSource, PhotoResult, Pose

__all__ = ["Face", "FaceBatch", "Mesh", "MeshSource", "PhotoResult", "Pose", "Rows"]
