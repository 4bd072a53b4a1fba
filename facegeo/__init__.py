"""facegeo: complete 3D face geometry from photos and video.

>>> from facegeo import FaceGeometry
>>> faces = FaceGeometry()("photo.jpg")
>>> faces[0].landmarks, faces[0].pose.yaw
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegeo.morphable import MorphableModel as MorphableModel
    from facegeo.predictor import FaceGeometry as FaceGeometry
    from facegeo.results import Face as Face
    from facegeo.results import Mesh as Mesh
    from facegeo.results import Pose as Pose
    from facegeo.zoo import list_models as list_models

logging.getLogger("facegeo").addHandler(logging.NullHandler())

# Public names are imported when first used, so that `import facegeo` costs next to nothing.
_HOMES = {
    "FaceGeometry": "facegeo.predictor",
    "Face": "facegeo.results",
    "Pose": "facegeo.results",
    "Mesh": "facegeo.results",
    "MorphableModel": "facegeo.morphable",
    "list_models": "facegeo.zoo",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("facegeo")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'facegeo' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
