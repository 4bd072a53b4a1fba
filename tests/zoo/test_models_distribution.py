"""facegeo-models: networks beyond the default ones, found beside the package or in a checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.shared_material import REPOSITORY

import facegeo
from facegeo.errors import ModelNotFoundError
from facegeo.zoo import shipped
from facegeo.zoo.releases import FURTHER
from facegeo.zoo.store import find, find_any


def listed_by(site: Path, cache: Path) -> list[str]:
    """Models that a package in a folder of its own lists: no checkout around it."""
    code = "from facegeo.zoo import list_models; print(*list_models())"
    environment = os.environ | {"PYTHONPATH": str(site), "FACEGEO_CACHE_DIR": str(cache)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=site, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="needs the package build")
def test_an_installed_distribution_is_found(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source, site, cache = tmp_path / "models", tmp_path / "site", tmp_path / "cache"
    shutil.copytree(REPOSITORY / "models", source, ignore=shutil.ignore_patterns("build"))
    (source / "synergy-fast/weights/resume.npz").write_bytes(b"of an unfinished run")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "."]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = source.glob("*.whl")
    assert wheel.stat().st_size < 30e6
    shutil.copytree(Path(facegeo.__file__).parent, site / "facegeo")
    assert not set(FURTHER) & set(listed_by(site, cache))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert "facegeo_models/synergy-fast/weights/synergy-fast.onnx" in names
    others = ("__init__.py", "/synergy-fast-bridge.npz")
    assert not [n for n in names if n.endswith((".py", ".npz")) and not n.endswith(others)]
    assert set(FURTHER) <= set(listed_by(site, cache))


def test_a_further_model_shares_the_package_s_face_model():
    if not shipped.further_roots():
        pytest.skip("facegeo-models is not here")
    model = find("synergy-fast")
    assert model.ships and model.folder != shipped.ASSETS
    assert model.path("morphable").parent == shipped.ASSETS
    model.read("morphable")


def test_without_it_a_further_model_says_what_to_install(monkeypatch, cache):
    monkeypatch.setattr(shipped, "further_roots", lambda: ())
    with pytest.raises(ModelNotFoundError, match=r"facegeo\[models\]"):
        find_any("synergy-fast")
