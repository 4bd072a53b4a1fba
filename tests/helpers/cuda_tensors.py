"""Tensors on a GPU, as far as the mesh kernels look at them; their memory is NumPy's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class Tensor:
    """A CUDA tensor of PyTorch."""

    def __init__(self, array: np.ndarray, place: str = "cuda", index: int | None = 0) -> None:
        self.array, self.shape, self.ndim = array, array.shape, array.ndim
        self.dtype = f"torch.{array.dtype}"
        self.device = SimpleNamespace(type=place, index=index)

    def __len__(self) -> int:
        return len(self.array)

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    def stride(self, axis: int) -> int:
        return self.array.strides[axis] // 4

    def flatten(self, axis: int) -> Tensor:
        return Tensor(self.array.reshape(len(self.array), -1))
