"""A batch that does not fit into a GPU's memory is worked on in parts."""

from __future__ import annotations

import logging
from collections.abc import Callable

from facegeo.errors import OutOfMemoryError

_log = logging.getLogger(__name__)


class BatchSplitter:
    """Halves batches where memory does not suffice, and says so once.

    Parameters
    ----------
    device : str
        For the message.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._has_warned = False

    def run(self, batch: int, work: Callable[[slice], None]) -> None:
        """Call ``work`` on parts that cover the batch, in order; at first on all of it.

        Raises
        ------
        OutOfMemoryError
            If it is raised by ``work`` for a single item.
        """
        first, step = 0, batch
        while first < batch:
            part = slice(first, min(first + step, batch))
            try:
                work(part)
            except OutOfMemoryError:
                items = part.stop - part.start
                if items == 1:
                    raise
                step = -(-items // 2)
                self._warn(items, step)
            else:
                first = part.stop

    def _warn(self, items: int, step: int) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s: out of memory with %d faces at once; working on %d at a time",
                self._device,
                items,
                step,
            )
