"""Shared fixtures: reference material, models installed once, a predictor."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.shared_material import REPOSITORY, shared_folder

# Scripts of the repository that tests import, behind whatever facegeo is installed.
sys.path.append(str(REPOSITORY))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; tests that need it skip where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("reference material is not here (set FACEGEO_SHARED)")
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """The test can be interrupted, and so can programs that it starts.

    Shells start what runs in the background with SIGINT ignored, and programs inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def installed_cache(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with ``mb05`` and ``faceboxes``, imported from the released weights."""
    pytest.importorskip("torch", reason="importing releases needs PyTorch")
    from facegeo.importing.upstream import import_3ddfa_v2, import_faceboxes

    folder = tmp_path_factory.mktemp("cache")
    upstream = shared / "upstream"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(folder))
        import_3ddfa_v2(upstream / "3ddfa_v2", "mb05", landmark_basis=upstream / "3ddfa")
        import_faceboxes(upstream / "faceboxes" / "FaceBoxesProd.pth")
    return folder


@pytest.fixture
def models(installed_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs with ``mb05`` and ``faceboxes`` installed."""
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
    return installed_cache


@pytest.fixture(scope="session")
def predictor(installed_cache: Path):
    """One predictor for all tests that do not change it: the networks of 3DDFA_V2's release."""
    from facegeo import FaceGeometry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
        return FaceGeometry("mb05", detector="faceboxes")


@pytest.fixture(scope="session")
def installed_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a small random SynergyNet; copy it to add to it."""
    pytest.importorskip("torch", reason="exporting a network needs PyTorch")
    from helpers.tiny_model import install_tiny

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(folder))
        install_tiny()
    return folder


@pytest.fixture(scope="session")
def dev(shared: Path):
    """The evaluation photos of AFLW2000-3D."""
    from facegeo.evaluation.aflw2000 import Aflw2000

    return Aflw2000.open(shared / "data" / "aflw2000_dev")


@pytest.fixture(scope="session")
def dev_photos(dev) -> dict[str, np.ndarray]:
    """Name -> photo."""
    return dict(zip(dev.names, dev.photos(), strict=True))


@pytest.fixture(scope="session")
def sample_photo() -> np.ndarray:
    """The demo photo, one face, BGR."""
    from facegeo.images import demo

    return demo.sample_photo()


@pytest.fixture(scope="session")
def random_detector():
    """facegeo's own detector with random weights, as a network and as its ONNX file.

    Exported once for all tests: it takes seconds.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from facegeo.export.detector import detector_to_onnx
    from facegeo.networks.detector.network import OneStageDetector

    torch.manual_seed(0)
    network = OneStageDetector().eval()
    return network, detector_to_onnx(network)
