"""Work for a few threads: all of it done once, errors kept, ranges that cover."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from facegeo.ops.threads import run_parallel, split_range


@pytest.mark.parametrize("length", [1, 7, 16, 17, 100, 3326])
@pytest.mark.parametrize("parts", [1, 2, 3, 16])
@pytest.mark.parametrize("step", [1, 16])
def test_pieces_cover_the_range_once_in_whole_steps(length, parts, step):
    pieces = split_range(length, parts, step)
    assert [n for first, last in pieces for n in range(first, last)] == list(range(length))
    assert all(first % step == 0 and first < last for first, last in pieces)
    assert len(pieces) <= parts


def test_each_call_is_made_once():
    made = []
    run_parallel(made.append, [(n,) for n in range(100)], threads=4)
    assert sorted(made) == list(range(100))


def test_two_threads_work_at_once():
    meeting = threading.Barrier(2, timeout=20)
    run_parallel(meeting.wait, [(), ()], threads=2)  # times out if one waits for the other


@pytest.mark.parametrize("bad", [0, 1, 5])
def test_an_error_in_any_thread_is_raised(bad):
    def work(n):
        if n == bad:
            raise ZeroDivisionError(n)

    with pytest.raises(ZeroDivisionError):
        run_parallel(work, [(n,) for n in range(6)], threads=2)


def test_after_an_error_no_thread_is_left_at_work():
    started, finished = threading.Event(), threading.Event()

    def fail():
        started.wait(20)
        raise ZeroDivisionError

    def work_on():
        started.set()
        time.sleep(0.2)
        finished.set()

    with pytest.raises(ZeroDivisionError):
        run_parallel(lambda task: task(), [(fail,), (work_on,)], threads=2)
    assert finished.is_set()


def _in_child(queue):
    made = []
    run_parallel(made.append, [(n,) for n in range(8)], threads=3)
    queue.put(len(made))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_threads_of_its_own():
    run_parallel(lambda: None, [(), ()], threads=2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=20) == 8
    finally:
        child.kill()
        child.join()
