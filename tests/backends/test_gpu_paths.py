"""What GPU users run without TensorRT, as far as it can be run without a GPU."""

from __future__ import annotations

import contextlib
import logging
import os
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest

from facegeo.backends import open_network
from facegeo.backends.onnxrt import cuda as onnxrt_cuda
from facegeo.backends.onnxrt.cuda import BoundSession
from facegeo.backends.recorded import RecordedSizes
from facegeo.errors import BackendUnavailableError, OutOfMemoryError
from facegeo.gpu.split import BatchSplitter
from facegeo.zoo import find

CROPS = np.random.default_rng(0).integers(0, 256, (9, 120, 120, 3), np.uint8)


def test_a_size_is_recorded_when_it_returns_and_the_oldest_goes():
    made, gone = [], []
    sizes = RecordedSizes(lambda size: made.append(size) or f"r{size}", gone.append, kept=2)
    assert [sizes.get(n) for n in (1, 1, 2, 2, 1, 3)] == [None, "r1", None, "r2", "r1", None]
    assert sizes.get(3) == "r3" and gone == ["r2"]
    assert sizes.get(2) == "r2" and gone == ["r2", "r1"]
    assert made == [1, 2, 3, 2]


def test_parts_cover_the_batch_in_order(caplog):
    parts, refused = [], []

    def work(part: slice) -> None:
        if part.stop - part.start > 5:
            refused.append(part)
            raise OutOfMemoryError("full")
        parts.append(part)

    splitter = BatchSplitter("cuda:0")
    with caplog.at_level(logging.WARNING, "facegeo"):
        splitter.run(17, work)
        splitter.run(17, work)
    assert [i for part in parts[: len(parts) // 2] for i in range(17)[part]] == list(range(17))
    assert len(caplog.records) == 1
    assert len(refused) == 2 * 2  # 17 -> 9 -> 5: halves, not one less

    def never(part: slice) -> None:
        raise OutOfMemoryError("full")

    with pytest.raises(OutOfMemoryError):
        splitter.run(3, never)


@pytest.fixture
def session(models):
    onnx = find("mb05").read("network")
    return onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])


def test_a_bound_session_gives_what_the_session_gives(session):
    bound = BoundSession(session, "cpu", 0)
    kept = []
    for batch in (2, 2, 2, 3, 2):
        expected = session.run(None, {"crops": CROPS[:batch]})
        found = bound.run({"crops": CROPS[:batch]})
        for name, value in zip(("params", "landmarks"), expected, strict=True):
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-3)
        kept.append((found["params"], found["params"].copy()))
    for value, copy in kept:
        np.testing.assert_array_equal(value, copy)  # a later call did not write into it
    bound._process += 1
    with pytest.raises(BackendUnavailableError, match="spawn"):
        bound.run({"crops": CROPS})


def test_a_network_of_free_size_runs_unbound(models):
    """A detector sees photos of many sizes, one at a time: the batch alone names no buffer."""
    onnx = find("faceboxes", "detection").read("network")
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    bound = BoundSession(session, "cpu", 0)
    for side in (64, 96, 64, 96):
        photo = np.zeros((1, side, 64, 3), np.uint8)
        expected = session.run(["scores"], {"photos": photo})[0]
        np.testing.assert_array_equal(bound.run({"photos": photo})["scores"], expected)


def test_a_bound_session_splits_what_does_not_fit(session, caplog):
    real = session.run

    class Small:
        def __getattr__(self, name):
            return getattr(session, name)

        def run(self, names, inputs):
            if len(inputs["crops"]) > 4:
                raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory")
            return real(names, inputs)

    with caplog.at_level(logging.WARNING, "facegeo"):
        found = BoundSession(Small(), "cpu", 0).run({"crops": CROPS})
    expected = real(["landmarks"], {"crops": CROPS})[0]
    np.testing.assert_allclose(found["landmarks"], expected, atol=0.01)
    assert len(caplog.records) == 1
    assert not onnxrt_cuda.is_out_of_memory(RuntimeError("bad input"))


def test_buffers_that_do_not_fit_split_the_batch_too(session, caplog):
    """The size is bound when it comes again: with buffers of its own, which is when memory ends."""
    bound = BoundSession(session, "cpu", 0)
    bind, refused = bound._bind, []

    def small(batch):
        if batch > 4:
            refused.append(batch)
            raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")
        return bind(batch)

    bound._sizes = RecordedSizes(small)
    expected = session.run(["landmarks"], {"crops": CROPS})[0]
    with caplog.at_level(logging.WARNING, "facegeo"):
        for _ in range(4):
            found = bound.run({"crops": CROPS})["landmarks"]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.01)
    assert refused and len(caplog.records) == 1

    def never(batch):
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")

    bound._sizes = RecordedSizes(never)
    bound.run({"crops": CROPS[:1]})
    with pytest.raises(OutOfMemoryError, match="cpu:0"):
        bound.run({"crops": CROPS[:1]})


def test_threads_that_share_a_bound_session_get_their_own_results(session):
    bound = BoundSession(session, "cpu", 0)
    expected = session.run(["landmarks"], {"crops": CROPS})[0]

    def work(row):
        return row, bound.run({"crops": CROPS[row : row + 2]})["landmarks"]

    with ThreadPoolExecutor(3) as pool:
        for row, found in pool.map(work, [0, 3, 6, 1, 4, 7] * 3):
            np.testing.assert_allclose(found, expected[row : row + 2], rtol=1e-4, atol=0.01)


