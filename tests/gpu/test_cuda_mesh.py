"""The GPU mesh kernel on the CPU: its own source, its launches, its refusals."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_gpu import Context
from helpers.cuda_tensors import Tensor
from helpers.mesh_problems import BATCHES, TOLERANCE_PX, VERTICES, largest_error, problem

from facegeo.bench.mesh import HEAD, random_faces, random_model
from facegeo.errors import (
    BackendUnavailableError,
    DependencyMissingError,
    InvalidInputError,
    OutOfMemoryError,
)
from facegeo.geometry import crop
from facegeo.gpu import device, libcuda
from facegeo.ops import fatbin, mesh_pack
from facegeo.ops.cuda import CudaMeshKernel


def test_the_built_file_is_that_of_the_sources():
    known = fatbin.facts()
    assert known["source_sha256"] == fatbin.source_digest(), "run: python setup.py build_cuda"
    assert known["fatbin_sha256"] == hashlib.sha256(fatbin.FATBIN.read_bytes()).hexdigest()
    assert fatbin.is_current()
    assert (known["cubins"], known["ptx"]) == (list(fatbin.CUBINS), list(fatbin.PTX))
    assert fatbin.FATBIN.stat().st_size < 2_000_000


def test_a_changed_source_or_file_is_noticed(monkeypatch, tmp_path):
    changed = tmp_path / "mesh.cu"
    changed.write_bytes(fatbin.SOURCE.read_bytes() + b"//\n")
    with monkeypatch.context() as patch:
        patch.setattr(fatbin, "SOURCE", changed)
        assert not fatbin.is_current()
    crlf = tmp_path / "mesh_core.h"
    crlf.write_bytes(fatbin.HEADER.read_bytes().replace(b"\n", b"\r\n"))
    with monkeypatch.context() as patch:
        patch.setattr(fatbin, "HEADER", crlf)
        assert fatbin.is_current()
    monkeypatch.setattr(fatbin, "FATBIN", changed)
    assert not fatbin.is_current()


def test_the_command_names_every_target(tmp_path):
    command = fatbin.compile_command("nvcc", tmp_path / "x")
    assert "-gencode=arch=compute_75,code=sm_75" in command
    assert "-gencode=arch=compute_120,code=sm_120" in command
    assert "-gencode=arch=compute_120,code=compute_120" in command


def test_arguments_have_the_layout_of_the_source(fake_library):
    layout = (ctypes.c_int64 * 64)()
    count = fake_library.facegeo_mesh_layout(layout)
    args = mesh_pack.ARGS
    assert list(layout)[:count] == [args.itemsize, *(args.fields[n][1] for n in args.names)]


def test_half_precision_on_the_host_is_numpys(fake_library):
    every = np.arange(65536, dtype=np.uint16)
    finite = every[np.isfinite(every.view(np.float16))]
    for bits in finite[::7]:
        value = float(bits.view(np.float16))
        assert fake_library.facegeo_mesh_float(int(bits)) == value
        assert fake_library.facegeo_mesh_half(value) == bits
    values = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    values = np.concatenate([values, values * 1e-6, values * 1e5, np.float32([np.inf, -np.inf])])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).view(np.uint16)
    got = [fake_library.facegeo_mesh_half(float(value)) for value in values]
    np.testing.assert_array_equal(got, expected)


def test_offsets_beyond_32_bits(fake_library):
    faces, vertices = 100_000, 53215
    found = fake_library.facegeo_mesh_output_offset(vertices, faces, 17)
    assert found == (faces * vertices + 17) * 3 > 2**33


#: Kernel -> from which batch on it is taken.
PATHS = {"facegeo_mesh_scalar": 10**9, "facegeo_mesh_tensor4": 1}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("vertices", VERTICES)
def test_every_coordinate_agrees_with_float64(
    gpu, fake_library, monkeypatch, vertices, batch, path
):
    monkeypatch.setattr(mesh_pack, "TENSOR_BATCH", PATHS[path])
    mean, bases, coefficients, pose = problem(vertices, batch)
    out = np.full((batch, vertices, 3), np.nan, np.float32)  # what is not written shows
    kernel = CudaMeshKernel(mean, bases)
    assert kernel(coefficients, pose, out) is out
    assert fake_library.fake_last_kernel().decode() == path
    assert largest_error(mean, bases, coefficients, pose, out) < TOLERANCE_PX
    assert Context.depth == 0


@pytest.mark.parametrize("batch", [1, 7, 8, 9])
def test_the_path_is_chosen_by_the_batch(gpu, fake_library, batch):
    mean, bases, coefficients, pose = problem(45, batch)
    found = CudaMeshKernel(mean, bases)(coefficients, pose)
    used = fake_library.fake_last_kernel().decode()
    assert used == ("facegeo_mesh_scalar" if batch < 8 else "facegeo_mesh_tensor4")
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX


@pytest.mark.parametrize("modes", [0, 1, 14, 15, 62, 63, 112, 153, 400])
@pytest.mark.parametrize("batch", [2, 21])
def test_any_number_of_modes(gpu, fake_library, modes, batch):
    mean, bases, coefficients, pose = problem(45, batch, modes)
    found = CudaMeshKernel(mean, bases)(coefficients, pose)
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX


def test_more_modes_than_shared_memory_holds_run_on_the_scalar_path(gpu, fake_library):
    mean, bases, coefficients, pose = problem(20, 9, 3000)
    kernel = CudaMeshKernel(mean, bases)
    found = kernel(coefficients / 10, pose)
    assert fake_library.fake_last_kernel() == b"facegeo_mesh_scalar"
    assert largest_error(mean, bases, coefficients / 10, pose, found) < TOLERANCE_PX


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e5])
def test_model_units_do_not_matter(gpu, batch, unit):
    """3DDFA's models are in micrometres with coefficients of 1e5: both leave half precision."""
    mean, bases, coefficients, pose = problem(300, batch)
    mean, bases = mean * np.float32(unit), bases * np.float32(unit * 1e-4)
    coefficients = coefficients * np.float32(1e4)
    pose = pose.copy()
    pose[:, :, :3] /= unit
    found = CudaMeshKernel(mean, bases)(coefficients, pose)
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX


