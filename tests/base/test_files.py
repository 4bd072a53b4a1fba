"""Writing whole or not at all."""

import subprocess
import sys

import pytest

from facegeo.base import files
from facegeo.errors import OutputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "data.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_made_and_files_replaced(tmp_path):
    target = tmp_path / "a" / "b" / "data.bin"
    files.write_bytes(target, b"one")
    files.write_bytes(target, b"two")
    assert target.read_bytes() == b"two"


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be replaced there")
def test_a_reader_never_sees_half_a_file(tmp_path):
    """The new file takes the old one's place; who has the old one open reads it to its end."""
    target = tmp_path / "data.bin"
    target.write_bytes(b"old content")
    with target.open("rb") as reader:
        files.write_bytes(target, b"new")
        assert reader.read() == b"old content"


def test_a_target_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        files.write_bytes(tmp_path / "file" / "below", b"x")


_FULL_DISK = """
import resource, signal, sys
from facegeo import errors
from facegeo.base import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.write_bytes(sys.argv[1], b"x" * 5000)
except errors.OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits to imitate a full disk")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The kernel refuses to write beyond 1000 bytes, as it does where the disk is full."""
    target = tmp_path / "data.bin"
    target.write_bytes(b"old")
    run = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(target)], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in run.stdout and "nothing was changed" in run.stdout
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
