"""TensorRT, on one NVIDIA GPU. Needs the extra ``[gpu]``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from facegeo.backends.base import Backend, TensorSpec, check_precision, network_file
from facegeo.backends.trt.build import Profile, build_engine, engine_key, load_engine, tensorrt
from facegeo.backends.trt.cache import EngineCache, EngineKey, read_engine, read_key
from facegeo.backends.trt.slots import Slot, Tensor, plan_pieces
from facegeo.base.files import sha256
from facegeo.errors import CorruptFileError
from facegeo.gpu.device import Gpu, open_gpu
from facegeo.zoo.store import InstalledModel

_log = logging.getLogger(__name__)

#: Of a model's own graphs. Its int8 graph counts bytes from a zero point, for CPUs; TensorRT takes
#: symmetric quantisation only.
_PRECISIONS: Final = ("fp32", "fp16", "bf16")

DEFAULT_MAX_BATCH: Final = 256
_SLOTS: Final = 2


class TensorRtBackend(Backend):
    """An engine with two pieces of work in flight: one is copied while the other is computed.

    Calls from several threads wait for each other; two backends, even of one engine file, do not.
    A batch beyond the engine's profile is worked on in parts.

    Parameters
    ----------
    gpu : Gpu
    engine : bytes
        Serialised, and trusted: an engine holds machine code.
    precision : str

    Raises
    ------
    CorruptFileError
        If TensorRT refuses the engine, or it does not have what a network of this package has.
    OutOfMemoryError
        If the buffers do not fit on the device.
    """

    name = "tensorrt"

    def __init__(self, gpu: Gpu, engine: bytes, precision: str) -> None:
        trt = tensorrt()
        self._gpu = gpu
        self._lock = threading.Lock()
        with gpu.current():
            self._engine = load_engine(trt, engine)
            self.max_batch = largest_batch(trt, self._engine)
            self._tensors = list_tensors(trt, self._engine)
            self._slots = [
                Slot(gpu, self._engine, self._tensors, self.max_batch) for _ in range(_SLOTS)
            ]
        inputs = _tensor_specs(t for t in self._tensors if t.is_input)
        outputs = _tensor_specs(t for t in self._tensors if not t.is_input)
        super().__init__(f"cuda:{gpu.index}", precision, inputs, outputs)

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(next(iter(inputs.values())))
        outputs = {
            t.name: np.empty((batch, *t.shape), t.dtype) for t in self._tensors if not t.is_input
        }
        pieces = plan_pieces(batch, self.max_batch, len(self._slots))
        with self._lock, self._gpu.current():
            try:
                self._run_pieces(pieces, inputs, outputs)
            except BaseException:
                # What is still in flight reads the buffers that the next call would fill.
                for slot in self._slots:
                    with suppress(Exception):
                        slot.stream.synchronize()
                raise
        return outputs

    def _release(self) -> None:
        with self._lock, self._gpu.current():
            for slot in self._slots:
                slot.close()
            self._slots.clear()
            self._engine = None

    def _run_pieces(
        self,
        pieces: list[slice],
        inputs: Mapping[str, np.ndarray],
        outputs: dict[str, np.ndarray],
    ) -> None:
        waiting: list[tuple[Slot, slice]] = []
        for number, part in enumerate(pieces):
            slot = self._slots[number % len(self._slots)]
            if len(waiting) == len(self._slots):
                first, done = waiting.pop(0)
                first.collect(outputs, done)
            some = {name: array[part] for name, array in inputs.items()}
            slot.submit(some, part.stop - part.start)
            waiting.append((slot, part))
        for slot, part in waiting:
            slot.collect(outputs, part)


def open_network(model: InstalledModel, device: str, precision: str) -> TensorRtBackend:
    """The model's engine from the cache, built first where there is none that fits."""
    check_precision(precision, TensorRtBackend.name, _PRECISIONS)
    _, onnx = network_file(model, precision)
    return open_onnx(onnx, model.card.name, open_gpu(device), precision)


def open_graph(onnx: bytes, device: str, precision: str) -> TensorRtBackend:
    """An ONNX file's engine, by what is in the file; it must be of that precision."""
    check_precision(precision, TensorRtBackend.name, _PRECISIONS)
    return open_onnx(onnx, f"graph-{sha256(onnx)[:12]}", open_gpu(device), precision)