@pytest.mark.parametrize("batch", [2, 11])
def test_modes_that_are_huge_beside_the_mean_stay_finite(gpu, batch):
    """Their weights would leave half precision if the mean alone gave the unit."""
    mean, bases, coefficients, pose = problem(30, batch)
    mean = mean * np.float32(1e-8)
    found = CudaMeshKernel(mean, bases)(coefficients, pose)
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX


def test_threads_give_the_memory_back(gpu):
    """PyCUDA's own objects leak when a thread lets go of them without a current context."""
    mean, bases, coefficients, pose = problem(30, 3)
    kernel = CudaMeshKernel(mean, bases)
    before, expected = gpu.used, kernel(coefficients, pose)
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(kernel, coefficients, pose) for _ in range(12)]
        assert all(np.array_equal(job.result(), expected) for job in jobs)
    assert gpu.used == before
    del kernel
    assert gpu.used == 0


@pytest.mark.parametrize("batch", [2, 11])
@pytest.mark.parametrize(
    "convention", crop.CONVENTIONS.values(), ids=lambda convention: convention.name
)
def test_crop_and_region_are_those_of_the_crop_module(gpu, convention, batch):
    mean, bases, coefficients, pose = problem(77, batch)
    pose[:, :, 3] /= 5
    rng = np.random.default_rng(1)
    corner = rng.uniform(-20, 400, (batch, 2))
    rois = np.concatenate([corner, corner + rng.uniform(60, 180, (batch, 2))], 1).astype(np.float32)
    kernel = CudaMeshKernel(mean, bases)
    for found, affine in (
        (
            kernel(coefficients, pose, rois=rois, convention=convention),
            crop.pose_to_photo(pose, rois, convention),
        ),
        (kernel(coefficients, pose, convention=convention), crop.pose_to_crop(pose, convention)),
    ):
        assert largest_error(mean, bases, coefficients, affine, found) < TOLERANCE_PX


