"""A GPU's primary context, its memory and streams, through PyCUDA.

The primary context is the one that PyTorch and ONNX Runtime use too, so addresses and streams may
be shared with them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeo.base.devices import check_process, cuda_index
from facegeo.errors import BackendUnavailableError, DependencyMissingError, OutOfMemoryError
from facegeo.gpu import libcuda

_lock = threading.Lock()
_open: dict[int, Gpu] = {}
_process: int | None = None


def open_gpu(device: str = "cuda:0") -> Gpu:
    """The GPU of that name; one object a device and process.

    Parameters
    ----------
    device : str
        ``auto`` (the first), ``cuda`` or ``cuda:N``.

    Raises
    ------
    DependencyMissingError
        Without PyCUDA.
    BackendUnavailableError
        Without a driver or that GPU, or in a process that was forked after CUDA was used.
    """
    global _process
    index = cuda_index("cuda:0" if device == "auto" else device)
    if index is None:
        raise BackendUnavailableError(f"device: expected cuda or cuda:N, got {device!r}")
    with _lock:
        check_process(_process)
        if index not in _open:
            _open[index] = Gpu(index)
            _process = os.getpid()
        return _open[index]


class Gpu:
    """One GPU. Calls that need its context make it current themselves.

    Attributes
    ----------
    index : int
    name : str
    capability : tuple of int
        Compute capability: (9, 0) is Hopper.
    cuda_version : int
        Newest CUDA version that the driver supports.
    """

    def __init__(self, index: int) -> None:
        self._cuda = cuda = _pycuda_driver()
        try:
            cuda.init()
            count = cuda.Device.count()
        except cuda.Error as error:
            raise BackendUnavailableError(
                f"device 'cuda:{index}': the NVIDIA driver does not start ({error}); see nvidia-smi"
            ) from error
        if index >= count:
            raise BackendUnavailableError(
                f"device 'cuda:{index}': this machine has {count} CUDA devices; see nvidia-smi"
            )
        device = cuda.Device(index)
        self.index = index
        self.name = str(device.name())
        self.capability = tuple(device.compute_capability())
        self.cuda_version = int(cuda.get_driver_version())
        self._context = device.retain_primary_context()
        self._process = os.getpid()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread for a while.

        Raises
        ------
        BackendUnavailableError
            In a process that was forked off, or if the driver reports an error within.
        OutOfMemoryError
            If the device's memory does not suffice.
        """
        check_process(self._process)
        cuda = self._cuda
        self._context.push()
        try:
            yield
        except cuda.MemoryError as error:
            raise OutOfMemoryError(
                f"cuda:{self.index}, {self.name}: out of memory ({error})"
            ) from error
        except cuda.Error as error:
            raise BackendUnavailableError(f"cuda:{self.index}, {self.name}: {error}") from error
        finally:
            cuda.Context.pop()

    # The methods below are called while the context is current.

    def allocate(self, nbytes: int) -> DeviceMemory:
        """Device memory; ``int()`` of it is its address. It is freed with the object."""
        return DeviceMemory(self, self._cuda.mem_alloc(max(1, nbytes)))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """Host memory that the GPU copies from and to by itself, while the CPU goes on."""
        array: np.ndarray = self._cuda.pagelocked_empty(shape, dtype)
        return array

    def stream(self) -> Any:
        """A stream; ``stream.handle`` is what other libraries call it."""
        return self._cuda.Stream()

    def upload(self, array: np.ndarray) -> DeviceMemory:
        """A copy of an array in device memory."""
        memory = self.allocate(array.nbytes)
        if array.nbytes:
            self._cuda.memcpy_htod(int(memory), np.ascontiguousarray(array))
        return memory

    def copy_in(self, memory: DeviceMemory, array: np.ndarray, stream: Any) -> None:
        """Host to device on a stream; asynchronous where the array is pinned."""
        self._cuda.memcpy_htod_async(int(memory), array, stream)

    def copy_out(self, array: np.ndarray, memory: DeviceMemory, stream: Any) -> None:
        """Device to host on a stream; asynchronous where the array is pinned."""
        self._cuda.memcpy_dtoh_async(array, int(memory), stream)


class DeviceMemory:
    """Memory of a GPU, freed with the object by whichever thread lets go of it last.

    PyCUDA frees its own objects in the thread that opened the context, and leaks them in others.
    """

    def __init__(self, gpu: Gpu, allocation: Any) -> None:
        self._gpu, self._allocation = gpu, allocation

    def __int__(self) -> int:
        return int(self._allocation)

    def __del__(self) -> None:
        # In a fork, and while the interpreter ends, there is nothing to free any more.
        with suppress(Exception), self._gpu.current():
            self._allocation.free()


def _pycuda_driver() -> Any:
    libcuda.load()  # PyCUDA's own message for a missing driver is that of the dynamic linker
    try:
        import pycuda.driver
    except ImportError as error:
        raise DependencyMissingError(
            f'GPU memory and streams need PyCUDA ({error}); pip install "facegeo[gpu]"'
        ) from error
    return pycuda.driver
