"""Damaged MATLAB files are errors of facegeo, however they are damaged."""

import io

import numpy as np
import pytest
import scipy.io

from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.matlab_file import load_matlab


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


def test_any_damage_is_named():
    """Bytes changed and ends cut off, at random: scipy answers with six kinds of errors."""
    generator = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        data = bytearray(content(compressed=number % 2 == 0))
        for place in generator.integers(0, min(len(data), 400), 4):
            data[place] = generator.integers(0, 256)
        if number % 3 == 0:
            data = data[: generator.integers(0, len(data))]
        try:
            load_matlab(io.BytesIO(bytes(data)), "x.mat")
        except CorruptFileError as error:
            assert str(error).startswith("x.mat: ")
            refused += 1
    assert refused > 75


def test_the_format_of_version_7_3_is_told_apart():
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
    with pytest.raises(CorruptFileError, match="-v7"):
        load_matlab(io.BytesIO(head), "x.mat")