@pytest.mark.parametrize("batch", [3, 12])
def test_half_output(gpu, batch):
    mean, bases, coefficients, pose = problem(100, batch)
    kernel = CudaMeshKernel(mean, bases)
    full, half = kernel(coefficients, pose), kernel(coefficients, pose, output="float16")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, full.astype(np.float16))


def test_bare_addresses_as_a_network_leaves_them(gpu, fake_library):
    """Rows of 62 numbers on a stream of the caller's; the numbers around the output stay."""
    mean, bases, coefficients, pose = problem(50, 9)
    params = np.concatenate([pose.reshape(9, 12), coefficients], axis=1)
    out = np.full(9 * 50 * 3 + 8, 7, np.float32)
    CudaMeshKernel(mean, bases).launch(
        params.ctypes.data,
        params.ctypes.data + 48,
        out[4:].ctypes.data,
        9,
        pose_stride=62,
        coefficient_stride=62,
        stream=0xABC0,
    )
    assert fake_library.fake_last_stream() == 0xABC0
    found = out[4:-4].reshape(9, 50, 3)
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX
    assert (out[:4] == 7).all() and (out[-4:] == 7).all()


@pytest.mark.parametrize("batch", [1, 3, 64, 67])
def test_the_size_of_a_head(gpu, fake_library, batch):
    """112 modes, 52 of them local, and rows of 124 numbers: 8 steps, more than registers keep."""
    faces = random_faces(np.random.default_rng(1), batch, HEAD.coefficients)
    mean, bases = random_model(np.random.default_rng(0), *HEAD)
    coefficients, pose = faces
    stride = 12 + HEAD.coefficients
    params = np.concatenate([pose.reshape(batch, 12), coefficients], axis=1)
    out = np.full((batch, HEAD.vertices, 3), np.nan, np.float32)
    CudaMeshKernel(mean, bases).launch(
        params.ctypes.data,
        params.ctypes.data + 48,
        out.ctypes.data,
        batch,
        pose_stride=stride,
        coefficient_stride=stride,
    )
    used = fake_library.fake_last_kernel().decode()
    assert used == ("facegeo_mesh_scalar" if batch < 8 else "facegeo_mesh_tensor")
    some = [0, batch // 2, batch - 1]
    found = largest_error(mean, bases, coefficients[some], pose[some], out[some])
    assert found < TOLERANCE_PX and np.isfinite(out).all()


@pytest.mark.parametrize("batch", [2, 12])
def test_any_strides(gpu, batch):
    """Rows with numbers of others between them, and one pose for all faces."""
    mean, bases, coefficients, pose = problem(33, batch, 112)
    wide = np.full((batch, 200), np.nan, np.float32)
    wide[:, 70:182], wide[:, 3:15] = coefficients, pose.reshape(batch, 12)
    out = np.full((batch, 33, 3), np.nan, np.float32)
    kernel = CudaMeshKernel(mean, bases)
    addresses = wide.ctypes.data + 12, wide.ctypes.data + 280, out.ctypes.data
    kernel.launch(*addresses, batch, pose_stride=200, coefficient_stride=200)
    assert largest_error(mean, bases, coefficients, pose, out) < TOLERANCE_PX
    kernel.launch(*addresses, batch, pose_stride=0, coefficient_stride=200)
    same = np.repeat(pose[:1], batch, axis=0)
    assert largest_error(mean, bases, coefficients, same, out) < TOLERANCE_PX


def test_a_face_does_not_depend_on_its_neighbours(gpu):
    mean, bases, coefficients, pose = problem(40, 70)
    kernel = CudaMeshKernel(mean, bases)
    np.testing.assert_array_equal(
        kernel(coefficients, pose)[60:], kernel(coefficients[60:], pose[60:])
    )


def test_no_faces_start_nothing(gpu, fake_library):
    mean, bases, _, _ = problem(40, 1)
    before = fake_library.fake_launches()
    found = CudaMeshKernel(mean, bases)(np.zeros((0, 50)), np.zeros((0, 3, 4)))
    assert found.shape == (0, 40, 3) and fake_library.fake_launches() == before


def test_out_of_memory_splits_the_batch_with_one_warning(put_gpu, caplog):
    mean, bases, coefficients, pose = problem(1000, 33)
    driver = put_gpu(limit=1_000_000)
    kernel = CudaMeshKernel(mean, bases)
    driver.limit = driver.used + 10 * 13_000
    with caplog.at_level(logging.WARNING, "facegeo"):
        found = kernel(coefficients, pose)
        kernel(coefficients, pose)
    assert largest_error(mean, bases, coefficients, pose, found) < TOLERANCE_PX
    assert len(caplog.records) == 1 and "out of memory with 33 faces" in caplog.text
    driver.limit = driver.used + 1000
    with pytest.raises(OutOfMemoryError, match="out of memory"):
        kernel(coefficients, pose)
    assert Context.depth == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "this machine has 0 CUDA devices"),
        ({"version": 12040}, r"too old.* supports CUDA 12\.4, expected 13\.0"),
        ({"capability": (7, 0)}, r"compute capability 7\.5 .*got 7\.0"),
    ],
)
def test_a_machine_that_cannot(put_gpu, options, message):
    put_gpu(**options)
    with pytest.raises(BackendUnavailableError, match=message):
        CudaMeshKernel(*problem(4, 1)[:2])


