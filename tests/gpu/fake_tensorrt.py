"""TensorRT for tests: an "engine" is the graph itself, ONNX Runtime computes it where it lies."""

from __future__ import annotations

import ctypes
import json
import types
from enum import Enum, IntEnum

import numpy as np

_MAGIC = b"PLAN"


class _Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3


class ILogger:
    Severity = _Severity


class IProgressMonitor:
    pass


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE")
ProfilingVerbosity = Enum("ProfilingVerbosity", "DETAILED")
BuilderFlag = Enum("BuilderFlag", "TF32")
LayerInformationFormat = Enum("LayerInformationFormat", "JSON")
DataType = Enum("DataType", "UINT8 FLOAT HALF INT64")
TensorIOMode = Enum("TensorIOMode", "INPUT OUTPUT")


class _Cache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data + b"timing"


class _Config:
    def __init__(self, log: dict) -> None:
        self.log, self.progress_monitor, self.cache = log, None, None

    def set_memory_pool_limit(self, pool, size) -> None:
        self.log["workspace"] = size

    def clear_flag(self, flag) -> None:
        self.log["cleared"] = flag

    def add_optimization_profile(self, profile) -> None:
        self.log["profile"] = profile.shapes

    def create_timing_cache(self, data: bytes) -> _Cache:
        return _Cache(data)

    def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
        if cache.data == b"foreign":
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> _Cache | None:
        return self.cache


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict = {}

    def set_shape(self, name, smallest, tuned, largest) -> None:
        self.shapes[name] = [tuple(smallest), tuple(tuned), tuple(largest)]


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.addresses, self.shape = engine, {}, None

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address != 0

    def set_input_shape(self, name: str, shape: tuple) -> bool:
        if shape[0] > self.engine.profile[name][2][0]:
            return False
        self.shape = shape
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.module.refuse_execution:
            return False
        self.engine.module.executed.append((stream, self.shape[0]))
        (given,) = self.engine.session.get_inputs()
        crops = np.empty(self.shape, np.uint8)
        ctypes.memmove(crops.ctypes.data, self.addresses[given.name], crops.nbytes)
        values = self.engine.session.run(None, {given.name: crops})
        for output, value in zip(self.engine.session.get_outputs(), values, strict=True):
            data = np.ascontiguousarray(value)
            ctypes.memmove(self.addresses[output.name], data.ctypes.data, data.nbytes)
        return True


class _Engine:
    def __init__(self, module: FakeTensorRt, data: bytes) -> None:
        import onnxruntime

        header, _, graph = data[len(_MAGIC) :].partition(b"\n")
        self.module, self.profile = module, json.loads(header)
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._io = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.num_io_tensors = len(self._io)

    def get_tensor_name(self, index: int) -> str:
        return self._io[index].name

    def _at(self, name: str):
        return next(value for value in self._io if value.name == name)

    def get_tensor_dtype(self, name: str):
        kind = self._at(name).type
        return DataType.UINT8 if "uint8" in kind else DataType.FLOAT

    def get_tensor_shape(self, name: str) -> tuple:
        return tuple(n if isinstance(n, int) else -1 for n in self._at(name).shape)

    def get_tensor_mode(self, name: str):
        given = [value.name for value in self.session.get_inputs()]
        return TensorIOMode.INPUT if name in given else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, index: int) -> list:
        return self.profile[name]

    def create_execution_context(self) -> _Context | None:
        self.module.contexts += 1
        return None if self.module.refuse_context else _Context(self)

    def create_engine_inspector(self):
        return types.SimpleNamespace(
            get_engine_information=lambda kind: json.dumps(
                {"Layers": [layer("conv", self.module.precision)]}
            )
        )


def layer(kind: str, type_name: str) -> dict:
    """A layer as the inspector describes it."""
    return {
        "Name": kind,
        "LayerType": kind,
        "Inputs": [{"Name": "x", "Format/Datatype": type_name}],
    }


class FakeTensorRt(types.ModuleType):
    """What facegeo uses of ``tensorrt``; notes in its attributes what was done with it."""

    ILogger, IProgressMonitor = ILogger, IProgressMonitor
    NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    MemoryPoolType, ProfilingVerbosity, BuilderFlag = (
        MemoryPoolType,
        ProfilingVerbosity,
        BuilderFlag,
    )
    LayerInformationFormat, DataType, TensorIOMode = LayerInformationFormat, DataType, TensorIOMode

    def __init__(self, version: str = "11.4.0.106") -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.precision = "Row major linear FP32"
        self.builds, self.contexts = 0, 0
        self.log: dict = {}
        self.executed: list = []
        self.refuse_context = self.refuse_build = self.refuse_execution = False
        module = self

        class Builder:
            def __init__(self, logger) -> None:
                logger.log(_Severity.WARNING, "hello")

            def create_network(self, flags: int):
                module.log["flags"] = flags
                return types.SimpleNamespace(flags=flags, graph=None)

            def create_builder_config(self) -> _Config:
                return _Config(module.log)

            def create_optimization_profile(self) -> _Profile:
                return _Profile()

            def build_serialized_network(self, network, config) -> bytes | None:
                monitor = config.progress_monitor
                if monitor is not None:
                    monitor.phase_start("build", None, 2)
                    monitor.phase_start("inner", "build", 1)
                    assert monitor.step_complete("build", 0) and monitor.step_complete("inner", 0)
                    monitor.phase_finish("inner")
                    monitor.phase_finish("build")
                module.builds += 1
                if module.refuse_build:
                    return None
                profile = json.dumps(module.log["profile"]).encode()
                return _MAGIC + profile + b"\n" + network.graph

        class OnnxParser:
            num_errors = 1

            def __init__(self, network, logger) -> None:
                self.network = network

            def parse(self, data: bytes) -> bool:
                self.network.graph = data
                return not module.log.get("refuse_graph")

            def get_error(self, index: int):
                return types.SimpleNamespace(desc=lambda: "unsupported operator Foo")

        class Runtime:
            def __init__(self, logger) -> None:
                pass

            def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
                return _Engine(module, data) if data.startswith(_MAGIC) else None

        self.Builder, self.OnnxParser, self.Runtime = Builder, OnnxParser, Runtime
