"""The generator of the face model, which lies beside the model and not in the package."""

import importlib.util
import sys

from helpers.shared_material import REPOSITORY

_FOLDER = REPOSITORY / "models" / "facegeo-generic" / "build"
_spec = importlib.util.spec_from_file_location(
    "generic_build", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
)
sys.modules["generic_build"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["generic_build"])
