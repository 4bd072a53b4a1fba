"""Export, precisions and the engines that run them, on a tiny network with random weights."""

import ctypes
import json
import logging
import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from facegeo import FaceGeometry, backends  # noqa: E402
from facegeo.backends import open_network  # noqa: E402
from facegeo.backends.openvino import OpenVinoBackend  # noqa: E402
from facegeo.base.precisions import PRECISIONS  # noqa: E402
from facegeo.bench import baseline, candidates, fps  # noqa: E402
from facegeo.bench import main as bench_main  # noqa: E402
from facegeo.cli import main  # noqa: E402
from facegeo.errors import (  # noqa: E402
    BackendUnavailableError,
    CorruptFileError,
    DependencyMissingError,
    InvalidInputError,
    OutOfMemoryError,
)
from facegeo.export import precision, publishing  # noqa: E402
from facegeo.export.publishing import Tolerance, publish, sample_crops  # noqa: E402
from facegeo.zoo.store import add_files, find  # noqa: E402

CROPS = sample_crops(24)


@pytest.fixture(scope="module")
def tiny_cache(installed_tiny, tmp_path_factory):
    """A cache with the tiny model, which has an int8 graph."""
    folder = tmp_path_factory.mktemp("tiny-int8") / "cache"
    shutil.copytree(installed_tiny, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(folder))
        model = find("tiny")
        add_files(model, {"network-int8": precision.to_int8(model.read("network"), CROPS)})
    return folder


@pytest.fixture
def tiny(tiny_cache, monkeypatch):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(tiny_cache))
    return find("tiny")


@pytest.mark.parametrize("name", PRECISIONS)
def test_every_precision_is_published_with_its_parity(tiny, tmp_path, name):
    if name == "bf16":
        pytest.importorskip("openvino")
    target = tmp_path / "x.onnx"
    report = publish(tiny, name, target, CROPS, Tolerance(2.0, 2.0))
    assert report == json.loads((tmp_path / "x.json").read_text())
    assert precision.precision_of(target.read_bytes()) == report["precision"] == name
    assert report["reference"] == "pytorch fp32"
    model = onnx.load(target)
    types = {t.name: t.type.tensor_type.elem_type for t in model.graph.output}
    assert set(types) == {"params", "landmarks", "coarse_landmarks", "presence"}
    assert set(types.values()) == {onnx.TensorProto.FLOAT}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_nothing_is_published_beyond_the_tolerance(tiny, tmp_path):
    with pytest.raises(CorruptFileError, match=r"not published.*landmarks_px"):
        publish(tiny, "fp16", tmp_path / "x.onnx", CROPS, Tolerance(1e-7, 1.0))
    assert not list(tmp_path.iterdir())


def test_differences_are_in_pixels_and_degrees():
    params = np.zeros((2, 62), np.float32)
    params[:, :12] = np.eye(3, 4).reshape(-1)
    turned = params.copy()
    angle = np.radians(3.0)
    turned[:, [0, 1, 4, 5]] = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
    points = np.zeros((2, 68, 3), np.float32)
    found = publishing.difference(
        {"params": turned, "landmarks": points + np.array([3, 4, 100])},
        {"params": params, "landmarks": points},
    )
    assert found["landmarks_px_mean"] == pytest.approx(5)
    assert found["rotation_deg_max"] == pytest.approx(3, abs=1e-4)
    with pytest.raises(CorruptFileError, match="shape"):
        publishing.difference({"landmarks": points[:1]}, {"landmarks": points})


def entry(graph):
    """What makes the first convolution's 8-bit numbers, what that reads, and all constants."""
    values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    makers = {out: node for node in graph.node for out in node.output}
    first = next(node for node in graph.node if node.op_type == "Conv")
    quantiser = makers[makers[first.input[0]].input[0]]
    return quantiser, makers[quantiser.input[0]], values


def test_bytes_enter_the_int8_graph_exactly_and_points_stay_float(tiny):
    graph = onnx.load_from_string(tiny.read("network-int8")).graph
    first, _, values = entry(graph)
    assert first.op_type == "QuantizeLinear"
    scale, zero = (values[name] for name in first.input[1:])
    every = np.arange(256)
    assert (np.rint((every - 128) / 128 / scale) + zero == every).all()
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    exact = [values[node.input[1]].shape for node in convolutions if node.input[1] in values]
    assert exact == [(64, 3, 1), (3, 128, 1)]  # points in, and their shifts out


