"""Engines: the same numbers, and no silent choice of another device."""

import builtins
import logging

import numpy as np
import onnxruntime
import pytest

from facegeo import FaceGeometry
from facegeo.backends import BACKENDS, open_network
from facegeo.backends.onnxrt import backend as onnxrt
from facegeo.errors import BackendUnavailableError, CorruptFileError, DependencyMissingError
from facegeo.zoo import find

#: TensorRT runs on GPUs only; its tests are in tests/gpu.
CPU_BACKENDS = [name for name in BACKENDS if name != "tensorrt"]
CROPS = np.random.default_rng(0).integers(0, 256, (5, 120, 120, 3), np.uint8)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_backends_agree_at_every_batch_size(models, backend, batch):
    expected = open_network(find("mb05"), "onnxruntime", "cpu").run({"crops": CROPS})
    found = open_network(find("mb05"), backend, "cpu").run({"crops": CROPS[:batch]})
    scale = np.abs(expected["params"]).max(axis=0)
    assert (np.abs(found["params"] - expected["params"][:batch]) <= 1e-4 * scale).all()
    assert np.abs(found["landmarks"] - expected["landmarks"][:batch]).max() < 0.01


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_a_device_that_is_not_there_is_an_error(models, backend):
    if (
        backend == "onnxruntime"
        and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    ):
        pytest.skip("this machine has CUDA")
    with pytest.raises(BackendUnavailableError, match="cuda:99"):
        open_network(find("mb05"), backend, "cuda:99")


@pytest.mark.parametrize(
    ("option", "value"),
    [("backend", "caffe"), ("device", "tpu"), ("device", "cuda:x"), ("precision", "int3")],
)
def test_unknown_choices_are_refused(models, option, value):
    with pytest.raises(BackendUnavailableError, match=option):
        FaceGeometry("mb05", **{option: value})


class LyingSession:
    """A session whose CUDA provider did not load: ONNX Runtime says so only in this list."""

    real = onnxruntime.InferenceSession

    def __new__(cls, onnx, options, providers):
        return cls.real(onnx, options, providers=["CPUExecutionProvider"])


def test_only_auto_falls_back_and_says_so_once(models, monkeypatch, caplog):
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxrt.onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxrt.onnxruntime, "InferenceSession", LyingSession)
    with pytest.raises(BackendUnavailableError, match="did not load"):
        open_network(find("mb05"), "onnxruntime", "cuda")
    with caplog.at_level(logging.WARNING, "facegeo"):
        network = open_network(find("mb05"), "onnxruntime", "auto")
    assert network.device == "cpu"
    assert len(caplog.records) == 1 and "falls back" in caplog.text


def test_the_pytorch_backend_without_pytorch_names_the_extra(models, monkeypatch):
    real = builtins.__import__

    def without_torch(name, *arguments, **keywords):
        if name == "torch" or name.startswith("torch."):
            raise ImportError("No module named 'torch'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[torch\]"):
        open_network(find("mb05"), "pytorch")


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_a_file_that_is_no_network_is_corrupt(cache, backend):
    pytest.importorskip({"pytorch": "torch"}.get(backend, backend))
    from facegeo.zoo import Card
    from facegeo.zoo.store import install

    card = Card("x", "landmarks", "mobilenet_v1_x1", "", "", {}, crop_convention="exact")
    model = install(card, {"network": b"no onnx"})
    with pytest.raises(CorruptFileError):
        open_network(model, backend, "cpu")
