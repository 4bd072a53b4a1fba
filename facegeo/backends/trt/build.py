"""ONNX to a TensorRT engine, by the API that TensorRT 10.12 and 11 share.

Networks are strongly typed: the graph's own types are the engine's, there are no precision flags.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from facegeo.backends.trt.cache import EngineKey
from facegeo.backends.trt.graph import cast_bytes_first, input_names
from facegeo.backends.trt.inspect import check_engine_precision
from facegeo.base import files
from facegeo.errors import BackendUnavailableError, CorruptFileError, DependencyMissingError
from facegeo.gpu.device import Gpu

_log = logging.getLogger(__name__)

_OLDEST: Final = (10, 12)
_NEWEST_MAJOR: Final = 11
_WORKSPACE_BYTES: Final = 1 << 30

#: Starts a phase of the build; what it returns is told the steps that are done, then closed.
Progress = Callable[[str, int], Any]


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine accepts, and the one that it is tuned for.

    Attributes
    ----------
    largest : int
    tuned : int
    smallest : int
    """

    largest: int
    tuned: int
    smallest: int = 1

    @classmethod
    def up_to(cls, largest: int) -> Profile:
        """1..largest, tuned for 64 or, if that is less, for the largest."""
        if largest < 1:
            raise BackendUnavailableError(f"max_batch: expected at least 1, got {largest}")
        return cls(largest, min(64, largest))


def tensorrt() -> Any:
    """The module ``tensorrt``, of a version that this code speaks.

    Raises
    ------
    DependencyMissingError
        If it is not installed.
    BackendUnavailableError
        If it is too old or too new, or its libraries do not load.
    """
    try:
        import tensorrt as trt
    except ImportError as error:
        raise DependencyMissingError(
            f'backend "tensorrt": TensorRT cannot be imported ({error}); '
            'pip install "facegeo[gpu]" (the package fetches about 2 GB from NVIDIA)'
        ) from error
    except OSError as error:
        raise BackendUnavailableError(
            f'backend "tensorrt": its libraries do not load ({error})'
        ) from error
    check_version(str(trt.__version__))
    return trt


def check_version(version: str) -> None:
    """Refuse a TensorRT before 10.12 or after 11."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    found = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if found < _OLDEST or found[0] > _NEWEST_MAJOR:
        raise BackendUnavailableError(
            f'backend "tensorrt": expected TensorRT {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST_MAJOR}, '
            f'got {version}; pip install "tensorrt>=10.12,<12"'
        )


def engine_key(trt: Any, gpu: Gpu, onnx: bytes, profile: Profile, precision: str) -> EngineKey:
    """All that the engine will depend on."""
    return EngineKey(
        onnx_sha256=files.sha256(onnx),
        tensorrt=str(trt.__version__),
        gpu=gpu.name,
        capability=".".join(map(str, gpu.capability)),
        min_batch=profile.smallest,
        opt_batch=profile.tuned,
        max_batch=profile.largest,
        precision=precision,
    )


def build_engine(
    trt: Any,
    gpu: Gpu,
    onnx: bytes,
    profile: Profile,
    precision: str,
    *,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Build an engine and look into it.

    Parameters
    ----------
    trt : module
        From :func:`tensorrt`.
    onnx : bytes
        One self-contained file, its batch free.
    precision : str
        What the graph is written in, and what the inspector must find.
    timing_cache : Path, optional
        Read if it is there and fits, written after the build.
    progress : callable, optional
        ``progress(phase, steps)`` returns something with ``update()`` and ``close()``, such as a
        bar of tqdm.

    Returns
    -------
    engine : bytes
    report : dict
        ``layers``: number of working layers by precision.

    Raises
    ------
    CorruptFileError
        If TensorRT cannot read the graph; the message lists what it says.
    BackendUnavailableError
        If the build fails or the engine has another precision.
    """
    graph = cast_bytes_first(onnx)
    logger = make_logger(trt)
    with gpu.current():
        builder = trt.Builder(logger)
        # Deprecated and ignored by 11, where every network is strongly typed; 10 needs it.
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(typed)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
            raise CorruptFileError(f"TensorRT cannot read the ONNX graph: {'; '.join(errors)}")
        config = _configure(trt, builder, graph, profile)
        if progress is not None:
            config.progress_monitor = make_monitor(trt, progress)
        _load_timing_cache(config, timing_cache)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BackendUnavailableError(
                "TensorRT could not build an engine; its messages are in the log "
                "(logging.getLogger('facegeo.backends.trt.build'))"
            )
        engine = bytes(plan)
        _save_timing_cache(config, timing_cache)
        report = {"layers": inspect(trt, load_engine(trt, engine), precision)}
    return engine, report


def load_engine(trt: Any, data: bytes) -> Any:
    """Deserialise an engine in the current context.

    Raises
    ------
    CorruptFileError
        If TensorRT refuses it: damaged, or built by another version or for another GPU.
    """
    runtime = trt.Runtime(make_logger(trt))
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise CorruptFileError(
            f"TensorRT {trt.__version__} refuses the engine: damaged, or built by another version "
            "or for another GPU; build it again: python export/02_to_engine.py"
        )
    return engine


def inspect(trt: Any, engine: Any, precision: str) -> dict[str, int]:
    """Working layers by precision. Raises BackendUnavailableError if it is not the one asked."""
    inspector = engine.create_engine_inspector()
    information = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return check_engine_precision(information, precision)


def make_logger(trt: Any) -> Any:
    """TensorRT's messages in Python's logging; its errors as warnings, since calls raise."""
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.WARNING,
        trt.ILogger.Severity.WARNING: logging.INFO,
    }

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            _log.log(levels.get(severity, logging.DEBUG), "TensorRT: %s", msg)

    return Logger()


def make_monitor(trt: Any, progress: Progress) -> Any:
    """A progress monitor that shows the outermost phases of a build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._bars: dict[str, Any] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._bars[phase_name] = progress(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._bars:
                self._bars[phase_name].update()
            return True  # False would cancel the build

        def phase_finish(self, phase_name: str) -> None:
            bar = self._bars.pop(phase_name, None)
            if bar is not None:
                bar.close()

    return Monitor()


def _configure(trt: Any, builder: Any, graph: bytes, profile: Profile) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    # Without it the inspector names no types, and the precision could not be checked.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of fraction are not what fp32 means here
    shapes = builder.create_optimization_profile()
    for name, shape in input_names(graph):
        if shape[0] != -1 or -1 in shape[1:]:
            raise CorruptFileError(f"input {name!r}: expected a free batch only, got shape {shape}")
        batches = (profile.smallest, profile.tuned, profile.largest)
        shapes.set_shape(name, *((batch, *shape[1:]) for batch in batches))
    config.add_optimization_profile(shapes)
    return config


def _load_timing_cache(config: Any, path: Path | None) -> None:
    if path is None:
        return
    data = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(data), ignore_mismatch=False):
        _log.info("%s: not the timing cache of this GPU and TensorRT; starting a new one", path)
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _save_timing_cache(config: Any, path: Path | None) -> None:
    cache = config.get_timing_cache()
    if path is not None and cache is not None:
        files.write_bytes(path, bytes(cache.serialize()))
