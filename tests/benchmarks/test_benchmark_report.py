"""The speed tables are made from what was kept of measurements, and from nothing else."""

import importlib
import json
import zipfile

import pytest
from helpers.shared_material import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("report")


@pytest.fixture(scope="module")
def kept():
    paths = sorted((BENCHMARKS / "results").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def test_the_tables_are_those_of_the_results(report, kept):
    front = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert report.with_tables(front, kept) == front, "run: python benchmarks/report.py"
    inner = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert report.with_sections(inner, kept) == inner, "run: python benchmarks/report.py"


def test_results_of_an_unknown_kind_are_named(report):
    sections = report.with_sections("", {"odd": {"something": 1}})
    assert "[`odd.json`](results/odd.json)" in sections


def marked(report) -> str:
    """A README with both tables."""
    first, last = report._FIRST, report._LAST
    tables = [f"{first.format(name)}\nold\n{last.format(name)}" for name in ("accuracy", "speed")]
    return "\n".join(["head", *tables, "tail", ""])


def row(precision: str, fps: float) -> dict:
    names = {"task": "dense", "model": "m", "backend": "openvino", "batch": 64}
    times = {"p50_ms": 64e3 / fps, "p95_ms": 70e3 / fps, "speedup_over_fp32_onnxruntime": fps / 500}
    return {**names, **times, "precision": precision, "fps": fps}


def test_the_fastest_engine_and_the_gpu_are_named(report):
    machine = {"cpu": "C", "cpus": 2, "python": "3", "openvino": "2026"}
    cpu = {"machine": machine, "commit": "a", "results": {}}
    cpu["results"]["fps"] = {"rows": [row("fp32", 600), row("int8", 2100), row("bf16", 1500)]}
    gpu = {"machine": {**machine, "gpus": ["H200"]}, "commit": "b", "results": {}}
    gpu["targets"] = {
        "landmarks_per_s": {"value": 61234.5},
        "mesh_over_copy": {"value": "not measured"},
    }
    marks = marked(report)
    without = report.with_tables(marks, {"cpu": cpu})
    assert without.startswith("head\n") and without.endswith("\ntail\n") and "old" not in without
    assert "dense, `m`, batch 64, openvino int8 | C, 2 cores | 2,100 faces/s, 4.2 times" in without
    assert "bf16" not in without and without.count("not measured") == 4
    both = report.with_tables(marks, {"cpu": cpu, "gpu": gpu})
    assert "| landmarks, host to host, batch 256 | C, 2 cores, H200 | 61,234 faces/s |" in both
    assert both.count("not measured") == 1
    sections = report.with_sections(f"head\n{report._MARK}\nold", {"cpu": cpu, "gpu": gpu})
    assert "| dense | m | openvino bf16 | 64 | 1,500 |" in sections and "old" not in sections
    assert "C, 2 cores, H200, Python 3, openvino 2026; commit b." in sections


def test_video_is_in_both_tables(report):
    results = {
        "runs": {"model": "m", "backend": "b", "precision": "p", "detector": "d"},
        "clip": {"name": "c.mp4", "width": 1280, "height": 720},
        "loops": 10,
        "plain": {"fps": 151.4},
        "overlay": {"draw": "mesh", "fps": 52.6},
        "live": {"input_fps": 30.0, "p50_ms": 5.0, "p95_ms": 8.26, "dropped": 3},
        "memory": {"frames": 10000, "growth_mb": 0.42},
    }
    machine = {"cpu": "C", "cpus": 2, "av": "18", "commit": "a"}
    found = {"video": {"benchmark": "video", "machine": machine, "results": results}}
    front = report.with_tables(marked(report), found)
    assert "1280x720, one face, with decoding | C, 2 cores | 151 frames/s |" in front
    assert "mesh drawn and encoded | C, 2 cores | 53 frames/s |" in front
    assert "95th percentile | C, 2 cores | 8.3 ms |" in front
    sections = report.with_sections("", found)
    assert "growth of memory over 10,000 frames | 0.4 MB |" in sections
    assert "| 5.0, 8.3 ms; 3 |" in sections


def head_report(report) -> dict:
    """What head.py writes, with figures by hand."""

    def stage(ms: float) -> dict[str, float]:
        return {"cpu_ms_median": ms, "cpu_ms_least": ms / 2, "peak_mb_median": 10 * ms}

    ways = ("first", "first, SciPy imported", "later")
    reading = {
        way: {"read": stage(20.0), "landmarks": stage(3.0), "mesh": stage(80.0 + number)}
        for number, way in enumerate(ways)
    }
    row = {"processor": "avx2", "batch": 64, "faces_per_s": 6203.4, "ms_per_face": 0.1612}
    return {
        "benchmark": "head",
        "machine": {"cpu": "C", "cpus": 2, "python": "3", "numpy": "2"},
        "commit": "a",
        "file_bytes": 1_900_000,
        "processes": 20,
        "rounds": 3,
        "reading": reading,
        "kernel": [{**row, "before": 3802}, {**row, "processor": "native", "before": None}],
        "wheel": {"bytes": 19_200_000, "face_models": {"facegeo-head.npz": 1_900_000}},
    }


def test_the_head_is_in_both_tables(report):
    found = {"head": head_report(report)}
    front = report.with_tables(marked(report), found)
    assert (
        "its mesh the first time; with SciPy's import; later | C, 2 cores | 81 ms; 80 ms; 82 ms |"
        in front
    )
    assert "`facegeo-head`, batch 64, compiled for AVX2 | C, 2 cores | 6,203 faces/s |" in front
    sections = report.with_sections("", found)
    assert "| later | 20.0 (10.0) | 3.0 (1.5) | 82.0 (41.0) | 820 |" in sections
    assert "| compiled for AVX2 | 64 | 0.161 | 6,203 | 3,802 |" in sections
    assert "| this processor | 64 | 0.161 | 6,203 |  |" in sections
    assert "1.9 MB; the wheel 19.2, of which face models: `facegeo-head.npz` 1.9." in sections
    del found["head"]["wheel"]
    assert "The file has 1.9 MB.\n" in report.with_sections("", found)


def test_the_head_is_measured_in_new_processes(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    head = importlib.import_module("head")
    ways = {"first": ("low", True, "import cv2"), "later": ("low", False, "")}
    monkeypatch.setattr(head, "_WAYS", ways)
    found = head.time_reading(2)
    assert found["later"]["mesh"]["cpu_ms_median"] < found["first"]["mesh"]["cpu_ms_median"] / 3
    assert all(stage["peak_mb_least"] > 20 for way in found.values() for stage in way.values())
    monkeypatch.setattr(head, "BATCHES", (1,))
    monkeypatch.setattr(head, "PROCESSORS", {"native": {}})
    (row,) = head.time_kernel(1)
    assert row["batch"] == 1 and row["ms_per_face"] == pytest.approx(1e3 / row["faces_per_s"])
    fast = {**row, "faces_per_s": 1e9}
    assert head.time_kernel(1, [fast])[0]["faces_per_s"] == 1e9
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("facegeo/assets/x.npz", b"12345")
        archive.writestr("facegeo/x.py", b"1")
    sizes = head.wheel_sizes(wheel)
    assert sizes == {"bytes": wheel.stat().st_size, "face_models": {"x.npz": 5}}


def test_ablation_has_mean_and_spread_of_each_row(report):
    keys = report.report_ablation.FIGURES
    values = {"baseline": [4.0, 5.0, 6.0], "mafa": [4.5], "larger": [4.7]}
    runs = [
        {"row": row, "seed": seed, "environment": {"torch": "2.13.0", "commit": f"{row:_<40}"}}
        | dict.fromkeys(keys, value)
        for row, column in values.items()
        for seed, value in enumerate(column)
    ]
    found = {
        "benchmark": "ablation",
        "config": {"sizes": [[0.0, 64]], "epochs": 20, "batch": 128, "precision": "bf16"},
        "runs": runs,
    }
    sections = report.with_sections("", {"ablation": found})
    assert "20 epochs at 64 px from random weights, batch 128, bf16; mean" in sections
    assert "Commits baselin, mafa___, larger_, torch 2.13.0." in sections
    assert "| without both (`baseline`) | 3 | 5.000 ± 1.000 |" in sections
    assert (
        "| refinement (`mafa`) | 1 | 4.500 |" in sections and "| `larger` | 1 | 4.700 |" in sections
    )
    found["config"] |= {"initial": "models/m/checkpoint.safetensors", "fresh": ["refinement"]}
    found["config"]["frozen"] = ["backbone", "heads", "presence"]
    found["runs"] = [runs[0] | {"row": "adapted-narrow"}]
    sections = report.with_sections("", {"ablation": found})
    start = "refinement from random weights, backbone, heads and presence frozen, batch 128"
    assert f"from `models/m/checkpoint.safetensors`, {start}" in sections
    assert "| both, adaptation layers of 256, 40, 10 (`adapted-narrow`) | 1 |" in sections


def test_refinement_is_a_sentence(report):
    found = {
        "benchmark": "refinement",
        "model": "m",
        "crop_size": 96,
        "batch": 64,
        "machine": {"cpus": 2},
        "backbone": {"p50_ms": 80.0},
        "with_refinement": {"p50_ms": 92.04},
        "refinement_over_backbone": 0.1512,
    }
    sections = report.with_sections("", {"refinement": found})
    assert "`m` (96 px" in sections and "92.0 ms instead of 80.0, 15.1% more" in sections


def test_accuracy_stands_beside_the_papers_the_best_first(report):
    def evaluation(model: str, error: float) -> dict:
        nme = {key: {"mean_of_bins": error} for key in ("original", "reannotated")}
        pose = {"mean": 3.9}
        return {
            "run": {"model": model},
            "n": 500,
            "nme_percent": nme,
            "pose_mae_deg": pose,
            "pose_mae_deg_exact": pose,
        }

    found = {"a": evaluation("worse", 3.5), "b": evaluation("better", 3.25)}
    lines = report.report_accuracy.front_table(found)
    assert lines[2:4] == [
        "| `better` | 500, dev, which chose | 3.25 | 3.25 | 3.90 |",
        "| `worse` | 500, dev, which chose | 3.50 | 3.50 | 3.90 |",
    ]
    assert "| SynergyNet, as published | 2,000, all | 3.41 | 2.65 | 3.35 |" in lines
    row = {"model": "better", "photos": "1,500, outside dev", "nme_original": 3.6}
    row |= {"nme_reannotated": 3.11, "orientation_deg": 3.42}
    found["z"] = {"benchmark": "accuracy-outside", "data": "D", "source": "others", "rows": [row]}
    leading = report.report_accuracy.front_table(found)[2]
    assert leading == "| `better` | 1,500, outside dev | 3.60 | 3.11 | 3.42 |"


def test_speed_begins_with_what_the_first_command_installs(report):
    outside = {
        "benchmark": "speed-outside",
        "machine": {"cpu": "C", "cpus": 2},
        "engine": "onnxruntime",
        "precision": "fp32",
        "source": "measured by others",
        "milliseconds": {"m": {"crops_64": 200.0, "photo_1280x720": 50.4, "stream_1280x720": 16.0}},
    }
    fastest = {"machine": {"cpu": "C", "cpus": 2}, "commit": "a", "results": {}}
    fastest["results"]["fps"] = {"rows": [row("int8", 2100)]}
    lines = report.with_tables(marked(report), {"a": fastest, "b": outside}).splitlines()
    first = lines.index("|---|---|--:|") + 1
    assert lines[first : first + 4] == [
        "| landmarks, `m`, batch 64, onnxruntime fp32 | C, 2 cores | 320 faces/s |",
        "| `predictor(photo)`, `m`, 1280x720, one face, onnxruntime fp32 | C, 2 cores | 50 ms |",
        "| `predictor.stream`, `m`, 1280x720, one face, onnxruntime fp32 | C, 2 cores "
        "| 62 frames/s |",
        "| dense, `m`, batch 64, openvino int8 | C, 2 cores "
        "| 2,100 faces/s, 4.2 times ONNX Runtime float32 |",
    ]
