"""The examples as modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from helpers.shared_material import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="session")
def example() -> Callable[[str], ModuleType]:
    """Imports an example by its path under ``examples/``, without the ending."""

    def load(name: str) -> ModuleType:
        path = EXAMPLES / f"{name}.py"
        spec = spec_from_file_location(f"example_{name.replace('/', '_')}", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # as dataclasses and FastAPI expect
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def clip_frames(shared: Path) -> list[np.ndarray]:
    """The first eight frames of the talking head, BGR, at half their size."""
    pytest.importorskip("av", reason="video needs the extra [video]")
    from facegeo.video.sources import FileSource

    source = FileSource(shared / "data" / "photos" / "talking_head.mp4")
    try:
        frames = [image for _, (_, image) in zip(range(8), source.frames(), strict=False)]
    finally:
        source.close()
    return [cv2.resize(image, None, fx=0.5, fy=0.5) for image in frames]
