"""What every test of video must leave behind: nothing."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("av", reason="video needs the extra [video]")


def _open() -> tuple[int, int]:
    """Threads and file handles of this process; threads of decoders are no Python threads."""
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()
    handles = Path("/proc/self/fd")
    return threads, len(list(handles.iterdir())) if handles.exists() else 0


@pytest.fixture
def nothing_left():
    """Fails the test if a thread or a file handle is left two seconds after its end."""
    gc.collect()
    before = _open()
    yield
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        gc.collect()
        threads, handles = _open()
        if threads <= before[0] and handles <= before[1]:
            return
        time.sleep(0.02)
    pytest.fail(f"threads and file handles: {before} before, {(threads, handles)} after")