def test_a_gpu_the_binary_has_no_code_for(gpu, fake_library):
    fake_library.fake_fail(b"cuModuleLoadData", 209)
    with pytest.raises(BackendUnavailableError, match=r"no code for this GPU.*sm_75.*build_cuda"):
        CudaMeshKernel(*problem(4, 1)[:2])


def test_a_refused_launch_is_an_error(gpu, fake_library):
    mean, bases, coefficients, pose = problem(4, 1)
    kernel = CudaMeshKernel(mean, bases)
    fake_library.fake_fail(b"cuLaunchKernel", 700)
    with pytest.raises(BackendUnavailableError, match=r"cuLaunchKernel.*\(700\)"):
        kernel(coefficients, pose)


def test_no_driver(monkeypatch):
    monkeypatch.setattr(libcuda, "_NAMES", {libcuda.sys.platform: "libcuda-nowhere.so"})
    monkeypatch.setattr(device, "_open", {})
    libcuda.load.cache_clear()
    with pytest.raises(BackendUnavailableError, match="no NVIDIA driver"):
        CudaMeshKernel(*problem(4, 1)[:2])
    libcuda.load.cache_clear()


def test_no_pycuda_names_the_extra(gpu, monkeypatch):
    monkeypatch.setitem(libcuda.sys.modules, "pycuda", None)
    monkeypatch.delitem(libcuda.sys.modules, "pycuda.driver")
    with pytest.raises(DependencyMissingError, match=r"facegeo\[gpu\]"):
        CudaMeshKernel(*problem(4, 1)[:2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_refused_and_the_parent_goes_on(gpu):
    mean, bases, coefficients, pose = problem(4, 1)
    kernel = CudaMeshKernel(mean, bases)
    messages = []
    for attempt in (
        lambda: kernel(coefficients, pose),
        lambda: CudaMeshKernel(mean, bases),
    ):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                attempt()
                text = "no error"
            except BackendUnavailableError as error:
                text = str(error)
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            messages.append(pipe.read().decode())
        os.waitpid(child, 0)
    assert all("spawn" in message for message in messages), messages
    assert kernel(coefficients, pose).shape == (1, 4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coefficients": np.zeros((2, 49))}, r"coefficients: expected shape \(N, 50\)"),
        ({"pose": np.zeros((1, 3, 4))}, r"pose: expected shape \(2, 3, 4\)"),
        ({"pose": np.full((2, 3, 4), np.nan)}, "finite"),
        ({"out": np.zeros((2, 9, 3), np.float32)}, r"out: .*\(2, 10, 3\)"),
        ({"output": "int8"}, "out"),
        ({"rois": np.zeros((2, 4))}, "convention=None"),
        (
            {"rois": np.zeros((3, 4)), "convention": crop.find_convention("exact")},
            r"rois: expected shape",
        ),
    ],
)
def test_refuses_bad_input(gpu, change, message):
    mean, bases, coefficients, pose = problem(10, 2)
    given = {"coefficients": coefficients, "pose": pose, **change}
    with pytest.raises(InvalidInputError, match=message):
        CudaMeshKernel(mean, bases)(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": 6}, "pose: expected an address"),
        ({"out": 0}, "got 0"),
        ({"out": 66}, "out: expected an address of float32"),
        ({"batch": -1}, "batch"),
        ({"coefficient_stride": 3}, "coefficient_stride"),
        ({"rois": 64}, "convention=None"),
    ],
)
def test_refuses_bad_addresses(gpu, fake_library, change, message):
    mean, bases, _, _ = problem(10, 2)
    given = {"pose": 64, "coefficients": 64, "out": 64, "batch": 2, **change}
    before = fake_library.fake_launches()
    with pytest.raises(InvalidInputError, match=message):
        CudaMeshKernel(mean, bases).launch(**given)
    assert fake_library.fake_launches() == before


