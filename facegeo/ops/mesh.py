"""Dense meshes from coefficients, many faces at once, written straight into the caller's buffer.

One call for arrays on the CPU and for tensors on a GPU; what it computes is defined by
:mod:`facegeo.ops.reference`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from facegeo.base.arrays import array_of, describe
from facegeo.errors import InvalidInputError
from facegeo.ops.implementations import choose_implementation
from facegeo.ops.reference import build_meshes
from facegeo.ops.threads import default_threads

if TYPE_CHECKING:
    from facegeo.ops.cuda import CudaMeshKernel

#: What computes a mesh on the CPU.
MeshImplementation = Literal["auto", "numba", "numpy", "reference"]

# A block of the NumPy loops: its intermediate results, 2 x 1.5 MB, stay in the cache.
_BLOCK_FACES = 64
_BLOCK_SIZE = 2048 * _BLOCK_FACES  # vertices times faces


class _Kernel(Protocol):
    def __call__(self, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None: ...


class MeshKernel:
    """Vertices ``A (mean + sum_m coefficient_m basis_m) + t`` of N faces at once.

    The bases are prepared once: 16-bit fixed point with one scale a mode, in the order in which the
    loops read them. A call writes each vertex once into ``out`` and makes no temporary of the size
    of a mesh. A face's result does not depend, to the last bit, on the faces around it in the batch
    nor on the number of threads. Calls from several threads at once are safe.

    Modes may be local, as expressions are: where two of them leave a tile of 4 to 16 neighbouring
    vertices as it is, Numba's loops skip it, which changes no bit. NumPy multiplies everything.

    What is computed where follows the arguments. CUDA tensors are read where they lie, by
    :class:`facegeo.ops.cuda.CudaMeshKernel`, whose accuracy is its own; it is made for a GPU when
    the first tensor of that GPU comes.

    Accuracy on the CPU: one part in 65,000 of the displacement at most per mode from storage, and
    in all ``M / 131,000`` of ``sum_m |coefficient_m| max|basis_m|`` at the very worst from 16-bit
    coefficients; a twentieth of that in practice.

    Parameters
    ----------
    mean : (V, 3) array
        Mean face in model units, V >= 1.
    bases : (M, V, 3) array
        Displacements in model units for a coefficient of one. M may be 0.
    threads : int, optional
        Threads of a call; by default the cores this process may use, at most 8.
    implementation : {"auto", "numba", "numpy", "reference"}
        ``numba`` compiles loops for this processor when the first kernel of a process is called
        (about a second, once; kept in Numba's cache on disk). ``numpy`` is the same in blocks of
        float32 products. ``reference`` is the definition itself in float64, slow, with its result
        rounded to float32. ``auto`` takes Numba where it is installed, and alone takes CUDA
        tensors: what is named is on the CPU.

    Attributes
    ----------
    implementation : str
        What computes arrays: ``"numba"``, ``"numpy"`` or ``"reference"``.

    Raises
    ------
    InvalidInputError
        If shapes differ or a number is not finite.
    BackendUnavailableError
        If ``implementation="numba"`` and Numba cannot be imported.
    """

    def __init__(
        self,
        mean: Any,
        bases: Any,
        *,
        threads: int | None = None,
        implementation: MeshImplementation = "auto",
    ) -> None:
        if implementation not in get_args(MeshImplementation):
            raise InvalidInputError(
                f"implementation: expected one of {', '.join(get_args(MeshImplementation))}, "
                f"got {implementation!r}"
            )
        mean = array_of("mean", mean, ("V", 3))
        if len(mean) == 0:
            raise InvalidInputError("mean: expected at least one vertex, got none")
        bases = array_of("bases", bases, ("M", len(mean), 3))
        if threads is not None and threads < 1:
            raise InvalidInputError(f"threads: expected 1 or more, got {threads}")
        self.num_vertices = len(mean)
        self.num_coefficients = len(bases)
        # For GPUs that are asked later; what was named needs none of it.
        self._model = (mean, bases) if implementation == "auto" else None
        self._on_cuda: dict[str, CudaMeshKernel] = {}
        self._lock = threading.Lock()
        self.implementation: str
        self._kernel: _Kernel
        if implementation == "reference":
            self.implementation, self._kernel = implementation, ReferenceMeshKernel(mean, bases)
            return
        self.implementation = choose_implementation(implementation)
        if self.implementation == "numba":
            from facegeo.ops.mesh_numba import NumbaMeshKernel

            self._kernel = NumbaMeshKernel(mean, bases, threads or default_threads())
        else:
            self._kernel = NumpyMeshKernel(mean, bases)

    def __repr__(self) -> str:
        return (
            f"MeshKernel({self.num_vertices} vertices, {self.num_coefficients} coefficients, "
            f"implementation={self.implementation!r})"
        )

    def __call__(self, coefficients: Any, pose: Any, out: Any = None) -> Any:
        """Build meshes.

        Parameters
        ----------
        coefficients : (N, M) float32
            A NumPy array (or what becomes one), or a PyTorch tensor on a GPU; then ``pose`` and
            ``out`` are tensors on that GPU too. Other GPU arrays that share their memory by DLPack,
            CuPy's for one, are taken as tensors.
        pose : (N, 3, 4) float32
            ``[A | t]``: model units to the frame of the result, for instance photo pixels.
        out : (N, V, 3) float32, optional
            C-contiguous buffer that is filled and returned; a new one by default.

        Returns
        -------
        (N, V, 3) float32 array, or tensor on the GPU
            A tensor is ready when PyTorch's current stream has come so far.

        Raises
        ------
        InvalidInputError
            If a shape, the dtype or the layout of ``out``, or a number is not as stated; ``out`` is
            untouched then. Numbers of tensors are not looked at.
        DependencyMissingError, BackendUnavailableError, OutOfMemoryError
            For tensors, as :class:`facegeo.ops.cuda.CudaMeshKernel`.
        """
        given = {"coefficients": coefficients, "pose": pose, "out": out}
        if any(_is_on_cuda(value) for value in given.values()):
            return self._call_on_cuda(given)
        coefficients = array_of("coefficients", coefficients, ("N", self.num_coefficients))
        pose = array_of("pose", pose, (len(coefficients), 3, 4))
        shape = (len(coefficients), self.num_vertices, 3)
        if out is None:
            out = np.empty(shape, np.float32)
        else:
            _check_buffer(out, shape)
        self._kernel(coefficients, pose, out)
        return out

    def _call_on_cuda(self, given: dict[str, Any]) -> Any:
        if self._model is None:
            raise InvalidInputError(
                f"coefficients: implementation={self.implementation!r} computes NumPy arrays, got "
                "tensors on a GPU; copy them to the CPU, or take implementation='auto'"
            )
        for name, value in given.items():
            if not _is_on_cuda(value) and not (name == "out" and value is None):
                raise InvalidInputError(
                    f"{name}: expected a tensor on a GPU like the others, got {describe(value)}"
                )
        tensors = {name: _as_tensor(name, value) for name, value in given.items()}
        from facegeo.ops.cuda import CudaMeshKernel

        device = f"cuda:{tensors['coefficients'].device.index}"
        with self._lock:
            if device not in self._on_cuda:
                self._on_cuda[device] = CudaMeshKernel(*self._model, device=device)
            kernel = self._on_cuda[device]
        return kernel(**tensors)


def _is_on_cuda(value: Any) -> bool:
    """True if a PyTorch tensor, or what has the CUDA array interface, lies on a GPU."""
    if hasattr(value, "data_ptr"):  # asked first: a tensor with gradients refuses the interface
        return str(value.device.type) == "cuda"
    return hasattr(value, "__cuda_array_interface__")


def _as_tensor(name: str, value: Any) -> Any:
    """A GPU array as a PyTorch tensor over the same memory."""
    if value is None or hasattr(value, "data_ptr"):
        return value
    if not hasattr(value, "__dlpack__"):
        raise InvalidInputError(
            f"{name}: expected a PyTorch tensor or an array that shares its memory by DLPack, "
            f"got {type(value).__name__}"
        )
    import torch

    # By DLPack and not by the interface: it brings the device, and waits for the array's stream.
    return torch.from_dlpack(value)


def _check_buffer(out: Any, shape: tuple[int, ...]) -> None:
    wanted = f"out: expected a writeable, C-contiguous float32 array of shape {shape}, got "
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float32:
        raise InvalidInputError(wanted + describe(out))
    flags = out.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        state = "not contiguous" if not flags.c_contiguous else "read-only or unaligned"
        raise InvalidInputError(f"{wanted}{describe(out)} that is {state}")


class ReferenceMeshKernel:
    """The definition, rounded to float32."""

    def __init__(self, mean: np.ndarray, bases: np.ndarray) -> None:
        self._model = mean, bases

    def __call__(self, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None:
        for face in range(len(out)):  # one at a time: whole batches of float64 would fill memory
            one = slice(face, face + 1)
            out[one] = build_meshes(*self._model, coefficients[one], pose[one])


class NumpyMeshKernel:
    """The same in float32 matrix products over blocks of vertices; threads are those of BLAS."""

    def __init__(self, mean: np.ndarray, bases: np.ndarray) -> None:
        # Planes of x, y and z: with them the pose is a product of (3, 3) and (3, block) matrices.
        self._mean = np.ascontiguousarray(mean.T)
        self._bases = np.ascontiguousarray(bases.transpose(2, 0, 1))

    def __call__(self, coefficients: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None:
        num_vertices = self._mean.shape[1]
        for face in range(0, len(out), _BLOCK_FACES):
            faces = slice(face, face + _BLOCK_FACES)
            step = _BLOCK_SIZE // len(out[faces])
            for first in range(0, num_vertices, step):
                block = slice(first, first + step)
                # x[n, j, v] = sum_m c[n, m] b[j, m, v] + mean[j, v]
                planes = np.matmul(coefficients[None, faces], self._bases[:, :, block])
                shaped = planes.transpose(1, 0, 2) + self._mean[:, block]
                # y[n, i, v] = sum_j A[n, i, j] x[n, j, v] + t[n, i]
                posed = np.matmul(pose[faces, :, :3], shaped)
                posed += pose[faces, :, 3:]
                out[faces, block] = posed.transpose(0, 2, 1)
