"""Damaged MATLAB files are errors of facegeo."""

import io

import numpy as np
import pytest
import scipy.io

from facegeo.base.matlab import load_matlab
from facegeo.errors import CorruptFileError, UnreadableFileError


def content(compressed=True):
    file = io.BytesIO()
    values = {"Pose_Para": np.arange(7.0)[None], "other": np.zeros((50, 50))}
    scipy.io.savemat(file, values, do_compression=compressed)
    return file.getvalue()


def test_variables_come_back(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(content())
    assert load_matlab(path)["Pose_Para"].tolist() == [list(range(7))]
    assert "other" not in load_matlab(path, keys=("Pose_Para", "nothing"))
    with pytest.raises(UnreadableFileError, match=r"b\.mat: cannot be read"):
        load_matlab(tmp_path / "b.mat")


def damaged(kind):
    """A file in which one thing is wrong. (At bytes changed at random SciPy itself can crash.)"""
    packed, plain = content(), content(compressed=False)
    return {
        "empty": b"",
        "text": b"no file of MATLAB" * 20,
        "head cut": plain[:100],
        "array cut": plain[:200],
        "packed array cut": packed[:160],
        "packed array changed": packed[:150] + bytes([packed[150] ^ 255]) + packed[151:],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "head cut", "array cut", "packed array cut", "packed array changed"],
)
def test_damage_is_named(kind):
    """SciPy and zlib have errors of their own for it."""
    with pytest.raises(CorruptFileError, match=r"^x\.mat: not a readable"):
        load_matlab(io.BytesIO(damaged(kind)), "x.mat")


def test_the_format_of_version_7_3_is_told_apart():
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
    with pytest.raises(CorruptFileError, match="-v7"):
        load_matlab(io.BytesIO(head), "x.mat")
