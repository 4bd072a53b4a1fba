"""The contract of every engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from facegeo.base.arrays import describe
from facegeo.base.closing import Closing
from facegeo.base.precisions import PRECISIONS
from facegeo.errors import BackendUnavailableError, CorruptFileError, InvalidInputError
from facegeo.zoo.store import InstalledModel, role_of

#: The precision of a network that computes in whatever types its file has.
AS_WRITTEN: Final = "graph"


@dataclass(frozen=True)
class TensorSpec:
    """Declaration of an input or output of a network.

    Attributes
    ----------
    dtype : numpy.dtype
    shape : tuple of int or None
        Axis 0 is the batch; None is an axis of any length.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def fits(self, value: object) -> bool:
        """True if a value is an array of this dtype and shape."""
        return (
            isinstance(value, np.ndarray)
            and value.dtype == self.dtype
            and len(value.shape) == len(self.shape)
            and all(
                want is None or have == want
                for have, want in zip(value.shape, self.shape, strict=True)
            )
        )

    def __str__(self) -> str:
        batch, *item = self.shape
        axes = ["N" if batch is None else str(batch)]
        axes += ["any" if length is None else str(length) for length in item]
        comma = "," if len(axes) == 1 else ""
        return f"shape ({', '.join(axes)}{comma}) and dtype {self.dtype}"


class Backend(Closing):
    """A network in an engine: named arrays in, named arrays out.

    An engine implements :meth:`_run` and :meth:`_release`; what came in is checked here, once for
    all of them. A context manager, which closes the network at its end.

    Attributes
    ----------
    name : str
        Name of the backend.
    device : str
        Where it really runs: ``cpu``, ``cuda:0`` ...
    precision : str
        ``fp32`` ...
    input_metadata, output_metadata : mapping of str to TensorSpec
        By name, in the network's order.
    selection_reason : str
        Why this engine runs, where something was ``auto``.
    """

    name: str
    selection_reason: str = "as asked for"

    def __init__(
        self,
        device: str,
        precision: str,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
    ) -> None:
        self.device = device
        self.precision = precision
        self.input_metadata: Mapping[str, TensorSpec] = MappingProxyType(dict(inputs))
        self.output_metadata: Mapping[str, TensorSpec] = MappingProxyType(dict(outputs))
        self._closed = False

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch.

        Parameters
        ----------
        inputs : mapping of str to array
            By input name, dtypes and shapes as in ``input_metadata``; in any memory layout. A batch
            may be empty: so are then the outputs' free axes.

        Returns
        -------
        outputs : dict of str to array
            By output name; the caller owns them.

        Raises
        ------
        InvalidInputError
            If a name, a shape or a dtype is another one, or batches differ in length.
        BackendUnavailableError
            After :meth:`close`, or in a forked process where the engine cannot go on.
        OutOfMemoryError
            If a GPU's memory does not suffice for a single item.
        """
        self.check_open()
        if _checked_batch(inputs, self.input_metadata) == 0:
            # Engines disagree on batches of nothing, and need not be asked.
            return {name: _of_no_items(spec) for name, spec in self.output_metadata.items()}
        return self._run({name: np.ascontiguousarray(array) for name, array in inputs.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInputError(
            f"network: expected one that stays in its process, but an open {self.name} network was "
            "to be pickled or copied; open it where it is used, by the predictor's arguments"
        )

    def close(self) -> None:
        """Give back the engine's memory and threads. May be called more than once.

        It waits for no one: calls of :meth:`run` in other threads must have come back.
        """
        if not self._closed:
            self._closed = True
            self._release()

    def check_open(self) -> None:
        if self._closed:
            raise BackendUnavailableError(
                f"network: it was closed and runs no more ({self.name} on {self.device}); "
                "open it again with facegeo.backends.open_network"
            )

    @abstractmethod
    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One batch of at least one item; ``inputs`` are as declared and C-contiguous."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the engine; called once, and nothing is called afterwards."""


def _checked_batch(inputs: Mapping[str, Any], declared: Mapping[str, TensorSpec]) -> int:
    """The one batch size of inputs that are as declared. Raises InvalidInputError."""
    if not isinstance(inputs, Mapping):
        raise InvalidInputError(f"inputs: expected arrays by name, got {describe(inputs)}")
    if inputs.keys() != declared.keys():
        raise InvalidInputError(
            f"inputs: expected {_listed(declared)}, got {_listed(inputs) or 'nothing'}"
        )
    for name, spec in declared.items():
        if not spec.fits(inputs[name]):
            raise InvalidInputError(f"{name}: expected {spec}, got {describe(inputs[name])}")
    lengths = {len(array) for array in inputs.values()}
    if len(lengths) != 1:
        raise InvalidInputError(f"inputs: expected one batch size, got {sorted(lengths)}")
    return lengths.pop()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _of_no_items(spec: TensorSpec) -> np.ndarray:
    return np.zeros((0, *(length or 0 for length in spec.shape[1:])), spec.dtype)


def check_takes_crops(network: Backend, crop_size: int, model: str) -> None:
    """Refuse a network that a landmark model's card does not describe.

    Raises
    ------
    InvalidInputError
        If it does not take ``crops`` of that side, or lacks ``params`` or ``landmarks``.
    """
    if not isinstance(network, Backend):
        raise InvalidInputError(
            f"network: expected an opened Backend, got {describe(network)}; "
            "backend= takes an engine's name, model= a model's"
        )
    network.check_open()
    wanted = TensorSpec(np.dtype(np.uint8), (None, crop_size, crop_size, 3))
    if dict(network.input_metadata) != {"crops": wanted}:
        found = "; ".join(f"{name} of {spec}" for name, spec in network.input_metadata.items())
        raise InvalidInputError(
            f"network: model {model!r} has crops of {wanted} as its one input, "
            f"this network takes {found}"
        )
    missing = {"params", "landmarks"} - network.output_metadata.keys()
    if missing:
        found = _listed(network.output_metadata)
        raise InvalidInputError(f"network: expected outputs params and landmarks, got {found}")


def check_precision(precision: str, backend: str, supported: tuple[str, ...] = ("fp32",)) -> str:
    """The precision, if the backend has it. Raises BackendUnavailableError."""
    if precision not in supported:
        raise BackendUnavailableError(
            f"precision: {backend} here runs {', '.join(supported)}, got {precision!r}"
        )
    return precision


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within, a file that cannot be used is called by its path."""
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(f"{path}: {error}") from error


def network_file(model: InstalledModel, precision: str) -> tuple[str, bytes]:
    """Role and content of the model's graph in a precision.

    Raises
    ------
    BackendUnavailableError
        If the model has no graph of that precision.
    CorruptFileError
        If the file is damaged.
    """
    role = role_of(precision)
    if role != "network" and role not in model.card.files:
        name = model.card.name
        have = ", ".join(p for p in PRECISIONS if role_of(p) in model.card.files)
        raise BackendUnavailableError(
            f"precision {precision!r}: model {name!r} has graphs in {have}; make one: "
            f"facegeo export {name} --precision {precision} --calibration DIR_OR_TAR --install"
        )
    return role, model.read(role)
