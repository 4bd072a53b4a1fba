"""One mesh kernel for arrays and for tensors on a GPU; the GPU is the fake one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.cuda_tensors import Tensor
from helpers.mesh_problems import TOLERANCE_PX, largest_error, problem

from facegeo.errors import BackendUnavailableError, InvalidInputError
from facegeo.ops import cuda
from facegeo.ops.mesh import MeshKernel

torch = pytest.importorskip("torch")

VERTICES, FACES = 30, 9


class CudaArray:
    """A GPU array of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__cuda_array_interface__ = {"shape": array.shape}

    def __dlpack__(self, **options) -> None:
        raise AssertionError("PyTorch is not real here")


@pytest.fixture
def tensors(gpu, monkeypatch):
    """PyTorch with a GPU: its new tensors are of this class, and so are those of others."""
    stream = type("Stream", (), {"cuda_stream": 0x4440})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(
        torch, "empty", lambda shape, dtype, device: Tensor(np.zeros(shape, np.float32))
    )
    monkeypatch.setattr(torch, "from_dlpack", lambda value: Tensor(value.array))


@pytest.fixture
def made(monkeypatch):
    """Devices for which a CUDA kernel was made."""
    devices = []

    class Counted(cuda.CudaMeshKernel):
        def __init__(self, mean, bases, *, device):
            devices.append(device)
            super().__init__(mean, bases, device=device)

    monkeypatch.setattr(cuda, "CudaMeshKernel", Counted)
    return devices


@pytest.fixture
def given():
    return problem(VERTICES, FACES)


def test_where_it_runs_follows_the_arguments(tensors, made, given, fake_library):
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases)
    on_cpu = kernel(coefficients, pose)
    assert isinstance(on_cpu, np.ndarray) and not made
    for _ in range(2):
        found = kernel(Tensor(coefficients), Tensor(pose))
        assert isinstance(found, Tensor) and fake_library.fake_last_stream() == 0x4440
        assert largest_error(mean, bases, coefficients, pose, found.array) < TOLERANCE_PX
    assert made == ["cuda:0"]
    np.testing.assert_array_equal(kernel(coefficients, pose), on_cpu)


def test_the_callers_tensor_is_filled(tensors, given):
    mean, bases, coefficients, pose = given
    out = Tensor(np.full((FACES, VERTICES, 3), np.nan, np.float32))
    out.dtype, out.is_contiguous = torch.float32, lambda: True
    assert MeshKernel(mean, bases)(Tensor(coefficients), Tensor(pose), out) is out
    assert largest_error(mean, bases, coefficients, pose, out.array) < TOLERANCE_PX


def test_arrays_of_other_libraries_are_taken_by_dlpack(tensors, given):
    mean, bases, coefficients, pose = given
    found = MeshKernel(mean, bases)(CudaArray(coefficients), CudaArray(pose))
    assert largest_error(mean, bases, coefficients, pose, found.array) < TOLERANCE_PX
    bare = type("Bare", (), {"__cuda_array_interface__": {}})()
    with pytest.raises(InvalidInputError, match=r"pose: .*DLPack, got Bare"):
        MeshKernel(mean, bases)(CudaArray(coefficients), bare)


def test_threads_make_one_kernel(tensors, made, given):
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(kernel, Tensor(coefficients), Tensor(pose)) for _ in range(8)]
        for job in jobs:
            found = job.result().array
            assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX
    assert made == ["cuda:0"]


def test_every_device_has_its_kernel(put_gpu, tensors, made, given):
    put_gpu(count=2)
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases)
    for index in (1, 0, 1):
        place = {"index": index}
        flat = pose.reshape(FACES, 12)
        kernel(Tensor(coefficients, **place), Tensor(flat, **place))
    assert made == ["cuda:1", "cuda:0"]
    with pytest.raises(InvalidInputError, match=r"pose: .* on cuda:1"):
        kernel(Tensor(coefficients, index=1), Tensor(pose.reshape(FACES, 12), index=0))


@pytest.mark.parametrize("name", ["coefficients", "pose", "out"])
def test_what_is_not_on_the_gpu_beside_what_is(tensors, given, name):
    mean, bases, coefficients, pose = given
    arrays = {
        "coefficients": coefficients,
        "pose": pose,
        "out": np.zeros((FACES, VERTICES, 3), np.float32),
    }
    mixed = {key: array if key == name else Tensor(array) for key, array in arrays.items()}
    with pytest.raises(InvalidInputError, match=f"{name}: expected a tensor on a GPU"):
        MeshKernel(mean, bases)(**mixed)


@pytest.mark.parametrize("implementation", ["numba", "numpy", "reference"])
def test_what_was_named_is_on_the_cpu(tensors, given, implementation):
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases, implementation=implementation)
    with pytest.raises(InvalidInputError, match=f"'{implementation}' computes NumPy arrays"):
        kernel(Tensor(coefficients), Tensor(pose))


def test_a_gpu_that_cannot_is_an_error_and_no_fallback(put_gpu, given):
    put_gpu(capability=(7, 0))
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases)
    with pytest.raises(BackendUnavailableError, match=r"compute capability 7\.5"):
        kernel(Tensor(coefficients), Tensor(pose))


def test_tensors_on_the_cpu_are_arrays(given):
    mean, bases, coefficients, pose = given
    kernel = MeshKernel(mean, bases)
    found = kernel(torch.from_numpy(coefficients), torch.from_numpy(pose))
    np.testing.assert_array_equal(found, kernel(coefficients, pose))
