"""Dense meshes on an NVIDIA GPU: the compiled kernel of ``csrc/mesh.cu`` on the caller's stream."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from facegeo.base.arrays import array_of, describe
from facegeo.errors import BackendUnavailableError, InvalidInputError, OutOfMemoryError
from facegeo.geometry.crop import CROP_SIZE, CropConvention
from facegeo.gpu import libcuda
from facegeo.gpu.device import Gpu, open_gpu
from facegeo.gpu.split import BatchSplitter
from facegeo.ops import fatbin
from facegeo.ops.mesh_pack import (
    THREADS,
    OutputName,
    PackedModel,
    Pointers,
    arguments,
    pack_model,
    plan_launch,
)

if TYPE_CHECKING:
    import torch

_KERNELS: Final = ("facegeo_mesh_scalar", "facegeo_mesh_tensor4", "facegeo_mesh_tensor")
_OLDEST: Final = (7, 5)


class CudaMeshKernel:
    """Vertices ``A (mean + sum_m coefficient_m basis_m) + t`` of N faces at once, on a GPU.

    Mean and bases are kept on the device in half precision (the mean in two halves), sums are
    float32. From 8 faces on the products run on tensor cores, with coefficients rounded to 11 bits.
    The pose, the crop convention and the face's region of interest are applied before a vertex is
    written, once.

    Three ways in: :meth:`__call__` with NumPy arrays (copied both ways), :meth:`__call__` with
    PyTorch CUDA tensors (nothing is copied, on PyTorch's current stream), :meth:`launch` with bare
    addresses on any stream. Calls from several threads at once are safe.

    Accuracy: below 0.02 px on a face of 100 to 200 px. Float16 output has 11 bits: at 1000 px it is
    accurate to half a pixel.

    Parameters
    ----------
    mean : (V, 3) array
        Mean face in model units, V >= 1.
    bases : (M, V, 3) array
        Displacements in model units for a coefficient of one. M may be 0.
    device : str
        ``cuda`` or ``cuda:N``.

    Raises
    ------
    InvalidInputError
        If shapes differ or a number is not finite.
    DependencyMissingError
        Without PyCUDA.
    BackendUnavailableError
        Without a driver, with one that is too old, without that GPU, on a GPU older than Turing, or
        in a process that was forked after CUDA was used.
    OutOfMemoryError
        If the model does not fit on the device.
    """

    def __init__(self, mean: Any, bases: Any, *, device: str = "cuda:0") -> None:
        mean = array_of("mean", mean, ("V", 3))
        if len(mean) == 0:
            raise InvalidInputError("mean: expected at least one vertex, got none")
        bases = array_of("bases", bases, ("M", len(mean), 3))
        self.num_vertices, self.num_coefficients = len(mean), len(bases)
        self._gpu = open_gpu(device)
        self.device = f"cuda:{self._gpu.index}"
        _check_gpu(self._gpu)
        self._model: PackedModel = pack_model(mean, bases)
        with self._gpu.current():
            module = libcuda.Module(fatbin.FATBIN.read_bytes(), _targets())
            self._functions = {name: module.function(name) for name in _KERNELS}
            self._module = module
            self._basis = self._gpu.upload(self._model.words)
            self._scale = self._gpu.upload(self._model.scale)
            self._stream = self._gpu.stream()  # of arrays; tensors come with their own
        self._splitter = BatchSplitter(self.device)

    def __repr__(self) -> str:
        return (
            f"CudaMeshKernel({self.num_vertices} vertices, {self.num_coefficients} coefficients, "
            f"device={self.device!r})"
        )

    def launch(
        self,
        pose: int,
        coefficients: int,
        out: int,
        batch: int,
        *,
        pose_stride: int = 12,
        coefficient_stride: int | None = None,
        rois: int = 0,
        convention: CropConvention | None = None,
        size: int = CROP_SIZE,
        output: OutputName = "float32",
        stream: int = 0,
    ) -> None:
        """Start the kernel on addresses and return at once; the caller keeps the memory alive.

        Parameters
        ----------
        pose : int
            Address of float32 3x4 row-major matrices, ``pose_stride`` numbers apart.
        coefficients : int
            Address of M float32 numbers a face, ``coefficient_stride`` apart. A network's output of
            12 + M numbers is ``pose=p, coefficients=p + 48`` with both strides 12 + M.
        out : int
            Address of ``(batch, V, 3)`` numbers of type ``output``.
        rois : int
            Address of ``(batch, 4)`` float32 ``xyxy``, or 0.
        convention : CropConvention, optional
            Without it the pose leads straight to the result. With it the pose leads to the pose's
            frame; the result is in crop pixels, or in photo pixels where ``rois`` is given.
        size : int
            Pixels of a crop's side.
        stream : int
            Handle of a stream; 0 is the default stream.

        Raises
        ------
        InvalidInputError
            If an argument cannot be right.
        BackendUnavailableError
            If the driver refuses, or in a process that was forked off.
        """
        stride = self.num_coefficients if coefficient_stride is None else coefficient_stride
        _check_addresses(pose, coefficients, out, rois, batch, stride >= self.num_coefficients)
        if output not in get_args(OutputName):
            raise InvalidInputError(f"output: expected float32 or float16, got {output!r}")
        if operator.index(out) % np.dtype(output).itemsize:
            raise InvalidInputError(f"out: expected an address of {output}, got {out:#x}")
        if rois and convention is None:
            raise InvalidInputError(
                "rois: expected a crop convention beside them, got convention=None"
            )
        if batch == 0:
            return
        try:
            plan = plan_launch(self._model, batch)
        except OverflowError as error:
            raise InvalidInputError(f"batch: {error}; pass fewer faces") from error
        pointers = Pointers(
            basis=int(self._basis),
            scale=int(self._scale),
            pose=pose,
            coefficients=coefficients,
            out=out,
            rois=rois,
            pose_stride=pose_stride,
            coefficient_stride=stride,
        )
        record = arguments(self._model, plan, pointers, batch, convention, output, size)
        with self._gpu.current():
            libcuda.launch(
                self._functions[plan.kernel],
                plan.grid,
                THREADS,
                plan.shared_bytes,
                stream,
                record.tobytes(),
            )

    def __call__(
        self,
        coefficients: Any,
        pose: Any,
        out: Any = None,
        *,
        rois: Any = None,
        convention: CropConvention | None = None,
        size: int = CROP_SIZE,
        output: OutputName = "float32",
    ) -> Any:
        """Build meshes from arrays or tensors.

        Parameters
        ----------
        coefficients : (N, M) float32
            A NumPy array or a PyTorch tensor on this device; a tensor's rows may lie apart, as in
            ``params[:, 12:]``.
        pose : (N, 3, 4) float32, or (N, 12) as a tensor
        out : (N, V, 3) array or tensor of type ``output``, optional
            Contiguous; filled and returned.
        rois : (N, 4) float32, optional
        convention, size, output
            As in :meth:`launch`.

        Returns
        -------
        (N, V, 3) array, or tensor on the device
            A tensor is ready when PyTorch's current stream has come so far.

        Raises
        ------
        InvalidInputError
            If a shape, dtype, device or layout is not as stated.
        OutOfMemoryError
            If memory does not suffice: for arrays, which are worked on in parts where they have to
            be (with one warning), not even for one face.
        """
        if hasattr(coefficients, "data_ptr"):
            return self._on_tensors(coefficients, pose, out, rois, convention, size, output)
        coefficients = array_of("coefficients", coefficients, ("N", self.num_coefficients))
        pose = array_of("pose", pose, (len(coefficients), 3, 4))
        if rois is not None:
            rois = array_of("rois", rois, (len(coefficients), 4))
        shape = (len(coefficients), self.num_vertices, 3)
        if out is None:
            out = np.empty(shape, output)
        elif not _is_buffer(out, shape, output):
            raise InvalidInputError(
                f"out: expected a writeable, C-contiguous {output} array of shape {shape}, "
                f"got {describe(out)}"
            )

        def work(part: slice) -> None:
            some = None if rois is None else rois[part]
            self._on_arrays(
                coefficients[part], pose[part], some, out[part], convention, size, output
            )

        self._splitter.run(len(out), work)
        return out

    def _on_arrays(
        self,
        coefficients: np.ndarray,
        pose: np.ndarray,
        rois: np.ndarray | None,
        out: np.ndarray,
        convention: CropConvention | None,
        size: int,
        output: OutputName,
    ) -> None:
        gpu = self._gpu
        with gpu.current():
            inputs = [gpu.upload(pose), gpu.upload(coefficients)]
            if rois is not None:
                inputs.append(gpu.upload(rois))
            result = gpu.allocate(out.nbytes)
            self.launch(
                int(inputs[0]),
                int(inputs[1]),
                int(result),
                len(out),
                rois=int(inputs[2]) if rois is not None else 0,
                convention=convention,
                size=size,
                output=output,
                stream=self._stream.handle,
            )
            gpu.copy_out(out, result, self._stream)
            self._stream.synchronize()

    def _on_tensors(
        self,
        coefficients: torch.Tensor,
        pose: torch.Tensor,
        out: torch.Tensor | None,
        rois: torch.Tensor | None,
        convention: CropConvention | None,
        size: int,
        output: OutputName,
    ) -> torch.Tensor:
        import torch

        batch = len(coefficients)
        stride = self._rows("coefficients", coefficients, (batch, self.num_coefficients))
        flat = pose
        if hasattr(pose, "data_ptr") and pose.ndim == 3 and pose.shape[1:] == (3, 4):
            flat = pose.flatten(1)
        pose_stride = self._rows("pose", flat, (batch, 12))
        if rois is not None and self._rows("rois", rois, (batch, 4)) != 4 and batch > 1:
            rois = rois.contiguous()
        shape, dtype = (batch, self.num_vertices, 3), getattr(torch, output, None)
        if dtype not in (torch.float32, torch.float16):
            raise InvalidInputError(f"output: expected float32 or float16, got {output!r}")
        if out is None:
            try:
                out = torch.empty(shape, dtype=dtype, device=coefficients.device)
            except torch.cuda.OutOfMemoryError as error:
                raise OutOfMemoryError(
                    f"{self.device}: no room for {batch} meshes of {self.num_vertices} vertices; "
                    "pass fewer faces at once"
                ) from error
        elif (tuple(out.shape), out.dtype, out.device) != (shape, dtype, coefficients.device) or (
            not out.is_contiguous()
        ):
            raise InvalidInputError(
                f"out: expected a contiguous {output} tensor of shape {shape} on {self.device}, "
                f"got {tuple(out.shape)} {out.dtype} on {out.device}"
            )
        self.launch(
            flat.data_ptr(),
            coefficients.data_ptr(),
            out.data_ptr(),
            batch,
            pose_stride=pose_stride,
            coefficient_stride=stride,
            rois=0 if rois is None else rois.data_ptr(),
            convention=convention,
            size=size,
            output=output,
            stream=torch.cuda.current_stream(coefficients.device).cuda_stream,
        )
        return out

    def _rows(self, name: str, tensor: Any, shape: tuple[int, ...]) -> int:
        """Distance of a tensor's rows in floats, after checking that ``launch`` can read it."""
        wanted = f"{name}: expected a float32 tensor of shape {shape} on {self.device}, got "
        if not hasattr(tensor, "data_ptr"):
            raise InvalidInputError(wanted + describe(tensor))
        place = f"{tensor.device.type}:{tensor.device.index}"
        if tuple(tensor.shape) != shape or str(tensor.dtype) != "torch.float32":
            raise InvalidInputError(f"{wanted}{tuple(tensor.shape)} {tensor.dtype}")
        if place != self.device:
            raise InvalidInputError(f"{wanted}one on {tensor.device}")
        if shape[1] > 1 and tensor.stride(1) != 1:
            raise InvalidInputError(f"{wanted}one whose rows are not contiguous")
        return int(tensor.stride(0)) if shape[0] > 1 else shape[1]


def _check_gpu(gpu: Gpu) -> None:
    if gpu.capability < _OLDEST:
        raise BackendUnavailableError(
            f"cuda:{gpu.index}, {gpu.name}: the mesh kernel needs a GPU of compute capability 7.5 "
            f"(Turing) or newer, got {'.'.join(map(str, gpu.capability))}"
        )
    needed = int(fatbin.facts()["driver_cuda"])
    if gpu.cuda_version < needed:
        raise BackendUnavailableError(
            f"the NVIDIA driver is too old for the mesh kernel: it supports CUDA "
            f"{_version(gpu.cuda_version)}, expected {_version(needed)} or newer; install a newer "
            "driver, or compile the kernel with an older nvcc: python setup.py build_cuda"
        )


def _check_addresses(
    pose: int, coefficients: int, out: int, rois: int, batch: int, stride_is_enough: bool
) -> None:
    for name, address in (("pose", pose), ("coefficients", coefficients), ("rois", rois)):
        if operator.index(address) % 4:
            raise InvalidInputError(f"{name}: expected an address of float32, got {address:#x}")
    if batch < 0:
        raise InvalidInputError(f"batch: expected 0 or more, got {batch}")
    if batch and not (pose and out):
        raise InvalidInputError("pose and out: expected addresses on the device, got 0")
    if batch > 1 and not stride_is_enough:
        raise InvalidInputError("coefficient_stride: expected the number of coefficients or more")


def _is_buffer(out: Any, shape: tuple[int, ...], output: str) -> bool:
    return (
        isinstance(out, np.ndarray)
        and out.shape == shape
        and out.dtype == np.dtype(output)
        and out.flags.c_contiguous
        and out.flags.writeable
    )


def _targets() -> str:
    known = fatbin.facts()
    names = [f"sm_{n}" for n in known["cubins"]] + [f"PTX {n}" for n in known["ptx"]]
    return ", ".join(names)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
