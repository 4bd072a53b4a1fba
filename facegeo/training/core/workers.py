"""Worker processes that share one piece of work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2

Job = TypeVar("Job")
Made = TypeVar("Made")


def each(work: Callable[[Job], Made], jobs: Sequence[Job], workers: int) -> Iterator[Made]:
    """Results of ``work`` for each job, not in the order of the jobs.

    Parameters
    ----------
    work : callable
        Travels to the processes once.
    workers : int
        Processes; 0: this one does it all.
    """
    if workers == 0 or not jobs:
        yield from map(work, jobs)
        return
    # One job here first: what is compiled for it is kept on disk, and the workers find it there.
    yield work(jobs[-1])
    # A fork would copy the locks of threads that it does not copy, and may wait for ever.
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_worker, (work,)) as pool:
        yield from pool.imap(_work, jobs[:-1])


_worker: Callable[[Any], Any]


def _start_worker(work: Callable[[Any], Any]) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = work


def _work(job: Any) -> Any:
    return _worker(job)
