"""Benchmarks run and give the keys that tables are made from."""

import json
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest
from helpers.video_data import write_clip

from facegeo.bench import main, upstream
from facegeo.bench.predictor import photo
from facegeo.bench.timing import in_turns
from facegeo.zoo import find


def test_jobs_take_turns():
    calls = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert times["a"].shape == (3,) and (times["a"] > 0).all()
    changes = sum(x != y for x, y in pairwise(calls))
    assert changes >= 2 * 3 - 1


@pytest.mark.parametrize("batch", [1, 3])
def test_the_mesh_benchmark_compares_with_numpy_and_a_copy(capsys, batch):
    arguments = ["mesh", "--json", "--batches", str(batch), "--vertices", "1023"]
    assert main(arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["batch"] == batch and row["max_error_px"] < 0.02
    assert row["faces_per_s"] > 0 and row["speedup_over_numpy"] > 0 and row["time_over_copy"] > 0


def test_what_is_measured_now_is_said_on_standard_error(capsys):
    """Nobody waits for minutes before a silent terminal; standard output stays the report's."""
    assert main(["mesh", "--json", "--batches", "1", "2", "--vertices", "303"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert captured.err.splitlines() == [
        "facegeo-bench: compiling the kernel ...",
        "facegeo-bench: 1 faces of 303 vertices (1 of 2) ...",
        "facegeo-bench: 2 faces of 303 vertices (2 of 2) ...",
    ]


def test_fps_tells_only_what_is_possible_here(cache, capsys, monkeypatch):
    """Unless an engine is asked for by name: then why it is not measured."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    command = ["fps", "--rounds", "1", "--batches", "1", "--tasks", "landmarks"]
    assert main(command) == 0
    out = capsys.readouterr().out
    _, results = out.split("results:")
    assert "onnxruntime" in results and "tensorrt" not in results and "not_measured" not in results
    assert main([*command, "--backends", "openvino", "--precisions", "fp32"]) == 0
    assert 'openvino fp32 on auto: backend "openvino"' in capsys.readouterr().out


def test_the_predictor_benchmarks(models, capsys, monkeypatch):
    # MobileNetV1 x1 is exported in seven seconds; any network of crops will do here.
    monkeypatch.setattr(upstream, "_mobilenet", lambda: find("mb05").read("network"))
    assert main(["crops", "--model", "mb05", "--rounds", "2", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert set(results) == {"batch_1", "batch_64"}
    assert np.isfinite(results["batch_64"]["fps_kept_of_bare"])
    command = ["photo", "--model", "mb05", "--detector", "faceboxes", "--rounds", "2", "--json"]
    assert main(command) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results["time_over_sum_of_parts"] > 0 and results["runs"]["model"] == "mb05"
    assert results["runs"]["detector"] == "faceboxes" and results["photo"] == "640x480"
    for name in ("predictor_and_mesh", "upstream", "upstream_detector", "upstream_network"):
        assert 0 < results[name]["p50_ms"] <= results[name]["p95_ms"]
    assert 0 < results["time_over_upstream"] <= results["time_over_upstream_p95"]
    assert results["upstream_vertices"] == 38_365


def test_a_comparison_that_cannot_be_made_says_why(predictor, cache, capsys):
    found = photo(predictor, 1)  # its detector is open, but FaceBoxes cannot be opened anew
    assert "faceboxes" in found["upstream"]["not_measured"] and "time_over_upstream" not in found


def test_the_video_benchmark(cache, tmp_path, capsys, sample_photo):
    pytest.importorskip("av", reason="video needs the extra [video]")
    face = cv2.resize(sample_photo[:384, :384], (256, 256), interpolation=cv2.INTER_AREA)
    clip = write_clip(tmp_path / "face.mp4", 6, (256, 256), make=lambda *_: face)
    arguments = ["--draw", "landmarks", "--loops", "2", "--live-frames"]
    assert main(["video", str(clip), *arguments, "12", "--memory-frames", "60", "--json"]) == 0
    captured = capsys.readouterr()
    assert {line.split(": ")[0] for line in captured.err.splitlines()} == {
        *("facegeo-bench", "faces", "drawn and encoded", "live", "memory")
    }
    report = json.loads(captured.out)
    results = report["results"]
    assert report["machine"]["av"] and results["runs"]["detector"] == "detector"
    assert results["clip"] == {
        **{"name": "face.mp4", "width": 256, "height": 256},
        "frames_of_a_loop": 12,
    }
    for task in ("plain", "overlay"):  # two loops, less the warm-up of a fifth
        assert results[task]["frames"] == 19 and results[task]["faces_a_frame"] == 1
        assert results[task]["fps"] > 0
    live = results["live"]
    assert live["frames"] + live["dropped"] == 10 and 0 < live["p50_ms"] <= live["p95_ms"]
    memory = results["memory"]
    assert "not_measured" in memory or memory["first_mb"] + memory["growth_mb"] == pytest.approx(
        memory["last_mb"]
    )


def test_a_missing_model_is_one_line(cache, capsys):
    assert main(["crops", "--model", "mb05"]) == 1
    assert capsys.readouterr().err.startswith("facegeo-bench: error:")
