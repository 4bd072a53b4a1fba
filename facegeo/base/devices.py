"""Names of devices, and processes that may not use what another process started on them."""

from __future__ import annotations

import os
import re

from facegeo.errors import BackendUnavailableError


def check_process(started_in: int | None, what: str = "CUDA") -> None:
    """Refuse to use in a fork what lives in the process that it was forked from.

    Raises
    ------
    BackendUnavailableError
        If ``started_in``, where not None, is another process.
    """
    if started_in not in (None, os.getpid()):
        raise BackendUnavailableError(
            f"{what} was started in process {started_in}, this is its fork {os.getpid()}, where it "
            "cannot be used: start workers by multiprocessing.get_context('spawn') (or "
            "'forkserver'), and make the predictor in the worker"
        )


def cuda_index(device: str) -> int | None:
    """The number in ``cuda`` or ``cuda:N``; None for ``cpu``.

    Raises
    ------
    BackendUnavailableError
        For anything else.
    """
    if device == "cpu":
        return None
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        raise BackendUnavailableError(f"device: expected auto, cpu, cuda or cuda:N, got {device!r}")
    return int(match[1] or 0)
