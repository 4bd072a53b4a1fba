"""What every engine has in common: what it declares, what it refuses and how, how it ends."""

from __future__ import annotations

import time

import numpy as np
import pytest

from facegeo.backends import (
    AS_WRITTEN,
    BACKENDS,
    REFERENCE,
    Backend,
    TensorSpec,
    open_graph,
    open_network,
)
from facegeo.backends.base import check_takes_crops
from facegeo.errors import BackendUnavailableError, CorruptFileError, InvalidInputError
from facegeo.zoo import find

#: TensorRT's are in tests/gpu.
CPU_BACKENDS = [name for name in BACKENDS if name != "tensorrt"]
CROPS = np.random.default_rng(0).integers(0, 256, (3, 120, 120, 3), np.uint8)
NUMBER, BYTE = np.dtype(np.float32), np.dtype(np.uint8)


class Sums(Backend):
    """An engine that adds up; it notes what reached it."""

    name = "sums"

    def __init__(self) -> None:
        inputs = {"a": TensorSpec(BYTE, (None, 2, None)), "b": TensorSpec(NUMBER, (None,))}
        outputs = {"sum": TensorSpec(NUMBER, (None, 2)), "wide": TensorSpec(NUMBER, (None, None))}
        super().__init__("cpu", "fp32", inputs, outputs)
        self.seen: list[dict[str, np.ndarray]] = []
        self.released = 0

    def _run(self, inputs):
        self.seen.append(dict(inputs))
        return {"sum": inputs["a"].sum(axis=2) + inputs["b"][:, None], "wide": inputs["a"][:, 0]}

    def _release(self) -> None:
        self.released += 1


def items(batch: int = 3, **changes: object) -> dict[str, object]:
    given = {"a": np.ones((batch, 2, 5), np.uint8), "b": np.zeros(batch, np.float32)}
    return {**given, **changes}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": items()["a"]}, r"inputs: expected a, b, got a$"),
        (items(c=1), r"inputs: expected a, b, got a, b, c$"),
        (
            items(a=np.ones((3, 4, 5), np.uint8)),
            r"a: expected shape \(N, 2, any\) and dtype uint8, "
            r"got an array of shape \(3, 4, 5\) and dtype uint8$",
        ),
        (items(a=np.ones((3, 2), np.uint8)), r"a: expected shape \(N, 2, any\)"),
        (items(b=np.zeros(3)), r"b: expected shape \(N,\) and dtype float32, .*dtype float64$"),
        (items(b=[0.0, 0.0, 0.0]), r"b: expected shape .*, got list '\[0.0, 0.0, 0.0\]'$"),
        (items(b=np.float32(0)), r"b: expected shape"),
        (items(b=np.zeros(2, np.float32)), r"inputs: expected one batch size, got \[2, 3\]$"),
    ],
)
def test_what_is_not_as_declared_is_refused_before_the_engine(inputs, message):
    network = Sums()
    with pytest.raises(InvalidInputError, match=message):
        network.run(inputs)
    assert not network.seen


def test_any_layout_reaches_the_engine_contiguous_and_whole():
    network = Sums()
    a = np.arange(60, dtype=np.uint8).reshape(3, 5, 4)[:, ::-1, ::2].transpose(0, 2, 1)
    b = np.arange(6, dtype=np.float32)[::-2]
    found = network.run({"a": a, "b": b})
    np.testing.assert_array_equal(found["sum"], a.sum(axis=2) + b[:, None])
    assert all(array.flags.c_contiguous for array in network.seen[0].values())


def test_a_contiguous_input_is_not_copied():
    network = Sums()
    given = items()
    network.run(given)
    assert network.seen[0]["a"] is given["a"]


def test_a_batch_of_nothing_needs_no_engine():
    network = Sums()
    found = network.run(items(0))
    assert {name: value.shape for name, value in found.items()} == {"sum": (0, 2), "wide": (0, 0)}
    assert found["sum"].dtype == np.float32 and not network.seen


def test_what_a_network_declares_cannot_be_changed():
    with pytest.raises(TypeError):
        Sums().input_metadata["a"] = TensorSpec(BYTE, (None,))


def test_a_closed_network_says_so_and_is_released_once():
    network = Sums()
    with network as entered:
        assert entered is network
        network.run(items())
    network.close()
    assert network.released == 1
    with pytest.raises(BackendUnavailableError, match=r"it was closed .*\(sums on cpu\)"):
        network.run(items())


def test_an_error_closes_too_and_passes_through():
    network = Sums()
    with pytest.raises(InvalidInputError, match="expected one batch size"), network:
        network.run(items(b=np.zeros(2, np.float32)))
    assert network.released == 1


def test_the_checks_cost_microseconds():
    """A bound far above what they take (two to three), for machines that are busy."""
    network, given = Sums(), items()
    network._run = lambda inputs: {}

    def seconds(calls: int = 2000) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            network.run(given)
        return (time.perf_counter() - start) / calls

    assert min(seconds() for _ in range(5)) < 20e-6


