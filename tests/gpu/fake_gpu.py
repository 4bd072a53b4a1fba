"""A GPU for tests on machines without one: PyCUDA and the driver over host memory."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
import types
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).with_name("fake_driver.cpp")


def compiler() -> str | None:
    """A C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("clang++")


def build_driver(folder: Path) -> ctypes.CDLL:
    """Compile the fake driver, which holds the kernels' host build."""
    target = folder / "libfake_cuda.so"
    command = [compiler(), "-std=c++17", "-O3", "-shared", "-fPIC", "-x", "c++", str(_SOURCE)]
    subprocess.run([*command, "-o", str(target)], check=True, capture_output=True, timeout=120)
    library = ctypes.CDLL(str(target))
    library.fake_last_kernel.restype = ctypes.c_char_p
    for name in ("fake_launches", "fake_graph_launches", "fake_last_stream"):
        getattr(library, name).restype = ctypes.c_int64
    library.facegeo_mesh_output_offset.restype = ctypes.c_int64
    library.facegeo_mesh_output_offset.argtypes = [ctypes.c_int64] * 3
    library.facegeo_mesh_float.restype = ctypes.c_float
    library.facegeo_mesh_float.argtypes = [ctypes.c_uint16]
    library.facegeo_mesh_half.restype = ctypes.c_uint16
    library.facegeo_mesh_half.argtypes = [ctypes.c_float]
    return library


class Error(Exception):
    """``pycuda.driver.Error``."""


class MemoryError(Error):
    """``pycuda.driver.MemoryError``."""


class DeviceAllocation:
    """Host memory that plays the device's. As PyCUDA's, it leaks when no context is current."""

    def __init__(self, driver: FakePyCuda, nbytes: int) -> None:
        self._driver, self.nbytes = driver, nbytes
        self._memory = np.full(nbytes, 0x5A, np.uint8)
        driver.used += nbytes

    def __int__(self) -> int:
        return self._memory.ctypes.data

    def free(self) -> None:
        assert self._driver.contexts() > 0
        self._driver.used -= self.nbytes
        self.nbytes = 0

    def __del__(self) -> None:
        if self._driver.contexts() > 0:
            self._driver.used -= self.nbytes


class Stream:
    """Everything runs at once, so a stream is only a number."""

    _next = 0x1000

    def __init__(self, flags: int = 0) -> None:
        Stream._next += 16
        self.handle = Stream._next
        self.synchronized = 0

    def synchronize(self) -> None:
        self.synchronized += 1


class _Depth(threading.local):
    depth = 0


class _Stack(type):
    """``Context.depth``: contexts on the stack of this thread."""

    stack = _Depth()

    @property
    def depth(cls) -> int:
        return cls.stack.depth


class Context(metaclass=_Stack):
    """A stack of contexts for each thread, to see that each push has its pop."""

    def push(self) -> None:
        Context.stack.depth += 1

    @staticmethod
    def pop() -> None:
        Context.stack.depth -= 1


class FakePyCuda(types.ModuleType):
    """What facegeo uses of ``pycuda.driver``.

    Parameters
    ----------
    count : int
        Devices.
    limit : int
        Bytes of device memory.
    """

    Error, MemoryError, Stream, Context = Error, MemoryError, Stream, Context

    def __init__(
        self, count: int = 1, limit: int = 1 << 32, capability=(9, 0), version: int = 13000
    ) -> None:
        super().__init__("pycuda.driver")
        self.used, self.limit, self.initialised = 0, limit, False
        driver = self

        class Device:
            def __init__(self, index: int) -> None:
                self.index = index

            @staticmethod
            def count() -> int:
                return count

            def name(self) -> str:
                return "Fake GPU"

            def compute_capability(self) -> tuple[int, int]:
                return capability

            def retain_primary_context(self) -> Context:
                if not driver.initialised:
                    raise Error("not initialised")
                return Context()

        self.Device = Device
        self._version = version

    def init(self) -> None:
        self.initialised = True

    @staticmethod
    def contexts() -> int:
        return Context.depth

    def get_driver_version(self) -> int:
        return self._version

    def mem_alloc(self, nbytes: int) -> DeviceAllocation:
        assert self.contexts() > 0, "no context is current"
        if self.used + nbytes > self.limit:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return DeviceAllocation(self, nbytes)

    def pagelocked_empty(self, shape, dtype) -> np.ndarray:
        return np.empty(shape, dtype)

    def memcpy_htod(self, target, source: np.ndarray) -> None:
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_htod_async(self, target, source: np.ndarray, stream=None) -> None:
        self.memcpy_htod(target, source)

    def memcpy_dtoh_async(self, target: np.ndarray, source, stream=None) -> None:
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)