@pytest.mark.parametrize("batch", [1, 12])
def test_tensors_are_read_where_they_lie(gpu, fake_library, monkeypatch, batch):
    torch = pytest.importorskip("torch")
    mean, bases, coefficients, pose = problem(30, batch)
    params = np.concatenate([pose.reshape(batch, 12), coefficients], axis=1)
    made = np.zeros((batch, 30, 3), np.float32)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: Tensor(made))
    stream = type("Stream", (), {"cuda_stream": 0x4440})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    found = CudaMeshKernel(mean, bases)(Tensor(params[:, 12:]), Tensor(params[:, :12]))
    assert found.array is made and fake_library.fake_last_stream() == 0x4440
    assert largest_error(mean, bases, coefficients, pose, made) < TOLERANCE_PX


@pytest.mark.parametrize("pose", [np.zeros((2, 3, 4), np.float32), [[0.0] * 12] * 2])
def test_refuses_a_pose_that_is_no_tensor(gpu, pose):
    pytest.importorskip("torch")
    mean, bases, _, _ = problem(10, 2)
    with pytest.raises(InvalidInputError, match="pose: expected a float32 tensor"):
        CudaMeshKernel(mean, bases)(Tensor(np.zeros((2, 50), np.float32)), pose)


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        (Tensor(np.zeros((2, 50))), "float64"),
        (
            Tensor(np.zeros((2, 50), np.float32), "cuda", 1),
            "expected a float32 tensor .* on cuda:0",
        ),
        (Tensor(np.zeros((2, 50), np.float32), "cpu", None), "got one on"),
        (Tensor(np.zeros((50, 2), np.float32).T), "not contiguous"),
        (Tensor(np.zeros((2, 51), np.float32)), r"\(2, 51\)"),
    ],
)
def test_refuses_other_tensors(gpu, coefficients, message):
    pytest.importorskip("torch")
    mean, bases, _, _ = problem(10, 2)
    with pytest.raises(InvalidInputError, match=message):
        CudaMeshKernel(mean, bases)(coefficients, Tensor(np.zeros((2, 12), np.float32)))
