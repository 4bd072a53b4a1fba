"""mypy, run beside the tests: it takes one core 20 seconds, and most tests take one core, too."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from shared_material import REPOSITORY

_RUNNING = pytest.StashKey[subprocess.Popen]()


def start(session: pytest.Session) -> None:
    """Start it where its test will be asked for."""
    wanted = any(item.name == "test_types" for item in session.items)
    if wanted and not session.config.option.collectonly and find_spec("mypy"):
        session.config.stash[_RUNNING] = subprocess.Popen(
            [sys.executable, "-m", "mypy"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def finished(config: pytest.Config) -> tuple[int, str]:
    """Wait for its exit code, and what it says."""
    process = config.stash[_RUNNING]
    said, _ = process.communicate()
    return process.returncode, said


def stop(config: pytest.Config) -> None:
    """End it where the tests end before it."""
    process = config.stash.get(_RUNNING, None)
    if process is not None and process.poll() is None:
        process.kill()
        process.communicate()