@pytest.fixture(params=CPU_BACKENDS)
def network(request, models):
    pytest.importorskip({"pytorch": "torch"}.get(request.param, request.param))
    with open_network(find("mb05"), request.param, "cpu", "fp32") as opened:
        yield opened


def test_every_engine_declares_the_same(network):
    assert dict(network.input_metadata) == {"crops": TensorSpec(BYTE, (None, 120, 120, 3))}
    assert list(network.output_metadata.items()) == [
        ("params", TensorSpec(NUMBER, (None, 62))),
        ("landmarks", TensorSpec(NUMBER, (None, 68, 3))),
    ]
    for batch in (0, 2):
        found = network.run({"crops": CROPS[:batch]})
        assert list(found) == list(network.output_metadata)
        assert all(network.output_metadata[name].fits(value) for name, value in found.items())
        assert {len(value) for value in found.values()} == {batch}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"crops": CROPS[:, :96, :96]},
            r"^crops: expected shape \(N, 120, 120, 3\) and dtype uint8, "
            r"got an array of shape \(3, 96, 96, 3\) and dtype uint8$",
        ),
        (
            {"crops": CROPS.astype(np.float32)},
            r"^crops: expected shape \(N, 120, 120, 3\) and dtype uint8, "
            r"got an array of shape \(3, 120, 120, 3\) and dtype float32$",
        ),
        ({"crops": CROPS[0]}, r"^crops: expected shape .*, got an array of shape \(120, 120, 3\)"),
        ({"photos": CROPS}, r"^inputs: expected crops, got photos$"),
        ({}, r"^inputs: expected crops, got nothing$"),
    ],
)
def test_every_engine_refuses_in_the_same_words(network, inputs, message):
    with pytest.raises(InvalidInputError, match=message):
        network.run(inputs)


def test_every_engine_takes_any_layout(network):
    turned = CROPS[::-1, :, ::-1]
    expected = network.run({"crops": turned.copy()})["landmarks"]
    np.testing.assert_allclose(network.run({"crops": turned})["landmarks"], expected, atol=1e-3)


def test_every_engine_lets_go(network):
    kept = network.run({"crops": CROPS})["landmarks"]
    copy = kept.copy()
    network.close()
    with pytest.raises(BackendUnavailableError, match=f"it was closed .*{network.name} on cpu"):
        network.run({"crops": CROPS})
    np.testing.assert_array_equal(kept, copy)


@pytest.fixture
def graph(models) -> bytes:
    return find("mb05").read("network")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", AS_WRITTEN])
def test_a_graph_runs_as_the_model_that_it_is_of(graph, backend, precision):
    pytest.importorskip(backend)
    expected = open_network(find("mb05"), backend, "cpu", "fp32").run({"crops": CROPS})
    with open_graph(graph, backend=backend, precision=precision) as network:
        assert (network.name, network.device) == (backend, "cpu")
        assert network.precision == precision
        for name, value in network.run({"crops": CROPS}).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-3)


def test_a_graph_is_opened_in_the_reference_unless_told_otherwise(graph):
    assert open_graph(graph).name == REFERENCE
    assert open_graph(graph, backend="auto", precision="fp16").name == "onnxruntime"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("data", [b"", b"no onnx"])
def test_a_graph_that_is_none_is_corrupt(backend, data):
    pytest.importorskip(backend)
    with pytest.raises(CorruptFileError, match=r"^not a usable network"):
        open_graph(data, backend=backend)


def test_a_cut_graph_is_corrupt(graph):
    with pytest.raises(CorruptFileError, match=r"^not a usable network"):
        open_graph(graph[: len(graph) // 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "caffe"}, "backend: expected one of auto, onnxruntime"),
        ({"backend": "pytorch"}, "no ONNX file"),
        ({"precision": "bf16"}, "onnxruntime here runs fp32, fp16, int8, graph, got 'bf16'"),
        ({"backend": "tensorrt"}, "tensorrt here runs fp32, fp16, bf16, got 'graph'"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_a_graph_runs_as_asked_or_not_at_all(graph, options, message):
    if options.get("backend") == "pytorch":
        pytest.importorskip("torch")
    with pytest.raises(BackendUnavailableError, match=message):
        open_graph(graph, **options)


@pytest.mark.parametrize("inputs", [None, [np.zeros(1)], "crops"])
def test_inputs_that_have_no_names_are_refused(inputs):
    with (
        open_network(find("default"), "onnxruntime", "cpu", "fp32") as network,
        pytest.raises(InvalidInputError, match="arrays by name"),
    ):
        network.run(inputs)


def test_a_path_is_no_graph():
    with pytest.raises(InvalidInputError, match="bytes"):
        open_graph("network.onnx")


@pytest.mark.parametrize("network", ["onnxruntime", object()])
def test_what_is_no_backend_is_no_network(network):
    with pytest.raises(InvalidInputError, match="opened Backend"):
        check_takes_crops(network, 96, "x")