def regressor():
    torch = pytest.importorskip("torch")
    from facegeo.geometry.crop import find_convention
    from facegeo.networks.backbones.mobilenet_v1 import MobileNetV1
    from facegeo.networks.regressor import ParameterRegressor

    torch.manual_seed(0)
    network = ParameterRegressor(MobileNetV1(0.25, 62), find_convention("exact")).eval()
    # Numbers of the size that real models have: micrometres, which leave half precision.
    network.landmark_mean += 1e5 * torch.rand(204)
    network.landmark_basis += torch.rand(50, 204)
    network.param_mean[:12] = 5e-4
    network.param_std *= 1e-5
    return network


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_geometry_stays_float32_in_half_precision(precision):
    torch = pytest.importorskip("torch")
    from facegeo.backends.pytorch.cuda import in_precision

    crops = torch.from_numpy(CROPS[:2])
    with torch.inference_mode():
        exact = regressor()(crops)
        network = regressor()
        params, landmarks = in_precision(network, precision, "cpu")(crops)
        # The network itself is as it was.
        assert "landmarks" not in vars(network)
        for ours, theirs in zip(network(crops), exact, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert params.dtype == landmarks.dtype == torch.float32
    # Landmarks follow the rounded parameters exactly: nothing of the geometry was rounded.
    again = regressor().landmarks(params)
    assert torch.isfinite(landmarks).all()
    assert (landmarks - again).abs().max() < 0.02 < exact[1].abs().max()
    assert (params - exact[0]).abs().max() > 0


def test_landmarks_of_rounded_parameters_are_float32_too():
    torch = pytest.importorskip("torch")
    network = regressor()
    params = torch.rand(2, 62).to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = network.landmarks(params)
    with torch.inference_mode():
        torch.testing.assert_close(found, network.landmarks(params.float()))


@pytest.fixture
def cuda_of_cpu(monkeypatch):
    """``torch.cuda`` whose only device is the CPU and whose graphs compute again."""
    torch = pytest.importorskip("torch")
    from facegeo.backends.pytorch import cuda as torch_cuda

    class Graph:
        made, current = 0, None

        def __init__(self) -> None:
            Graph.made += 1

        def replay(self) -> None:
            for output, value in zip(self.outputs, self.call(self.crops), strict=True):
                output.copy_(value)

    real = torch_cuda._Recording

    def recording(graph, crops, outputs):
        graph.crops, graph.outputs = crops, outputs
        return real(graph, crops, outputs)

    stream = types.SimpleNamespace(wait_stream=lambda other: None)
    null = contextlib.nullcontext
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "device", lambda _: null())
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: null())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    # Another mode would fail when a second predictor takes memory in its thread.
    modes = {"thread_local": null}
    monkeypatch.setattr(
        torch.cuda, "graph", lambda _, capture_error_mode: modes[capture_error_mode]()
    )
    monkeypatch.setattr(torch_cuda, "_Recording", recording)
    return Graph


def test_a_torch_network_is_recorded_and_replayed(cuda_of_cpu):
    torch = pytest.importorskip("torch")
    from facegeo.backends.pytorch.cuda import CudaCall

    call = CudaCall(regressor(), "cpu", "fp32")
    cuda_of_cpu.call = staticmethod(call._call)
    network = regressor()
    for shift, batch in enumerate((3, 3, 3, 0, 3, 2)):
        crops = CROPS[shift : shift + batch]
        with torch.inference_mode():
            expected = network(torch.from_numpy(crops))
        found = call(crops)
        assert len(found[0]) == batch
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-2)
    assert cuda_of_cpu.made == 1


def test_a_torch_network_splits_what_does_not_fit(cuda_of_cpu, caplog):
    torch = pytest.importorskip("torch")
    from facegeo.backends.pytorch.cuda import CudaCall

    call = CudaCall(regressor(), "cpu", "fp32")
    whole = call(CROPS)
    real = call._call

    def small(crops):
        if len(crops) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(crops)

    call._call = small
    cuda_of_cpu.call = staticmethod(small)
    with caplog.at_level(logging.WARNING, "facegeo"):
        found = call(CROPS[:8])
    np.testing.assert_allclose(found[1], whole[1][:8], rtol=1e-3, atol=1e-2)
    assert len(caplog.records) == 1
    call._process = os.getpid() + 1
    with pytest.raises(BackendUnavailableError, match="spawn"):
        call(CROPS)


def test_results_on_another_device_are_an_error(cuda_of_cpu):
    torch = pytest.importorskip("torch")
    from facegeo.backends.pytorch.cuda import CudaCall

    call = CudaCall(regressor(), "cpu", "fp32")
    call._call = lambda crops: (torch.zeros(1, device="meta"),)
    with pytest.raises(BackendUnavailableError, match="the results are on meta"):
        call(CROPS[:1])


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_on_the_cpu_is_not_offered(models, precision):
    pytest.importorskip("torch")
    with pytest.raises(BackendUnavailableError, match=f"pytorch on cpu .*{precision}"):
        open_network(find("mb05"), "pytorch", "cpu", precision)


def test_the_gpu_path_of_onnx_runtime_is_bound(models, monkeypatch):
    from facegeo.backends.onnxrt import backend as onnxrt

    real = onnxruntime.InferenceSession

    class CudaSession:
        def __init__(self, onnx, options, providers) -> None:
            assert providers[0][0] == "CUDAExecutionProvider"
            self._real = real(onnx, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def __getattr__(self, name):
            return getattr(self._real, name)

    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxrt.onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxrt.onnxruntime, "InferenceSession", CudaSession)
    network = open_network(find("mb05"), "onnxruntime", "cuda:0")
    assert isinstance(network._bound, BoundSession) and network.device == "cuda:0"
    assert network.run({"crops": CROPS[:2]})["landmarks"].shape == (2, 68, 3)
