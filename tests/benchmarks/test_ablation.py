"""Runs of the ablation table: each is trained once, wherever and whenever that was."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from helpers.shared_material import REPOSITORY

pytest.importorskip("torch")
yaml = pytest.importorskip("yaml")

from facegeo.errors import InvalidInputError  # noqa: E402


@pytest.fixture
def script(monkeypatch):
    """``benchmarks/ablation.py`` as a module, whose trainings only leave figures."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    module = importlib.import_module("ablation")
    module.trained = []

    def train(command, *, check):
        config = yaml.safe_load(Path(command[-1]).read_text())
        folder = Path(config["run"])
        module.trained.append(folder.name)
        folder.mkdir(parents=True)
        error = 4.0 + config["seed"] + 0.5 * (config["network"]["refinement"] != "all")
        lines = [{"epoch": 1}, {"epoch": 2, "dev": dict.fromkeys(module.FIGURES, error)}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        (folder / "environment.json").write_text('{"torch": "2", "commit": "a"}')

    monkeypatch.setattr(module.subprocess, "run", train)
    return module


def run(script, monkeypatch, tmp_path, *arguments, config="models/synergy-mbv2/ablation.yaml"):
    places = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out.json")]
    command = ["ablation.py", str(REPOSITORY / config), *places, *arguments]
    monkeypatch.setattr(script.sys, "argv", command)
    script.trained.clear()
    script.main()
    return json.loads((tmp_path / "out.json").read_text())


def test_what_the_report_holds_is_not_trained_again(script, monkeypatch, tmp_path):
    rows = ["--rows", "baseline", "mafa"]
    first = run(script, monkeypatch, tmp_path, *rows, "--seeds", "1")
    assert script.trained == ["baseline-0", "mafa-0"]
    for folder in (tmp_path / "runs").iterdir():
        folder.rename(tmp_path / folder.name)  # as on another machine
    both = run(script, monkeypatch, tmp_path, *rows, "--seeds", "2", "--jobs", "2")
    assert sorted(script.trained) == ["baseline-1", "mafa-1"]
    assert both["runs"][:2] == first["runs"] and len(both["runs"]) == 4
    assert {(r["row"], r["seed"]): r["pose_mae_deg_exact"] for r in both["runs"]} == {
        ("baseline", 0): 4.5,
        ("mafa", 0): 4.0,
        ("baseline", 1): 5.5,
        ("mafa", 1): 5.0,
    }


def test_a_report_grows_that_is_older_than_a_setting(script, monkeypatch, tmp_path):
    older = run(script, monkeypatch, tmp_path, "--rows", "mafa", "--seeds", "1")
    del older["config"]["fresh"]
    (tmp_path / "out.json").write_text(json.dumps(older))
    both = run(script, monkeypatch, tmp_path, "--rows", "mafa", "baseline", "--seeds", "1")
    assert script.trained == ["baseline-0"] and len(both["runs"]) == 2


def test_runs_of_another_budget_are_not_mixed(script, monkeypatch, tmp_path):
    run(script, monkeypatch, tmp_path, "--rows", "mafa", "--seeds", "1")
    with pytest.raises(InvalidInputError, match="another configuration"):
        run(script, monkeypatch, tmp_path, config="models/synergy-mbv2/stage-1.yaml")
    assert script.trained == []
