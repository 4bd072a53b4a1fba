"""The TensorRT backend without TensorRT: keys, staleness, plans, pieces, graphs, refusals."""

from __future__ import annotations

import json
import logging
import os
import runpy
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fake_gpu import Context
from fake_tensorrt import FakeTensorRt, layer
from helpers.shared_material import REPOSITORY

from facegeo import backends
from facegeo.backends.base import TensorSpec
from facegeo.backends.trt import build as trt_build
from facegeo.backends.trt import slots as trt_slots
from facegeo.backends.trt.backend import open_engine, open_network, open_onnx
from facegeo.backends.trt.build import Profile, check_version
from facegeo.backends.trt.cache import EngineCache, EngineKey, differences, sidecar
from facegeo.backends.trt.inspect import check_engine_precision, layer_precisions
from facegeo.backends.trt.slots import plan_pieces
from facegeo.errors import (
    BackendUnavailableError,
    CorruptFileError,
    DependencyMissingError,
    InvalidInputError,
    OutOfMemoryError,
)
from facegeo.gpu.device import open_gpu

onnx = pytest.importorskip("onnx")

from facegeo.backends.trt.graph import cast_bytes_first, input_names  # noqa: E402

KEY = EngineKey("a" * 64, "11.4.0.106", "NVIDIA H200", "9.0", 1, 64, 256, "fp16")


