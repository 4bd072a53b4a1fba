"""The builder: what it makes is what is shipped, the same each time, and written safely."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from generic_archive import shipped
from generic_build import build, write_generic
from helpers.shared_material import REPOSITORY
from scipy.spatial import cKDTree

from facegeo.errors import OutputError


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generic(tmp_path_factory.mktemp("generic") / "model.npz")


@pytest.mark.once
def test_shipped_file_is_what_the_code_builds(fresh: Path) -> None:
    archive = shipped()
    with np.load(fresh, allow_pickle=False) as file:
        mean, names = file["mean"], file["shape_names"]
    # Another machine may round differently and so cut the surface into other triangles.
    assert abs(len(mean) / len(archive["mean"]) - 1) < 0.01
    distance, _ = cKDTree(archive["mean"]).query(mean)
    assert np.mean(distance) < 0.6
    assert np.array_equal(names, archive["shape_names"])


@pytest.mark.once
def test_two_processes_write_the_same_bytes(fresh: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    script = REPOSITORY / "models" / "facegeo-generic" / "make_model.py"
    subprocess.run([sys.executable, script, other], check=True)
    assert other.read_bytes() == fresh.read_bytes()


def test_unwritable_target_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"shape_basis": np.ones((1, 2, 3)), "expression_basis": np.ones((1, 2, 3))}
    monkeypatch.setattr(build, "build_generic", lambda: dict(arrays))
    folder = tmp_path / "taken.npz"
    folder.mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_generic(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.npz"]
