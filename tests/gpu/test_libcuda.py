"""The driver's functions that are called directly, on the fake driver."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.bench.mesh import random_faces, random_model
from facegeo.errors import BackendUnavailableError, OutOfMemoryError
from facegeo.gpu import libcuda
from facegeo.ops.cuda import CudaMeshKernel

STREAM = 0x7770


@pytest.fixture
def launch(gpu):
    """A function that puts one launch on the stream; ``launch.out`` is where it writes."""
    rng = np.random.default_rng(0)
    kernel = CudaMeshKernel(*random_model(rng, 20, 5))
    coefficients, pose = random_faces(rng, 2, 5)
    out = np.zeros((2, 20, 3), np.float32)

    def start() -> None:
        kernel.launch(pose.ctypes.data, coefficients.ctypes.data, out.ctypes.data, 2, stream=STREAM)

    start.out, start.expected = out, kernel(coefficients, pose)
    return start


def test_a_graph_runs_what_was_recorded_each_time_it_is_replayed(launch, fake_library):
    before = fake_library.fake_launches()
    graph = libcuda.Graph(STREAM, launch)
    assert fake_library.fake_launches() == before and not launch.out.any()
    for _ in range(2):
        launch.out[:] = 0
        graph.replay(STREAM)
        np.testing.assert_array_equal(launch.out, launch.expected)
    assert fake_library.fake_launches() == before + 2
    graph.close()
    graph.close()


def test_an_error_while_recording_is_told_and_the_stream_is_free_again(launch, fake_library):
    def fail() -> None:
        launch()
        fake_library.fake_fail(b"cuStreamEndCapture", 901)  # the driver: the record is spoilt
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        libcuda.Graph(STREAM, fail)
    libcuda.Graph(STREAM, launch).replay(STREAM)
    np.testing.assert_array_equal(launch.out, launch.expected)


@pytest.mark.parametrize(
    ("function", "code", "error", "message"),
    [
        (b"cuGraphInstantiateWithFlags", 2, OutOfMemoryError, "memory does not suffice"),
        (b"cuStreamBeginCapture_v2", 900, BackendUnavailableError, r"some error \(900\)"),
    ],
)
def test_what_the_driver_answers_is_an_error(launch, fake_library, function, code, error, message):
    fake_library.fake_fail(function, code)
    with pytest.raises(error, match=message):
        libcuda.Graph(STREAM, launch)


def test_an_old_driver_lacks_functions(gpu):
    with pytest.raises(BackendUnavailableError, match="too old: it has no cuFromTheFuture"):
        libcuda.call("cuFromTheFuture")