@pytest.mark.parametrize("name", ["synergy-mbv2", "synergy-fast"])
def test_nothing_is_in_the_way_of_the_bytes_of_what_ships(name):
    """In the mirror, too: else the first convolution is in float32, a sixth of all the time."""
    graph = onnx.load_from_string(find(name).read("network-int8")).graph
    first, before, values = entry(graph)
    assert first.op_type == "QuantizeLinear" and values[first.input[2]] == 128
    assert before.op_type == "Div"


def test_the_refinement_is_pooled_and_multiplied_in_8_bits(tiny, openvino_of):
    assert "ReduceMax" in {
        n.op_type for n in onnx.load_from_string(tiny.read("network")).graph.node
    }
    graph = onnx.load_from_string(tiny.read("network-int8")).graph
    makers = {out: node.op_type for node in graph.node for out in node.output}
    (pool,) = (node for node in graph.node if node.op_type == "MaxPool")
    assert makers[pool.input[0]] == "DequantizeLinear"
    assert "ReduceMax" not in {node.op_type for node in graph.node}
    products = [node for node in graph.node if node.op_type == "Gemm"]
    quantised = [node for node in products if makers.get(node.input[1]) == "DequantizeLinear"]
    assert len(quantised) == 1 and len(products) > 4  # the heads stay in float32
    found: dict[str, set[str]] = {}
    for op in openvino_of("int8")._compiled.runtime_ops():
        info = op.get_rt_info()
        kind, runs = str(info["layerType"].value), str(info["runtimePrecision"].value)
        found.setdefault(kind, set()).add(runs)
    assert found["Pooling"] <= {"i8", "u8"} and found["FullyConnected"] & {"i8", "u8"}


def test_bfloat16_is_rounded_as_pytorch_rounds():
    import torch

    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    bits = precision._sixteen_bits(values, brain=True)
    theirs = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert (bits == theirs).all()


def test_calibration_needs_crops(tiny, tmp_path, capsys):
    with pytest.raises(InvalidInputError, match="calibration"):
        precision.to_int8(tiny.read("network"), CROPS[:0])
    assert main(["export", "tiny", "--precision", "int8", "--out", str(tmp_path / "a.onnx")]) == 1
    assert "--calibration" in capsys.readouterr().err


