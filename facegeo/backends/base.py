"""The contract of every engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from facegeo.base.precisions import PRECISIONS
from facegeo.errors import BackendUnavailableError
from facegeo.zoo.store import InstalledModel, role_of


class Backend(ABC):
    """A network in an engine: named arrays in, named arrays out.

    Attributes
    ----------
    name : str
        Name of the backend.
    device : str
        Where it really runs: ``cpu``, ``cuda:0`` ...
    precision : str
        ``fp32`` ...
    selection_reason : str
        Why this engine runs, where something was ``auto``.
    """

    name: str
    device: str
    precision: str
    selection_reason: str = "as asked for"

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch.

        Parameters
        ----------
        inputs : mapping of str to array
            By input name, dtypes and shapes as the network declares them; at least one item.

        Returns
        -------
        outputs : dict of str to array
            By output name; the caller owns them.
        """


def check_precision(precision: str, backend: str, supported: tuple[str, ...] = ("fp32",)) -> str:
    """The precision, if the backend has it. Raises BackendUnavailableError."""
    if precision not in supported:
        raise BackendUnavailableError(
            f"precision: {backend} here runs {', '.join(supported)}, got {precision!r}"
        )
    return precision


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
