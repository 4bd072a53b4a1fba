"""Pickles of arrays are read, everything else is refused before it runs."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from facegeo.base import pickles
from facegeo.errors import CorruptFileError, UnreadableFileError, UnsafeFileError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_containers_are_read(protocol):
    content = {"a": np.arange(6.0).reshape(2, 3), "b": [np.int32(3), (1, "x", None)], "c": b"\xff"}
    read = pickles.loads(pickle.dumps(content, protocol))
    assert np.array_equal(read["a"], content["a"]) and read["b"] == content["b"]
    assert read["c"] == content["c"]


class Bomb:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load], ids=lambda f: f.__name__)
def test_code_is_refused_and_does_not_run(function, tmp_path: Path):
    target = tmp_path / "ran"
    content = {"mean": np.zeros(3), "std": Bomb(function, str(target))}
    with pytest.raises(UnsafeFileError, match="nothing of it was executed"):
        pickles.loads(pickle.dumps(content))
    assert not target.exists()


def test_code_hidden_in_an_object_array_is_refused(tmp_path: Path):
    target = tmp_path / "ran"
    array = np.array([Bomb(os.mkdir, str(target))], object)
    with pytest.raises(UnsafeFileError):
        pickles.loads(pickle.dumps(array))
    assert not target.exists()


def test_other_classes_are_refused():
    with pytest.raises(UnsafeFileError, match="OrderedDict"):
        pickles.loads(pickle.dumps(OrderedDict(a=1)))


def test_damaged_and_missing_files_are_named(tmp_path: Path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(np.zeros(100))[:-20])
    with pytest.raises(CorruptFileError, match=r"x\.pkl"):
        pickles.load(path)
    with pytest.raises(UnreadableFileError, match=r"y\.pkl"):
        pickles.load(tmp_path / "y.pkl")


def test_released_statistics_are_read(shared: Path):
    content = pickles.load(shared / "upstream/3ddfa_v2/param_mean_std_62d_120x120.pkl")
    assert content["mean"].shape == content["std"].shape == (62,)
