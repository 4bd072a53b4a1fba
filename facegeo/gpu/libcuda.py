"""The few functions of the CUDA driver that PyCUDA does not offer, called where they are.

PyCUDA 2026.1 launches kernels on its own streams only and knows no CUDA graphs; a caller's stream,
PyTorch's for instance, is a bare handle. All work in the context that is current in the thread.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from facegeo.errors import BackendUnavailableError, OutOfMemoryError

#: What matters of ``CUresult``; the driver names the others itself.
OUT_OF_MEMORY: Final = 2
_NO_BINARY: Final = (200, 209, 218, 222)  # invalid image, no binary, invalid or newer PTX

_CAPTURE_THREAD_LOCAL: Final = 1
_NAMES: Final = {"win32": "nvcuda.dll"}


class DriverError(BackendUnavailableError):
    """A call to the driver failed; ``code`` is its ``CUresult``."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@functools.cache
def load() -> ctypes.CDLL:
    """The driver's library.

    Raises
    ------
    BackendUnavailableError
        If this machine has none.
    """
    name = _NAMES.get(sys.platform, "libcuda.so.1")
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise BackendUnavailableError(
            f"no NVIDIA driver: {name} cannot be loaded ({error}); install the driver, or take "
            "device='cpu'"
        ) from error


def call(function: str, *arguments: Any) -> None:
    """Call a driver function.

    Raises
    ------
    OutOfMemoryError
        If the device's memory does not suffice.
    DriverError
        For any other result but success.
    """
    library = load()
    try:
        entry = getattr(library, function)
    except AttributeError as error:
        raise BackendUnavailableError(
            f"the NVIDIA driver is too old: it has no {function}; install a newer driver"
        ) from error
    code = int(entry(*arguments))
    if code == OUT_OF_MEMORY:
        raise OutOfMemoryError(f"{function}: the GPU's memory does not suffice")
    if code:
        raise DriverError(f"{function}: the driver answers {_describe(library, code)}", code)


class Module:
    """Kernels loaded into the current context.

    Raises
    ------
    BackendUnavailableError
        If the image has no code for this GPU.
    """

    def __init__(self, image: bytes, targets: str) -> None:
        self._handle = ctypes.c_void_p()
        try:
            call("cuModuleLoadData", ctypes.byref(self._handle), ctypes.c_char_p(image))
        except DriverError as error:
            if error.code not in _NO_BINARY:
                raise
            raise BackendUnavailableError(
                f"the compiled kernels have no code for this GPU and driver (they have {targets}): "
                f"{error}; install a newer driver, or compile them for this GPU: "
                "python setup.py build_cuda"
            ) from error

    def function(self, name: str) -> int:
        """Handle of a kernel."""
        handle = ctypes.c_void_p()
        call("cuModuleGetFunction", ctypes.byref(handle), self._handle, name.encode())
        return int(handle.value or 0)


def launch(
    function: int, grid: int, block: int, shared_bytes: int, stream: int, argument: bytes
) -> None:
    """Start a kernel of one argument, passed by value, on a stream; returns at once."""
    value = ctypes.create_string_buffer(argument, len(argument))
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    call(
        "cuLaunchKernel",
        ctypes.c_void_p(function),
        *(ctypes.c_uint(size) for size in (grid, 1, 1, block, 1, 1, shared_bytes)),
        ctypes.c_void_p(stream),
        pointers,
        None,
    )


class Graph:
    """Work that a function puts on a stream, recorded once, then replayed by one call.

    Parameters
    ----------
    stream : int
        Handle of a stream that is not the default one.
    enqueue : callable
        Puts work on the stream; nothing of it runs while it is recorded.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        handle = ctypes.c_void_p(stream)
        graph = ctypes.c_void_p()
        # Thread-local: another thread may allocate memory meanwhile without spoiling the record.
        call("cuStreamBeginCapture_v2", handle, ctypes.c_int(_CAPTURE_THREAD_LOCAL))
        try:
            enqueue()
        except BaseException:
            # A stream that is left recording is lost to everybody. The driver may answer that the
            # record is spoilt; what spoilt it says more.
            with suppress(BackendUnavailableError):
                call("cuStreamEndCapture", handle, ctypes.byref(graph))
                call("cuGraphDestroy", graph)
            raise
        call("cuStreamEndCapture", handle, ctypes.byref(graph))
        self._executable = ctypes.c_void_p()
        try:
            call(
                "cuGraphInstantiateWithFlags",
                ctypes.byref(self._executable),
                graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            call("cuGraphDestroy", graph)

    def replay(self, stream: int) -> None:
        """Put the recorded work on a stream; returns at once."""
        call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream))

    def close(self) -> None:
        """Free it; it must not be running."""
        if self._executable:
            call("cuGraphExecDestroy", self._executable)
            self._executable = ctypes.c_void_p()


def _describe(library: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorString(code, ctypes.byref(text))
    return f"{(text.value or b'unknown error').decode(errors='replace')} ({code})"