def graph(bytes_read_by: str = "Transpose") -> bytes:
    """Crops (N, 4, 4, 3) uint8, colour planes moved first as exporters do, two outputs."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Transpose", ["crops"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["numbers"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["params"]),
        helper.make_node("Mul", ["params", "two"], ["landmarks"]),
    ]
    if bytes_read_by != "Transpose":
        nodes[0] = helper.make_node(bytes_read_by, ["crops"], ["planes"])
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "test",
        [value("crops", TensorProto.UINT8, ["n", 4, 4, 3])],
        [value(name, TensorProto.FLOAT, ["n", 3]) for name in ("params", "landmarks")],
        [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString()


def crops(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, 4, 4, 3), np.uint8)


class FakeGraph:
    """A CUDA graph that calls again what it recorded."""

    made, closed = 0, 0

    def __init__(self, stream, enqueue) -> None:
        assert stream
        self._enqueue = enqueue
        FakeGraph.made += 1

    def replay(self, stream) -> None:
        self._enqueue()

    def close(self) -> None:
        FakeGraph.closed += 1


@pytest.fixture
def trt(gpu, monkeypatch) -> FakeTensorRt:
    fake = FakeTensorRt()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(trt_slots.libcuda, "Graph", FakeGraph)
    FakeGraph.made = FakeGraph.closed = 0
    return fake


@pytest.fixture
def opened(trt, tmp_path):
    """A function that opens the graph with a cache of its own."""

    def open_it(largest: int = 8, data: bytes | None = None, precision: str = "fp32"):
        profile = Profile.up_to(largest)
        cache = EngineCache(tmp_path / "engines")
        return open_onnx(data or graph(), "net", open_gpu(), precision, profile, cache)

    return open_it


def same(outputs: dict, given: np.ndarray) -> bool:
    expected = given.astype(np.float64).mean(axis=(1, 2))
    return (
        set(outputs) == {"params", "landmarks"}
        and np.allclose(outputs["params"], expected, atol=1e-3)
        and np.allclose(outputs["landmarks"], 2 * expected, atol=1e-3)
    )


def test_the_graph_computes_the_same_with_its_bytes_cast_first():
    import onnxruntime

    before, after = graph(), cast_bytes_first(graph())
    first = onnx.load_from_string(after).graph.node[0]
    assert (first.op_type, list(first.input)) == ("Cast", ["crops"])
    providers = ["CPUExecutionProvider"]
    sessions = [onnxruntime.InferenceSession(data, providers=providers) for data in (before, after)]
    one, two = (session.run(None, {"crops": crops(3)}) for session in sessions)
    np.testing.assert_array_equal(one, two)
    assert input_names(after) == [("crops", (-1, 4, 4, 3))]
    assert cast_bytes_first(after) == after


def test_the_exported_network_can_be_read_by_tensorrt(models):
    from facegeo.zoo import find

    changed = onnx.load_from_string(cast_bytes_first(find("mb05").read("network")))
    readers = [node.op_type for node in changed.graph.node if "crops" in node.input]
    assert readers == ["Cast"]
    onnx.checker.check_model(changed, full_check=True)


@pytest.mark.parametrize("data", [b"no onnx", graph("Identity")], ids=["garbage", "other reader"])
def test_a_graph_that_tensorrt_cannot_take(opened, data):
    with pytest.raises(CorruptFileError):
        opened(data=data)
    assert Context.depth == 0


@pytest.mark.parametrize("batch", [0, 1, 7, 8, 9, 31, 40])
def test_any_batch_is_right_also_beyond_the_profile(opened, batch):
    backend = opened(8)
    for seed in range(3):  # plain, recorded, replayed
        given = crops(batch, seed)
        outputs = backend.run({"crops": given})
        assert outputs["params"].shape == (batch, 3)
        assert batch == 0 or same(outputs, given)
    assert Context.depth == 0


def test_a_size_that_returns_is_recorded_once_in_each_slot(opened, trt):
    backend = opened(8)
    backend.run({"crops": crops(16)})
    assert FakeGraph.made == 0
    for seed in range(4):
        assert same(backend.run({"crops": crops(16, seed)}), crops(16, seed))
    assert FakeGraph.made == 2
    assert len({stream for stream, _ in trt.executed}) == 2


def test_old_graphs_go(opened):
    backend = opened(8)
    for batch in range(1, 8):
        for seed in range(3):
            assert same(backend.run({"crops": crops(batch, seed)}), crops(batch, seed))
    assert (FakeGraph.made, FakeGraph.closed) == (7, 3)


@pytest.mark.parametrize(
    ("batch", "largest", "sizes"),
    [
        (0, 8, []),
        (1, 256, [1]),
        (31, 256, [31]),
        (32, 256, [16, 16]),
        (256, 256, [128, 128]),
        (250, 256, [128, 122]),
        (1024, 256, [256] * 4),
        (20, 8, [8, 8, 4]),
    ],
)
def test_pieces(batch, largest, sizes):
    pieces = plan_pieces(batch, largest)
    assert [piece.stop - piece.start for piece in pieces] == sizes
    assert [i for piece in pieces for i in range(piece.start, piece.stop)] == list(range(batch))


def test_the_profile_reaches_the_builder(opened, trt):
    opened(200)
    assert trt.log["profile"]["crops"] == [(1, 4, 4, 3), (64, 4, 4, 3), (200, 4, 4, 3)]
    assert trt.log["cleared"] is trt.BuilderFlag.TF32
    assert trt.log["flags"] == 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    with pytest.raises(BackendUnavailableError, match="max_batch"):
        Profile.up_to(0)


def test_two_backends_in_two_threads(opened, monkeypatch):
    backends = [opened(8), opened(8)]
    for slot in (slot for backend in backends for slot in backend._slots):
        # Time for another thread to write into the slot, if nothing keeps it out.
        monkeypatch.setattr(slot.stream, "synchronize", lambda: time.sleep(0.003))
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            (seed, pool.submit(backends[seed % 2].run, {"crops": crops(9, seed)}))
            for seed in range(24)
        ]
        assert all(same(job.result(), crops(9, seed)) for seed, job in jobs)


def test_an_engine_is_built_once(opened, trt, caplog, tmp_path):
    with caplog.at_level(logging.WARNING, "facegeo"):
        opened()
        opened()
    assert trt.builds == 1
    assert len(caplog.records) == 1 and "no engine was built for it yet" in caplog.text
    (path,) = (tmp_path / "engines").glob("*.engine")
    content = json.loads(sidecar(path).read_text())
    assert content["inspector"] == {"layers": {"fp32": 1}}
    assert content["key"]["gpu"] == "Fake GPU" and content["key"]["max_batch"] == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda trt: setattr(trt, "__version__", "11.5.0"), "TensorRT was 11.4.0.106, now 11.5.0"),
        (None, "the largest batch was 8, now 9"),
    ],
)
def test_a_stale_engine_is_said_and_built_again(opened, trt, caplog, tmp_path, change, message):
    opened(8)
    if change:
        change(trt)
    with caplog.at_level(logging.WARNING, "facegeo"):
        opened(8 if change else 9)
    assert trt.builds == 2 and message in caplog.text
    assert len(list((tmp_path / "engines").glob("*.engine"))) == 1


@pytest.mark.parametrize("what", ["damaged", "no description", "description of another"])
def test_a_corrupt_engine_in_the_cache_is_built_again(opened, trt, caplog, tmp_path, what):
    opened()
    (path,) = (tmp_path / "engines").glob("*.engine")
    if what == "damaged":
        path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    elif what == "no description":
        sidecar(path).unlink()
    else:
        content = json.loads(sidecar(path).read_text())
        content["key"]["gpu"] = "Other GPU"
        sidecar(path).write_text(json.dumps(content))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "facegeo"):
        backend = opened()
    assert trt.builds == 2 and len(caplog.records) == 1
    assert same(backend.run({"crops": crops(3)}), crops(3))


def test_an_engine_that_tensorrt_refuses_is_built_again(opened, trt, tmp_path):
    opened()
    (path,) = (tmp_path / "engines").glob("*.engine")
    content = json.loads(sidecar(path).read_text())
    path.write_bytes(b"foreign")
    content["engine_sha256"] = __import__("hashlib").sha256(b"foreign").hexdigest()
    sidecar(path).write_text(json.dumps(content))
    assert same(opened().run({"crops": crops(3)}), crops(3))
    assert trt.builds == 2


def test_an_engine_file_by_name(opened, trt, tmp_path):
    opened()
    (path,) = (tmp_path / "engines").glob("*.engine")
    assert same(open_engine(path).run({"crops": crops(5)}), crops(5))
    trt.__version__ = "10.12.0"
    with pytest.raises(CorruptFileError, match=r"TensorRT was 11\.4\.0\.106, now 10\.12\.0"):
        open_engine(path)
    trt.__version__ = "11.4.0.106"
    path.write_bytes(b"something else")
    with pytest.raises(CorruptFileError, match="damaged"):
        open_engine(path)
    sidecar(path).unlink()
    with pytest.raises(CorruptFileError, match="no readable description"):
        open_engine(path)


@pytest.mark.parametrize("field", [f for f in vars(KEY)])
def test_every_field_of_the_key_counts(field):
    old = getattr(KEY, field)
    other = replace(KEY, **{field: old + 1 if isinstance(old, int) else "b" + old})
    assert other.digest() != KEY.digest()
    assert "was" in differences(other, KEY) and differences(KEY, KEY) == ""


def test_the_timing_cache_is_kept_and_a_foreign_one_replaced(opened, trt, tmp_path):
    opened(8)
    (path,) = (tmp_path / "engines").glob("timing-*.cache")
    assert path.name == "timing-fake-gpu-11.4.0.106.cache" and path.read_bytes() == b"timing"
    opened(7)
    assert path.read_bytes() == b"timingtiming"
    path.write_bytes(b"foreign")
    opened(6)
    assert path.read_bytes() == b"timing"


@pytest.mark.parametrize(
    ("types", "asked", "expected"),
    [
        (["Half", "Half", "Float"], "fp16", {"fp16": 2, "fp32": 1}),
        (["Channel major FP16 format where channel % 8 == 0"], "fp16", {"fp16": 1}),
        (["Thirty-two wide channel vectorized row major Int8 format"], "int8", {"int8": 1}),
        (["BFloat16", "BF16"], "bf16", {"bf16": 2}),
        (["Row major linear FP32", "Float"], "fp32", {"fp32": 2}),
    ],
)
def test_the_inspector_is_read(types, asked, expected):
    layers = [layer("CaskConvolution", name) for name in types]
    information = json.dumps({"Layers": [*layers, layer("Reformat", "Half")]})
    assert check_engine_precision(information, asked) == expected


@pytest.mark.parametrize(
    ("types", "asked"),
    [
        (["Float", "Float"], "fp16"),
        (["Half", "Float", "Float"], "fp16"),
        (["Half", "Float"], "fp32"),
        (["Half"], "bf16"),
        (["BFloat16"], "fp16"),
        (["Half"], "int8"),
        (["UInt8"], "int8"),
    ],
)
def test_another_precision_than_asked_is_an_error(types, asked):
    information = json.dumps({"Layers": [layer("gemm", name) for name in types]})
    with pytest.raises(BackendUnavailableError, match="precision"):
        check_engine_precision(information, asked)


@pytest.mark.parametrize("text", ["", "{}", '{"Layers": 3', '{"Layers": ["conv1", "conv2"]}'])
def test_an_inspector_that_says_nothing_is_an_error(text):
    with pytest.raises(BackendUnavailableError):
        layer_precisions(text)


def test_a_build_in_another_precision_is_refused_and_not_kept(opened, trt, tmp_path):
    with pytest.raises(BackendUnavailableError, match="asked TensorRT for fp16"):
        opened(precision="fp16")
    assert not list((tmp_path / "engines").glob("*.engine"))
    trt.precision = "Half"
    assert opened(precision="fp16").precision == "fp16"


def test_what_tensorrt_refuses_is_an_error(opened, trt, put_gpu):
    trt.log["refuse_graph"] = True
    with pytest.raises(CorruptFileError, match="unsupported operator Foo"):
        opened()
    trt.log["refuse_graph"], trt.refuse_build = False, True
    with pytest.raises(BackendUnavailableError, match="could not build"):
        opened()
    trt.refuse_build, trt.refuse_context = False, True
    with pytest.raises(OutOfMemoryError, match="no execution context"):
        opened()
    trt.refuse_context = False
    backend = opened()
    trt.refuse_execution = True
    with pytest.raises(BackendUnavailableError, match="a batch of 2"):
        backend.run({"crops": crops(2)})
    trt.refuse_execution = False
    assert same(backend.run({"crops": crops(2)}), crops(2))
    put_gpu(limit=100)
    with pytest.raises(OutOfMemoryError):
        opened()
    assert Context.depth == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"crops": np.zeros((2, 5, 4, 3), np.uint8)},
            r"^crops: expected shape \(N, 4, 4, 3\) and dtype uint8, "
            r"got an array of shape \(2, 5, 4, 3\) and dtype uint8$",
        ),
        (
            {"crops": np.zeros((2, 4, 4, 3), np.float32)},
            r"^crops: expected shape \(N, 4, 4, 3\) and dtype uint8, "
            r"got an array of shape \(2, 4, 4, 3\) and dtype float32$",
        ),
        ({"image": np.zeros((2, 4, 4, 3), np.uint8)}, r"^inputs: expected crops, got image$"),
    ],
)
def test_refuses_other_inputs(opened, inputs, message):
    with pytest.raises(InvalidInputError, match=message):
        opened().run(inputs)


def test_it_declares_what_the_engine_has(opened):
    backend = opened()
    number = np.dtype(np.float32)
    assert dict(backend.input_metadata) == {
        "crops": TensorSpec(np.dtype(np.uint8), (None, 4, 4, 3))
    }
    assert dict(backend.output_metadata) == {
        "params": TensorSpec(number, (None, 3)),
        "landmarks": TensorSpec(number, (None, 3)),
    }
    assert backend.run({"crops": crops(0)})["params"].shape == (0, 3)
    given = crops(5)[:, ::-1]
    assert same(backend.run({"crops": given}), given)


def test_graphs_that_belong_to_no_model_have_engines_of_their_own(trt, cache):
    one, two = graph(), onnx.load_from_string(graph())
    two.producer_name = "another"
    both = (one, two.SerializeToString())
    for data in (*both, *both):
        backend = backends.open_graph(data, backend="tensorrt", device="cuda", precision="fp32")
        assert same(backend.run({"crops": crops(3)}), crops(3))
    assert trt.builds == 2


def test_a_closed_backend_frees_the_device(opened, gpu):
    """Buffers and recorded graphs; what ran in the meantime is kept."""
    opened(8).close()
    before = gpu.used
    with opened(8) as backend:
        for seed in range(3):
            found = backend.run({"crops": crops(8, seed)})
        assert gpu.used > before and FakeGraph.made > FakeGraph.closed
    assert gpu.used == before and FakeGraph.made == FakeGraph.closed > 0
    assert same(found, crops(8, 2)) and Context.depth == 0
    with pytest.raises(BackendUnavailableError, match=r"it was closed .*tensorrt on cuda:0"):
        backend.run({"crops": crops(1)})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_refused(opened):
    backend = opened()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            backend.run({"crops": crops(2)})
        except BackendUnavailableError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert b"spawn" in pipe.read()
    os.waitpid(child, 0)


@pytest.mark.parametrize("version", ["10.11.0", "8.6.1", "12.0.1", "unknown"])
def test_other_releases_of_tensorrt_are_refused(version):
    with pytest.raises(BackendUnavailableError, match=r"10\.12 to 11"):
        check_version(version)


@pytest.mark.parametrize("version", ["10.12.0.36", "10.16.1.11", "11.0.0.114", "11.4.0.106"])
def test_these_releases_of_tensorrt_are_taken(version):
    check_version(version)


def test_without_tensorrt_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[gpu\]"):
        trt_build.tensorrt()


def test_a_precision_that_was_not_exported_is_an_error(cache):
    from facegeo.zoo import Card
    from facegeo.zoo.store import install

    card = Card("x", "landmarks", "", "", "", {}, crop_convention="exact")
    model = install(card, {"network": graph()})
    with pytest.raises(
        BackendUnavailableError, match=r"in fp32; .*facegeo export x --precision fp16"
    ):
        open_network(model, "cuda:0", "fp16")
    with pytest.raises(BackendUnavailableError, match="fp32, fp16, bf16, got 'int8'"):
        open_network(model, "cuda:0", "int8")


def test_memory_that_suffices_for_no_recording_costs_one_warning(opened, trt, caplog):
    backend = opened(8)
    trt.refuse_context = True
    caplog.clear()
    with caplog.at_level(logging.WARNING, "facegeo"):
        for seed in range(4):
            assert same(backend.run({"crops": crops(5, seed)}), crops(5, seed))
    assert FakeGraph.made == 0
    assert len(caplog.records) == 1 and "without recorded graphs" in caplog.text


def test_after_an_error_nothing_is_left_in_flight(opened, trt, monkeypatch):
    """Else the next call would fill buffers that are still being copied."""
    backend = opened(8)
    second = backend._slots[1]
    monkeypatch.setattr(second, "submit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backend.run({"crops": crops(16)})
    assert [slot.stream.synchronized for slot in backend._slots] == [1, 1]


def test_the_command(trt, tmp_path, capsys):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(graph())
    main = runpy.run_path(str(REPOSITORY / "export" / "02_to_engine.py"))["main"]
    assert main([str(path), "--max-batch", "16"]) == 0
    assert "tiny: fp32 on Fake GPU, batches 1..16" in capsys.readouterr().out
    assert len(list(tmp_path.glob("tiny-fp32-*.engine"))) == 1
    assert main([str(tmp_path / "none.onnx")]) == 1
    assert "error" in capsys.readouterr().err
