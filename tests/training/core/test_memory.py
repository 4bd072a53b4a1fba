"""Freed blocks stay with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# 32 MB blocks, freed and asked for again: the kernel clears pages for each that is not kept.
_SCRIPT = """
import resource, sys
import numpy as np
from facegeo.training.core.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def block():
    np.empty(2**25, np.uint8)[::4096] = 1
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
@pytest.mark.parametrize(("mode", "most", "least"), [("keep", 100, 0), ("plain", 10**9, 1000)])
def test_freed_memory_is_kept(mode, most, least):
    command = [sys.executable, "-c", _SCRIPT, mode]
    faults = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert least <= faults <= most
