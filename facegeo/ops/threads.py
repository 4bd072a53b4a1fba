"""A few threads for compiled loops that release the interpreter lock.

The threads are ours and not those of Numba, whose default pool on some systems aborts the process
when two Python threads enter it together. A mesh takes 200 us, so handing out work must cost a few:
this is a tenth of what ``concurrent.futures`` needs, and nobody waits for a thread that wakes up
too late to be of use.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

#: More pieces than threads even out cores of different speed.
_PIECES_A_THREAD = 4

#: More threads than this gain nothing: the loops are limited by memory by then.
MAX_THREADS = 8

#: Seconds for which a thread that has finished looks for the others before it sleeps.
_PATIENCE = 200e-6


def _yield() -> None:
    """Let other threads have the interpreter lock and the core, and come back at once."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()  # on Linux time.sleep(0) takes 60 us
    else:
        time.sleep(0)


class _Helpers:
    """Threads that wait for tasks, started when first needed; they end with the process."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0

    def submit(self, task: Callable[[], None], times: int) -> None:
        if self._started < times:
            with self._lock:
                while self._started < times:
                    name = f"facegeo-{self._started}"
                    threading.Thread(target=self._run, name=name, daemon=True).start()
                    self._started += 1
        for _ in range(times):
            self._tasks.put(task)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            del task  # it holds the caller's buffers


_helpers = _Helpers()


def _renew_helpers() -> None:
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    # A forked child inherits the queue but not the threads; it would wait for them forever.
    os.register_at_fork(after_in_child=_renew_helpers)


def default_threads() -> int:
    """The processor cores this process may use, at most :data:`MAX_THREADS`."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, MAX_THREADS))


def run_parallel(
    function: Callable[..., object], calls: Sequence[tuple[Any, ...]], threads: int
) -> None:
    """``function(*arguments)`` for each tuple, by ``threads`` threads of which this one is one.

    Each thread takes the next call when it is done with one, so more calls than threads even out
    cores of different speed. An error is raised after all threads have stopped.
    """
    remaining = iter(calls)  # next() on it is one step under the interpreter lock

    def work() -> None:
        for arguments in remaining:
            function(*arguments)

    helpers = min(threads, len(calls), MAX_THREADS) - 1
    if helpers < 1:
        work()
        return
    # A helper needs a ticket; what it met, an error or None, goes to ``ended``.
    tickets = deque(range(helpers))
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def help_out() -> None:
        try:
            tickets.pop()
        except IndexError:
            return  # too late, the work is done
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            ended.put(error)
        else:
            ended.put(None)

    _helpers.submit(help_out, helpers)
    try:
        work()
    finally:
        # Also after an error: helpers that have begun still write into the caller's buffers.
        begun = helpers
        with suppress(IndexError):
            while True:
                tickets.pop()
                begun -= 1
        # They are at their last piece. To fall asleep and be woken would take longer than that.
        deadline = time.perf_counter() + _PATIENCE
        while ended.qsize() < begun and time.perf_counter() < deadline:
            _yield()
        errors = [ended.get() for _ in range(begun)]
    for error in errors:
        if error is not None:
            raise error


def run_over_rows(
    function: Callable[..., object], arguments: tuple[Any, ...], length: int, step: int = 1
) -> None:
    """``function(*arguments, first, last)`` over pieces of ``range(length)`` on all cores."""
    threads = default_threads()
    pieces = split_range(length, _PIECES_A_THREAD * threads if threads > 1 else 1, step)
    run_parallel(function, [(*arguments, *piece) for piece in pieces], threads)


def split_range(length: int, parts: int, step: int = 1) -> list[tuple[int, int]]:
    """``range(length)`` in at most ``parts`` even pieces whose borders are multiples of ``step``.

    >>> split_range(10, 2, 4)
    [(0, 4), (4, 10)]
    """
    parts = max(1, min(parts, length // step))
    borders = [length * part // parts // step * step for part in range(parts)] + [length]
    return list(pairwise(borders))
