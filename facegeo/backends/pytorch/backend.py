"""PyTorch, from the model's own weights. Needs the extra ``[torch]``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from facegeo.backends.base import Backend, TensorSpec, check_precision
from facegeo.base.devices import check_process, cuda_index
from facegeo.conventions import NUM_LANDMARKS
from facegeo.errors import (
    BackendUnavailableError,
    CorruptFileError,
    DependencyMissingError,
    InvalidInputError,
)
from facegeo.geometry.crop import CROP_SIZE, find_convention
from facegeo.zoo.store import InstalledModel

if TYPE_CHECKING:
    from facegeo.networks.face_rows import FaceRows

#: On the CPU -> what runs there.
_PRECISIONS: Final = {True: ("fp32",), False: ("fp32", "fp16", "bf16")}

#: Of one item, by name: what the outputs of a FaceRows may be beside its parameters.
_OUTPUTS: Final[dict[str, tuple[int, ...]]] = {
    "landmarks": (NUM_LANDMARKS, 3),
    "coarse_landmarks": (NUM_LANDMARKS, 3),
    "presence": (),
    "visibility": (NUM_LANDMARKS,),
    "covariance": (NUM_LANDMARKS, 3),
}


class PyTorchBackend(Backend):
    """A regressor module in evaluation mode.

    On a GPU it runs channels last, in half precision where that was asked for, and replays recorded
    CUDA graphs; see :mod:`facegeo.backends.pytorch.cuda`.

    Parameters
    ----------
    network : FaceRows
    device : str
        ``cpu`` or ``cuda:N``.
    precision : str
    crop_size : int
        Side of the crops that the network was trained on; of itself it would take others too.
    """

    name = "pytorch"

    def __init__(
        self,
        network: FaceRows,
        device: str,
        precision: str = "fp32",
        crop_size: int = CROP_SIZE,
    ) -> None:
        crops = TensorSpec(np.dtype(np.uint8), (None, crop_size, crop_size, 3))
        number = np.dtype(np.float32)
        shapes = _OUTPUTS | {"params": (network.num_params,)}
        outputs = {name: TensorSpec(number, (None, *shapes[name])) for name in network.output_names}
        super().__init__(device, precision, {"crops": crops}, outputs)
        self._call: Callable[[np.ndarray], list[np.ndarray]] | None
        if device == "cpu":
            self._call = _CpuCall(network)
        else:
            from facegeo.backends.pytorch.cuda import CudaCall

            self._call = CudaCall(network, device, precision)

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert self._call is not None
        return dict(zip(self.output_metadata, self._call(inputs["crops"]), strict=True))

    def _release(self) -> None:
        self._call = None


class _CpuCall:
    def __init__(self, network: FaceRows) -> None:
        self._network = network.to("cpu")
        self._process = os.getpid()

    def __call__(self, crops: np.ndarray) -> list[np.ndarray]:
        import torch

        check_process(self._process, "PyTorch")  # it would wait for threads that are not there
        with torch.inference_mode():
            return [value.numpy() for value in self._network(torch.from_numpy(crops))]


def open_graph(onnx: bytes, device: str, precision: str) -> PyTorchBackend:
    """Nothing: PyTorch runs the package's own modules. Raises BackendUnavailableError."""
    raise BackendUnavailableError(
        f"backend {PyTorchBackend.name!r}: it runs an installed model's weights, no ONNX file; "
        "use backend='onnxruntime'"
    )


def open_network(model: InstalledModel, device: str, precision: str) -> PyTorchBackend:
    """The model's weights in its architecture; ``auto`` takes CUDA where there is one."""
    try:
        import torch
    except ImportError as error:
        raise DependencyMissingError(
            'backend "pytorch": PyTorch is not installed; pip install "facegeo[torch]"'
        ) from error
    from facegeo.networks.onnx_state import read_onnx_state
    from facegeo.networks.regressor import build_regressor

    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    index = cuda_index(device)
    check_precision(precision, f"{PyTorchBackend.name} on {device}", _PRECISIONS[index is None])
    if index is not None and index >= torch.cuda.device_count():
        raise BackendUnavailableError(
            f"device {device!r}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA "
            "devices; see `facegeo doctor`"
        )
    card = model.card
    try:
        state = read_onnx_state(model.read("network"))
        convention = find_convention(card.crop_convention)
        network = build_regressor(card.architecture, convention, state, whole=False)
    except (InvalidInputError, CorruptFileError) as error:
        raise CorruptFileError(
            f"{model.path('network')}: has no weights that PyTorch can run from ({error}); "
            "import or install the model again"
        ) from error
    place = device if index is None else f"cuda:{index}"
    return PyTorchBackend(network, place, precision, card.crop_size)
