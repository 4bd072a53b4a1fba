"""Models inside the package behave as installed ones, with no cache, no download, no setting."""

from __future__ import annotations

import fnmatch
import importlib.util
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.morphable_data import GENERIC_FILE, generic_model
from helpers.shared_material import REPOSITORY

import facegeo
from facegeo import FaceGeometry
from facegeo.cli import main
from facegeo.detect import open_detector
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.zoo import Card, cache_dir, find, list_models, releases, shipped
from facegeo.zoo.cards import read_card
from facegeo.zoo.store import add_files, find_any, install
from models.release.package import write_shipped

GENERIC = GENERIC_FILE.name

REAL = Path(facegeo.__file__).parent / "assets"


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A package with the generic face model only, and an environment with nothing."""
    folder = tmp_path / "assets"
    folder.mkdir()
    shutil.copy(GENERIC_FILE, folder)
    monkeypatch.setattr(shipped, "ASSETS", folder)
    monkeypatch.setattr(shipped, "further_roots", lambda: ())
    monkeypatch.delenv("FACEGEO_SHARED", raising=False)
    monkeypatch.setenv("FACEGEO_OFFLINE", "1")
    return folder


@pytest.fixture
def detector(assets: Path) -> None:
    """The package's own face detector beside it."""
    for path in REAL.glob(f"{releases.DEFAULT_DETECTOR}*"):
        shutil.copy(path, assets)


def tiny_card(name: str = "tiny", task: str = "landmarks", **facts) -> Card:
    plain = Card(name, task, "synergynet", "a test", "MIT", {}, crop_convention="exact")
    return replace(plain, **facts)


def is_default(monkeypatch: pytest.MonkeyPatch, task: str, name: str) -> None:
    monkeypatch.setitem(releases.DEFAULTS, task, name)


@pytest.fixture(scope="module")
def network_bytes() -> bytes:
    """A small SynergyNet of the generic face model, exported."""
    pytest.importorskip("torch")
    from helpers.synergy_networks import exported, small_network

    return exported(small_network())


@pytest.fixture
def tiny(assets: Path, network_bytes: bytes) -> Card:
    return write_shipped(tiny_card(), network_bytes, {"morphable": GENERIC})


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_a_shipped_network_gives_landmarks_and_its_own_mesh(
    tiny, detector, name, monkeypatch, sample_photo
):

    from facegeo.surface.dense import dense_faces

    is_default(monkeypatch, "landmarks", "tiny")
    predictor = FaceGeometry(name, backend="onnxruntime")
    assert predictor.info()["model"] == "tiny" and not cache_dir().exists()
    (face,) = predictor(sample_photo, boxes=[[180, 70, 270, 180]])
    rows = generic_model().landmark_rows
    assert np.abs(face.coarse_mesh.vertices[rows] - face.coarse_landmarks).max() < 0.02
    dense = dense_faces([face])
    assert not dense.fitted
    assert np.abs(dense.vertices[0] - face.mesh.vertices).max() < 0.01


