"""Progress of long work on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from tqdm import tqdm

#: Seconds between two lines where no bar can be drawn: in a log, a pipe, a batch system.
LINE_EVERY_S: Final = 10.0


class ProgressLine:
    """Progress of work whose length is known.

    Parameters
    ----------
    what : str
        Name of the work, before every line.
    total : int
    initial : int
        What was done before.
    shown : bool
        False says nothing at all: in all processes but the first.
    """

    def __init__(self, what: str, total: int, *, initial: int = 0, shown: bool = True) -> None:
        self._what, self._total, self._initial, self._done = what, total, initial, initial
        on_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=initial, desc=what, disable=not (shown and on_terminal)
        )
        self._lines = shown and not on_terminal
        self._start = time.monotonic()
        self._said = self._start - LINE_EVERY_S  # the first step is told at once
        self._figures: Mapping[str, float] = {}

    def __enter__(self) -> ProgressLine:
        return self

    def update(self, count: int = 1, figures: Mapping[str, float] | None = None) -> None:
        """Count work that was done; ``figures`` are shown beside it, by name, until others come."""
        self._done += count
        self._figures = figures if figures is not None else self._figures
        self._bar.update(count)
        if figures:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()})
        if self._lines and time.monotonic() - self._said >= LINE_EVERY_S:
            self._say()

    def close(self) -> None:
        """End the bar, or say a last line."""
        self._bar.close()
        if self._lines and self._done > self._initial:
            self._say()
            self._lines = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._bar.close()

    def _say(self) -> None:
        self._said = time.monotonic()
        passed = self._said - self._start
        parts = [f"{self._what}: {self._done}/{self._total}"]
        parts += [f"{name} {value:.4g}" for name, value in self._figures.items()]
        parts.append(f"{passed:.0f} s")
        rest = self._total - self._done
        if rest > 0 and passed > 1:  # the first steps tell nothing of the rest
            parts.append(f"{rest * passed / (self._done - self._initial):.0f} s left")
        sys.stderr.write(", ".join(parts) + "\n")
        sys.stderr.flush()
