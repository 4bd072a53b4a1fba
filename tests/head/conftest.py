"""The build of the head, which lies beside the model and not in the package."""

import importlib.util
import sys

from helpers.shared_material import REPOSITORY

_FOLDER = REPOSITORY / "models" / "facegeo-head" / "build"
_spec = importlib.util.spec_from_file_location(
    "head_build", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
)
sys.modules["head_build"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["head_build"])
