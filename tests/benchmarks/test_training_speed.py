"""The benchmark of training counts faces and seconds."""

from __future__ import annotations

import importlib
import json

import pytest
from helpers.shared_material import REPOSITORY

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("yaml")


def test_rates_are_measured(monkeypatch, tmp_path):
    from helpers.morphable_data import GENERIC_FILE, generic_model
    from helpers.training_data import write_faces

    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    training = importlib.import_module("training")
    write_faces(tmp_path / "faces", generic_model(), 16)
    data = ["--labels", str(tmp_path / "faces" / "labels.npz")]
    data += ["--pictures", str(tmp_path / "faces" / "crops")]
    data += ["--morphable-model", str(GENERIC_FILE), "--out", str(tmp_path / "speed.json")]
    small = ["--backbones", "mobilenet_v1_x0.5", "--batch", "4", "--size", "32", "--steps", "3"]
    assert training.main([*data, *small, "--workers", "0", "--device", "cpu"]) == 0
    report = json.loads((tmp_path / "speed.json").read_text())
    (row,) = report["rows"]
    assert row["backbone"] == "mobilenet_v1_x0.5" and row["device"] == "cpu"
    assert row["views_per_s"] > row["faces_per_s"] > 0 and row["first_step_s"] > 0
    assert report["machine"]
