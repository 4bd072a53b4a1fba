"""The GPU suite's own logic: deadlines, refusals, targets, the exit code."""

import json
import runpy
import sys

import numpy as np
import pytest
from helpers import mesh_problems
from helpers.shared_material import REPOSITORY

from facegeo.errors import BackendUnavailableError


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    sys.modules.pop("gpu_suite", None)
    import gpu_suite

    return gpu_suite


def test_what_cannot_run_is_not_measured_and_the_deadline_holds(suite):
    now = iter([0.0, 1.0, 2.0, 10.0])

    def refused():
        raise BackendUnavailableError("no NVIDIA driver")

    jobs = {"a": lambda: {"landmarks_per_s": 5.0}, "b": refused, "c": lambda: {"never": 1}}
    kept = []
    results = suite.run_jobs(
        jobs, deadline=9.0, clock=lambda: next(now), keep=lambda r: kept.append(list(r))
    )
    assert kept == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c"],
    ]  # what is known is written before the next job starts
    assert results["a"] == {"landmarks_per_s": 5.0, "seconds": 1.0}
    assert "no NVIDIA driver" in results["b"]["not_measured"]
    assert results["c"] == {"not_measured": "the time was spent"}


def test_an_unforeseen_error_costs_one_result_only(suite):
    jobs = {"a": lambda: 1 / 0, "b": lambda: {"right": True}}
    results = suite.run_jobs(jobs, deadline=float("inf"))
    assert "ZeroDivisionError" in results["a"]["not_measured"] and results["b"]["right"]


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_wrong_landmarks_are_noticed(suite, monkeypatch, shift):
    params = np.tile(np.eye(3, 4, dtype=np.float32).reshape(-1), (suite.BATCH, 1))
    params = np.concatenate([params, np.zeros((suite.BATCH, 50), np.float32)], axis=1)

    class Network:
        def __init__(self, shift: float) -> None:
            self.shift = shift

        def run(self, inputs):
            count = len(inputs["crops"])
            assert inputs["crops"].shape == (count, 96, 96, 3)
            landmarks = np.full((count, 68, 3), self.shift, np.float32)
            return {"params": params[:count], "landmarks": landmarks}

    monkeypatch.setattr(suite, "open_on_gpu", lambda *_: Network(shift))
    monkeypatch.setattr(suite, "open_exact", lambda _: Network(0.0))
    found = suite.time_landmarks("synergy-fast", "pytorch", "fp16")
    assert found["right"] is (shift == 0) and found["landmarks_per_s"] > 0


def test_targets(suite):
    results = {
        "x": {"landmarks_per_s": 61_000.0},
        "y": {"landmarks_per_s": 10.0, "mesh_over_copy": 0.5},
        "z": {"not_measured": "no GPU"},
    }
    found = suite.compare(results)
    assert found["landmarks_per_s"]["reached"] and not found["mesh_over_copy"]["reached"]
    assert found["dense_per_s"] == {"least": 40_000.0, "value": "not measured"}


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ({"a": {"right": True}, "b": {"not_measured": ""}}, 0),
        ({"a": {"right": False}, "b": {"right": True}}, 1),
        ({"a": {"not_measured": ""}}, 3),
    ],
)
def test_exit_code(suite, results, code):
    assert suite.exit_code(results) == code


def test_correctness_runs_the_kernel(suite, gpu, monkeypatch):
    assert (suite.VERTICES, suite.BATCHES) == (mesh_problems.VERTICES, mesh_problems.BATCHES)
    assert suite.TOLERANCE_PX == mesh_problems.TOLERANCE_PX
    assert suite.SIZES[-1] == suite.HEAD and {size.vertices for size in suite.SIZES} > {
        *suite.VERTICES
    }
    small = suite.ModelSize(1, 50), suite.ModelSize(50, 112, 52)
    monkeypatch.setattr(suite, "SIZES", small)
    monkeypatch.setattr(suite, "BATCHES", (1, 9))
    found = suite.check_mesh()
    assert found["right"] and len(found["max_error_px"]) == 4
    monkeypatch.setattr(suite, "build_meshes", lambda *_: np.full((1, 1, 3), 1e3))
    assert not suite.check_mesh()["right"]
    assert suite.max_error(None, None, None, None, np.array([np.nan])) == float("inf")


def test_the_sanitizer_runs_a_program_that_works(suite, gpu, tmp_path):
    command = suite.sanitizer_command("compute-sanitizer")
    assert command[:3] == ["compute-sanitizer", "--error-exitcode", "9"]
    program = tmp_path / "program.py"
    program.write_text(command[-1])
    runpy.run_path(str(program))


def test_a_machine_without_a_gpu_writes_what_it_is(suite, monkeypatch, tmp_path, cache, capsys):
    def refused(*_):
        raise BackendUnavailableError("no NVIDIA driver")

    for name in (
        "check_mesh",
        "time_mesh",
        "time_head",
        "run_sanitizer",
        "open_on_gpu",
        "export_half",
    ):
        monkeypatch.setattr(suite, name, refused)
    out = tmp_path / "gpu.json"
    assert suite.main(["--out", str(out)]) == 3
    report = json.loads(out.read_text())
    assert all("not_measured" in result for result in report["results"].values())
    assert report["targets"]["mesh_over_cublas"]["value"] == "not measured"