def test_the_commands_know_it(tiny, detector, monkeypatch, tmp_path, sample_photo, capsys):
    import json

    import cv2

    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    is_default(monkeypatch, "landmarks", "tiny")
    photo = str(tmp_path / "photo.png")
    command = ["predict", photo, "--json"]
    assert main([*command, "--model", "default"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert len(result["faces"]) == 1
    assert main(["models", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["installed"]["tiny"]
    assert entry["shipped"] and entry["mesh"]
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert text.index("In facegeo itself") < text.index("tiny") < text.index("Nothing installed")


def test_an_8_bit_network_in_the_package_is_what_auto_takes(
    assets, detector, network_bytes, monkeypatch, caplog
):
    """The wheel brings the fast path: no export, no cache, no choice."""
    pytest.importorskip("onnx")
    from facegeo import backends
    from facegeo.export.precision import to_int8
    from facegeo.export.publishing import sample_crops

    crops = sample_crops(8)
    small = to_int8(network_bytes, crops)
    assert len(small) < 0.45 * len(network_bytes)
    shared = {"morphable": GENERIC}
    write_shipped(tiny_card(), network_bytes, shared, {"network-int8": small})
    assert (assets / "tiny-int8.onnx").read_bytes() == small and list_models("landmarks") == [
        "tiny"
    ]
    monkeypatch.setattr(backends, "runs_int8_exactly", lambda: True)
    predictor = FaceGeometry("tiny")
    assert predictor.info()["precision"] == "int8" and not cache_dir().exists()
    rois = np.tile(np.float32([0, 0, 120, 120]), (8, 1))
    exact = FaceGeometry("tiny", precision="fp32").predict_crops(crops, rois).landmarks
    assert np.abs(predictor.predict_crops(crops, rois).landmarks - exact).mean() < 3
    monkeypatch.setattr(backends, "runs_int8_exactly", lambda: False)
    assert FaceGeometry("tiny").network.precision == "fp32"


def test_a_precision_is_added_to_a_shipped_model_and_forgotten_with_it(
    tiny, network_bytes, tmp_path, cache, caplog, capsys
):
    pytest.importorskip("onnx")
    target = str(tmp_path / "x.onnx")
    command = ["export", "tiny", "--precision", "fp16", "--out", target, "--install"]
    assert main([*command, "--tolerance-px", "9", "--tolerance-deg", "9"]) == 0
    model = find("tiny")
    assert model.ships and model.read("network-fp16") == (tmp_path / "x.onnx").read_bytes()
    assert model.read("network") == network_bytes and list_models() == ["tiny"]
    predictor = FaceGeometry("tiny", backend="onnxruntime", precision="fp16")
    assert predictor.network.precision == "fp16"
    add_files(model, {"network-bf16": b"another"})
    assert {"network-fp16", "network-bf16", "morphable"} <= set(find("tiny").card.files)
    assert caplog.text == ""

    newer = network_bytes + b"\x72\x00"  # an empty metadata entry: the same network, other bytes
    write_shipped(tiny_card(), newer, {"morphable": GENERIC})
    assert "network-fp16" not in find("tiny").card.files
    assert "facegeo export tiny --install" in caplog.text


def test_shipped_and_installed_models_are_listed_together(tiny):
    install(tiny_card("other", "detection"), {"network": b"onnx"})
    assert list_models() == ["other", "tiny"]
    assert list_models("landmarks") == ["tiny"] and list_models("detection") == ["other"]
    assert find("tiny").ships and not find("other", "detection").ships


def test_the_name_of_a_shipped_model_cannot_be_installed(tiny, cache):
    with pytest.raises(InvalidInputError, match="ships with facegeo"):
        install(tiny_card(), {"network": b"onnx"})
    assert not cache.exists()


def test_a_damaged_shipped_file_is_noticed(tiny, assets):
    (assets / "tiny.onnx").write_bytes(b"onnx")
    with pytest.raises(CorruptFileError, match=r"tiny\.onnx.*install facegeo again"):
        FaceGeometry("tiny")


def test_pytorch_runs_from_the_same_file(tiny, detector, sample_photo):
    boxes = [[180, 70, 270, 180]]
    (ours,) = FaceGeometry("tiny", backend="pytorch")(sample_photo, boxes=boxes)
    (theirs,) = FaceGeometry("tiny", backend="onnxruntime")(sample_photo, boxes=boxes)
    assert np.abs(ours.landmarks - theirs.landmarks).max() < 0.01


def test_a_network_that_would_swell_the_wheel_is_refused(assets):
    with pytest.raises(InvalidInputError, match="4000001 bytes"):
        write_shipped(tiny_card("detector", "detection"), bytes(4_000_001))
    others = {"network-int8": bytes(5_400_001)}
    with pytest.raises(InvalidInputError, match="network-int8 has 5400001 bytes, at most 5400000"):
        write_shipped(tiny_card(), b"onnx", others=others)
    assert list_models() == [] and len(list(assets.iterdir())) == 1


def test_a_shipped_detector_is_opened(assets, monkeypatch, sample_photo, random_detector):
    _, onnx = random_detector
    write_shipped(tiny_card("detector", "detection", architecture="one-stage"), onnx)
    is_default(monkeypatch, "detection", "detector")
    for name in ("detector", "default", "auto"):
        assert open_detector(name).name == "detector"
    assert open_detector("default")(sample_photo).boxes.shape[1] == 4


def test_a_detector_of_an_unknown_kind_is_refused(assets):
    write_shipped(tiny_card("detector", "detection", architecture="crystal-ball"), b"onnx")
    with pytest.raises(InvalidInputError, match="crystal-ball"):
        open_detector("detector")


def test_every_json_file_among_the_assets_is_a_card():
    for path in REAL.glob("*.json"):
        assert read_card(path).name == path.stem


@pytest.mark.parametrize("name", shipped.shipped_names())
def test_what_really_ships_is_whole_and_small(name):
    model = find_any(name)
    assert model.ships and model.card.name == name
    for role in model.card.files:
        model.read(role)  # compares the checksum
    for role in (role for role in model.card.files if role.startswith("network")):
        network = model.read(role)
        assert len(network) <= shipped.largest(model.card.task, role)
        assert b"/work" not in network and b"/tmp" not in network and b"/home" not in network


def test_every_asset_is_in_the_package():
    """In a test run of the installed package this looks into the wheel."""
    ours = {path.name for path in (REPOSITORY / "facegeo/assets").iterdir()}
    assert "facegeo-head.npz" in ours and {path.name for path in REAL.iterdir()} == ours
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["facegeo"]
    assert all(any(fnmatch.fnmatch(f"assets/{name}", p) for p in patterns) for name in ours)


@pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="needs the package build")
def test_the_wheel_holds_every_asset(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE.md"):
        shutil.copy(REPOSITORY / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "facegeo", source / "facegeo", ignore=ignored)
    (source / "facegeo/assets/another.json").write_text("{}")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "."]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("facegeo/assets/")}
    assert held == {f"facegeo/assets/{p.name}" for p in (source / "facegeo/assets").iterdir()}
