"""Damaged files of arrays: an error of facegeo's or a value, no crash, no hang.

The other half is in another file, so that two processes share them. More files of a kind, by hand:
``python tests/fuzz/read_damaged.py mat 100000 10000 /tmp/seed`` with ``PYTHONPATH=tests``.
"""

import sys

import pytest
from helpers.fuzzing import read_damaged
from kinds import NEEDS

COUNT = 2000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["images", "mat", "pickle", "npz", "npy", "obj", "tar", "text", "card"]
)
def test_damaged_files_do_no_harm(kind, tmp_path):
    for package in NEEDS.get(kind, ()):
        pytest.importorskip(package)
    tally = read_damaged(kind, 0, COUNT, tmp_path)
    assert tally["read"] > 10 and tally["refused"] > COUNT // 2  # it is neither noise nor whole