def test_the_command_exports_and_installs(tiny, tmp_path, capsys):
    import cv2

    for number, crop in enumerate(CROPS):
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), crop)
    command = ["export", "tiny", "--precision", "fp16", "--calibration", str(tmp_path)]
    options = ["--out", str(tmp_path / "out/t.onnx"), "--install", "--tolerance-px", "2"]
    assert main([*command, *options, "--tolerance-deg", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["crops"] == len(CROPS)
    network = open_network(find("tiny"), "onnxruntime", "cpu", "fp16")
    assert network.run({"crops": CROPS[:1]})["landmarks"].dtype == np.float32


@pytest.mark.parametrize("name", ["fp32", "int8"])
@pytest.mark.parametrize("batch", [0, 1, 3, 8, 9, 19])
def test_openvino_agrees_at_every_batch_size(tiny, openvino_of, name, batch):
    expected = open_network(tiny, "onnxruntime", "cpu", name).run({"crops": CROPS})
    found = openvino_of(name).run({"crops": CROPS[:batch]})
    assert set(found) == set(expected)
    limit = {"fp32": 0.01, "int8": 1.0}[name]
    for key, value in expected.items():
        assert found[key].shape == (batch, *value.shape[1:])
    off = np.abs(found["landmarks"] - expected["landmarks"][:batch])
    assert batch == 0 or off.mean() < limit


@pytest.fixture(scope="module")
def openvino_of(tiny_cache):
    pytest.importorskip("openvino")
    opened = {}

    def open_in(name):
        if name not in opened:
            opened[name] = open_network(find("tiny"), "openvino", "cpu", name)
        return opened[name]

    return open_in


def test_openvino_really_runs_what_was_asked_for(tiny, openvino_of):
    assert openvino_of("int8").convolution_precisions() & {"i8", "u8"}
    assert openvino_of("fp32").convolution_precisions() == {"f32"}
    with pytest.raises(BackendUnavailableError, match="in f32"):
        OpenVinoBackend(tiny.read("network"), "cpu", "int8")  # a graph without Q/DQ pairs
    with pytest.raises(BackendUnavailableError, match="device"):
        open_network(tiny, "openvino", "cuda")


def test_openvino_outputs_belong_to_the_caller_also_between_threads(tiny, openvino_of):
    network = openvino_of("fp32")
    expected = {n: network.run({"crops": CROPS[:n]})["landmarks"] for n in (1, 9)}
    kept = {n: value.copy() for n, value in expected.items()}
    failures = []

    def work(n):
        for _ in range(4):
            if not np.array_equal(network.run({"crops": CROPS[:n]})["landmarks"], kept[n]):
                failures.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(np.array_equal(expected[n], kept[n]) for n in kept)


class SignalStack(ctypes.Structure):
    """Linux's ``stack_t``."""

    _fields_ = [
        ("memory", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO changes it on Linux only")
def test_openvino_leaves_the_stack_for_signals_alone(tiny):
    """It would be freed with the network, and the next signal would end the process."""
    pytest.importorskip("openvino")

    def memory():
        stack = SignalStack()
        assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
        return stack.memory

    before = memory()
    network = open_network(tiny, "openvino", "cpu", "fp32")
    assert memory() == before
    network.run({"crops": CROPS[:9]})
    assert memory() == before


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "pytorch"])
def test_two_predictors_in_two_threads(tiny, backend):
    """And two threads with one predictor: landmarks and meshes are those of a call alone."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    both = [FaceGeometry("tiny", backend=backend, precision="fp32") for _ in range(2)]
    rois = np.tile(np.float32([10, 20, 130, 140]), (len(CROPS), 1))

    def work(job):
        predictor, first = job
        part = slice(first, first + 9)
        found = predictor.predict_crops(CROPS[part], rois[part])
        return part, found.landmarks, predictor.reconstruct(found.params, rois[part])

    alone = both[0].predict_crops(CROPS, rois)
    meshes = both[0].reconstruct(alone.params, rois)
    jobs = [(both[k % 2], k % 15) for k in range(16)]
    with ThreadPoolExecutor(4) as pool:
        for part, landmarks, vertices in pool.map(work, jobs):
            assert np.abs(landmarks - alone.landmarks[part]).max() < 0.01
            assert np.abs(vertices - meshes[part]).max() < 0.05


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "pytorch"])
def test_a_forked_child_gets_the_same_or_is_told(tiny, backend):
    """The threads of an engine do not come along: left alone, the child would wait for them."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    network = open_network(tiny, backend, "cpu", "fp32")
    expected = network.run({"crops": CROPS[:9]})["landmarks"]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(100)
        text = "another error"
        try:
            found = network.run({"crops": CROPS[:9]})["landmarks"]
            text = "same" if np.abs(found - expected).max() < 1e-3 else "another result"
        except BackendUnavailableError as error:
            text = str(error)
        finally:  # whatever else is raised: the child must not go on with the tests
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert "spawn" in text if backend == "pytorch" else text == "same"
    np.testing.assert_array_equal(network.run({"crops": CROPS[:9]})["landmarks"], expected)


def test_auto_takes_the_fastest_and_says_so(tiny, monkeypatch, caplog):
    pytest.importorskip("openvino")
    monkeypatch.setattr(backends, "_has_cuda", lambda: False)
    monkeypatch.setattr(backends, "runs_int8_exactly", lambda: True)
    with caplog.at_level(logging.INFO, "facegeo"):
        network = open_network(tiny)
    assert (network.name, network.precision) == ("openvino", "int8")
    assert (
        "OpenVINO is installed" in network.selection_reason
        and network.selection_reason in caplog.text
    )
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    network = open_network(tiny)
    assert (network.name, network.precision) == ("onnxruntime", "int8")
    assert "not installed" in network.selection_reason


def test_openvino_that_is_missing_names_the_extra(tiny, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[openvino\]"):
        open_network(tiny, "openvino")


def test_a_precision_that_the_model_lacks_says_how_to_get_it(tiny, tmp_path, monkeypatch):
    from helpers.tiny_model import NAME

    bare = add_files(tiny, {})
    files = {k: v for k, v in bare.card.files.items() if k == "network"}
    object.__setattr__(bare.card, "files", files)
    with pytest.raises(BackendUnavailableError, match=f"facegeo export {NAME} --precision int8"):
        open_network(bare, "onnxruntime", "cpu", "int8")


def test_fps_compares_with_float32_and_with_an_earlier_report(tiny, tmp_path, capsys):
    import cv2

    plot, report = tmp_path / "p.png", tmp_path / "r.json"
    command = ["fps", "--model", "tiny", "--backends", "onnxruntime", "--rounds", "1"]
    command += ["--tasks", "landmarks", "dense", "--batches", "1", "2", "--json"]
    assert bench_main([*command, "--plot", str(plot), "--out", str(report)]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    rows = results["rows"]
    assert {(r["task"], r["precision"], r["batch"]) for r in rows} >= {
        (task, kind, batch)
        for task in ("landmarks", "dense")
        for kind in ("fp32", "int8")
        for batch in (1, 2)
    }
    for row in rows:
        assert row["fps"] == pytest.approx(row["batch"] / row["p50_ms"] * 1e3)
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        if row["precision"] == "fp32":  # the fastest way to run it counts, ours or a plain session
            ours = row["baseline"] == "onnxruntime fp32"
            assert row["speedup_over_fp32_onnxruntime"] == pytest.approx(1) or not ours
    assert "tiny, onnxruntime bf16 on auto" in results["not_measured"]
    assert cv2.imread(str(plot)).std() > 10
    before = fps.read_rows(report)
    fps.compare(rows, before)
    assert all(row["over_before"] == pytest.approx(1) for row in rows)
    report.write_text("{}")
    with pytest.raises(CorruptFileError, match="fps"):
        fps.read_rows(report)


def test_plain_sessions_give_the_same_and_may_be_the_baseline(tiny, monkeypatch):
    ours = FaceGeometry("tiny", backend="onnxruntime", precision="fp32")
    rois = np.tile(np.float32([0, 0, 120, 120]), (len(CROPS), 1))
    expected = ours.predict_crops(CROPS, rois).landmarks
    ways = baseline.plain_predictors(ours, len(CROPS))
    assert len(ways) == 2 and len(baseline.plain_predictors(ours, 8)) == 1
    for predictor in ways.values():
        assert np.abs(predictor.predict_crops(CROPS, rois).landmarks - expected).max() < 0.01
        assert predictor.network is not ours.network

    def timed(jobs, rounds):
        return {name: np.full((rounds, 2), 1.0 if "pieces" in name else 3.0) for name in jobs}

    monkeypatch.setattr(fps, "calls_in_turns", timed)
    keyed = {candidates.BASELINE: ours, ("onnxruntime", "int8"): ours}
    rows, _ = fps.run_fps_benchmark(keyed, ["landmarks"], [16], rounds=2)
    assert {row["baseline"] for row in rows} == {"a plain session, pieces of 8"}
    assert rows[0]["speedup_over_fp32_onnxruntime"] == pytest.approx(1 / 3)


def test_an_engine_that_fails_at_one_batch_costs_only_that_row(tiny, monkeypatch):
    opened = candidates.open_candidates("tiny", ["onnxruntime"], ["fp32", "int8"])
    small = opened.running["onnxruntime", "int8"].network
    real = small.run

    def run(inputs):
        if len(inputs["crops"]) > 1:
            raise OutOfMemoryError("full")
        return real(inputs)

    monkeypatch.setattr(small, "run", run)
    rows, skipped = fps.run_fps_benchmark(opened.running, ["landmarks"], [1, 2], rounds=1)
    assert [(r["precision"], r["batch"]) for r in rows] == [("fp32", 1), ("int8", 1), ("fp32", 2)]
    assert skipped == {"landmarks, batch 2, onnxruntime int8": "full"}


def test_the_baseline_runs_on_the_cpu_where_the_device_lacks_it(tiny):
    opened = candidates.open_candidates("tiny", ["onnxruntime"], ["fp32"], "cuda:77")
    assert opened.running[candidates.BASELINE].network.device == "cpu"
    assert "cuda:77" in opened.not_measured["onnxruntime fp32 on cuda:77"]


def test_accuracy_is_given_beside_float32(tiny, dev):
    import dataclasses

    from facegeo.bench.accuracy import accuracy_rows

    few = slice(0, 500, 25)
    part = dataclasses.replace(
        dev,
        names=dev.names[few],
        original=dev.original[few],
        reannotated=dev.reannotated[few],
        rois=dev.rois[few],
        yaw_deg=dev.yaw_deg[few],
    )
    opened = candidates.open_candidates("tiny", ["onnxruntime"], ["fp32", "int8"])
    first, second = accuracy_rows(opened, part)
    assert (first["precision"], second["precision"]) == ("fp32", "int8")
    assert first["nme_original_over_fp32"] == 0
    difference = second["nme_original"] - first["nme_original"]
    assert second["nme_original_over_fp32"] == pytest.approx(difference) and difference != 0
