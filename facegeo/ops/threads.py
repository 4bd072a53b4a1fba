"""A few threads for compiled loops that release the interpreter lock.

The threads are ours and not those of Numba, whose default pool on some systems aborts the process
when two Python threads enter it together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

#: More threads than this gain nothing: the loops are limited by memory by then.
MAX_THREADS = 8

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    # A forked child inherits the pool but not its threads; it would wait for them forever.
    os.register_at_fork(after_in_child=_forget_pool)


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
    global _pool
    remaining = iter(calls)  # next() on it is one step under the interpreter lock

    def work() -> None:
        for arguments in remaining:
            function(*arguments)

    helpers = min(threads, len(calls), MAX_THREADS) - 1
    if helpers < 1:
        work()
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(MAX_THREADS - 1, thread_name_prefix="facegeo")
    futures = [_pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        # Also after an error: the others still write into the caller's buffers.
        wait(futures)
    for future in futures:
        future.result()


def split_range(length: int, parts: int, step: int = 1) -> list[tuple[int, int]]:
    """``range(length)`` in at most ``parts`` even pieces whose borders are multiples of ``step``.

    >>> split_range(10, 2, 4)
    [(0, 4), (4, 10)]
    """
    parts = max(1, min(parts, length // step))
    borders = [length * part // parts // step * step for part in range(parts)] + [length]
    return list(pairwise(borders))