def open_onnx(
    onnx: bytes,
    name: str,
    gpu: Gpu,
    precision: str,
    profile: Profile | None = None,
    cache: EngineCache | None = None,
) -> TensorRtBackend:
    """An engine for an ONNX file: from the cache, or built with a progress bar.

    An engine that does not fit any more is said and built again; see :class:`EngineKey` for what it
    depends on.

    Raises
    ------
    CorruptFileError, BackendUnavailableError, OutOfMemoryError
        As :func:`facegeo.backends.trt.build.build_engine`.
    """
    trt = tensorrt()
    profile = profile or Profile.up_to(DEFAULT_MAX_BATCH)
    cache = cache or EngineCache()
    key = engine_key(trt, gpu, onnx, profile, precision)
    found = cache.read(name, key)
    if found.data is not None:
        try:
            return TensorRtBackend(gpu, found.data, precision)
        except CorruptFileError as error:
            found = type(found)(None, str(error))
    data = _build(trt, gpu, onnx, name, profile, key, cache, found.reason)
    return TensorRtBackend(gpu, data, precision)


def open_engine(path: str | Path, device: str = "auto") -> TensorRtBackend:
    """An engine file that ``export/02_to_engine.py`` wrote, for this machine.

    >>> with open_engine("engines/synergy-mbv2.engine") as engine:
    ...     faces = FaceGeometry("synergy-mbv2", network=engine)("photo.jpg")

    Raises
    ------
    CorruptFileError
        If it is damaged, has no description beside it, or was built for another GPU or TensorRT.
    """
    path = Path(path)
    trt = tensorrt()
    gpu = open_gpu(device)
    built = read_key(path)
    capability = ".".join(map(str, gpu.capability))
    here = {"tensorrt": str(trt.__version__), "gpu": gpu.name, "capability": capability}
    data = read_engine(path, EngineKey(**{**vars(built), **here}))
    return TensorRtBackend(gpu, data, built.precision)


def list_tensors(trt: Any, engine: Any) -> list[Tensor]:
    """The engine's inputs and outputs. Raises CorruptFileError for types not of this package."""
    types: dict[Any, np.dtype[Any]] = {
        trt.DataType.UINT8: np.dtype(np.uint8),
        trt.DataType.FLOAT: np.dtype(np.float32),
        trt.DataType.HALF: np.dtype(np.float16),
    }
    tensors = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = types.get(engine.get_tensor_dtype(name))
        shape = tuple(engine.get_tensor_shape(name))
        if dtype is None or shape[:1] != (-1,) or -1 in shape[1:]:
            raise CorruptFileError(
                f"engine: tensor {name!r} has shape {shape} and type "
                f"{engine.get_tensor_dtype(name)}; expected a free batch of bytes or floats"
            )
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        tensors.append(Tensor(name, tuple(int(n) for n in shape[1:]), dtype, is_input))
    return tensors


def _tensor_specs(tensors: Iterable[Tensor]) -> dict[str, TensorSpec]:
    return {t.name: TensorSpec(t.dtype, (None, *t.shape)) for t in tensors}


def largest_batch(trt: Any, engine: Any) -> int:
    """The largest batch of the engine's one profile, over its inputs."""
    sizes = []
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            _, _, largest = engine.get_tensor_profile_shape(name, 0)
            sizes.append(int(largest[0]))
    if not sizes:
        raise CorruptFileError("engine: it has no input")
    return min(sizes)


def _build(
    trt: Any,
    gpu: Gpu,
    onnx: bytes,
    name: str,
    profile: Profile,
    key: EngineKey,
    cache: EngineCache,
    reason: str,
) -> bytes:
    _log.warning(
        "building a TensorRT engine for %s on %s (%s); this takes a minute or more, once",
        name,
        gpu.name,
        reason,
    )
    with closing(_Bars()) as bars:
        data, report = build_engine(
            trt,
            gpu,
            onnx,
            profile,
            key.precision,
            timing_cache=cache.timing_cache(key),
            progress=bars.start,
        )
    path = cache.write(name, key, data, report)
    _log.info("wrote %s; working layers by precision: %s", path, report["layers"])
    return data


class _Bars:
    """Bars of the phases of a build, on standard error."""

    def __init__(self) -> None:
        self._bars: list[Any] = []

    def start(self, phase: str, steps: int) -> Any:
        bar = tqdm(total=steps, desc=phase, leave=False)
        self._bars.append(bar)
        return bar

    def close(self) -> None:
        for bar in self._bars:
            bar.close()
