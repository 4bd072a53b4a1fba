"""Batch sizes that are worth recording: those that come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: Sizes kept at once; each holds device memory.
_KEPT = 4


class RecordedSizes(Generic[T]):
    """Recordings by batch size, made when a size comes for the second time.

    Recording costs more than a run, so a size that comes once, the last photo's for instance, is
    not recorded.

    Parameters
    ----------
    record : callable
        Batch size -> recording.
    forget : callable, optional
        Frees a recording; the one that was not used for longest goes first.
    """

    def __init__(
        self,
        record: Callable[[int], T],
        forget: Callable[[T], None] | None = None,
        kept: int = _KEPT,
    ) -> None:
        self._record, self._forget, self._kept = record, forget, kept
        self._seen: set[int] = set()
        self._recordings: OrderedDict[int, T] = OrderedDict()

    def get(self, size: int) -> T | None:
        """The recording of a size; None when the size is new."""
        if size in self._recordings:
            self._recordings.move_to_end(size)
            return self._recordings[size]
        if size not in self._seen:
            self._seen.add(size)
            return None
        while len(self._recordings) >= self._kept:
            _, oldest = self._recordings.popitem(last=False)
            if self._forget is not None:
                self._forget(oldest)
        self._recordings[size] = self._record(size)
        return self._recordings[size]

    def clear(self) -> None:
        """Free all recordings."""
        while self._recordings:
            _, recording = self._recordings.popitem()
            if self._forget is not None:
                self._forget(recording)
