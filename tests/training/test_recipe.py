"""The recipe in docs/training.md that needs no data: its commands and file, with fewer steps."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
import yaml
from helpers.shared_material import REPOSITORY

from facegeo.cli import main
from facegeo.geometry.crop import find_convention
from facegeo.networks.synergy.weights import read_weights

CONFIG = REPOSITORY / "examples" / "train_small.yaml"


@pytest.fixture
def commands() -> list[list[str]]:
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    section = page.split("## In ten minutes, without data")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in code.splitlines()]


def test_the_recipe_runs(commands, tmp_path, monkeypatch, capsys):
    """Fewer faces and epochs than the file says; all else is what it says."""
    monkeypatch.chdir(tmp_path)
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    (tmp_path / "examples").mkdir()
    shorter = settings | {"epochs": 3, "evaluate_epochs": 1, "batch": 16}
    (tmp_path / "examples" / CONFIG.name).write_text(yaml.safe_dump(shorter))
    label, train = commands
    assert label[:2] == ["facegeo", "label"] and train[:2] == ["facegeo", "train"]
    assert main([*label[1:], "--count", "96"]) == 0
    assert main(train[1:]) == 0
    captured = capsys.readouterr()
    weights = captured.out.splitlines()[-1]
    assert weights == f"{settings['run']}/weights.npz"
    network = read_weights(tmp_path / weights, find_convention("exact"))
    assert network.config.backbone == settings["network"]["backbone"]
    lines = (tmp_path / settings["run"] / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    errors = [record["held_back"]["nme"] for record in records]
    assert len(errors) == 3 and np.isfinite(errors).all()
    assert "held_back/nme" in captured.err and "epoch 3/3: " in captured.err
    assert records[-1]["loss"]["total"] < records[0]["loss"]["total"]


def test_what_the_page_says_of_the_recipe_is_what_the_file_says():
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert f"crops of {settings['sizes'][0][1]} pixels" in page
    assert settings["data"]["held_back"] == 0.1
