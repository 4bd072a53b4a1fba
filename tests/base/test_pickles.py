"""Pickles of arrays are read, everything else is refused before it runs."""

import os
import pickle
import struct
import time
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


def everything(protocol):
    """What NumPy's and Python's pickles of arrays have in them."""
    rng = np.random.default_rng(0)
    content = {
        "f": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4, 5))),
        "swapped": np.arange(5, dtype=">i4"),
        "flags": np.array([True, False]),
        "texts": np.array(["x", "yzä"]),
        "bytes": np.array([b"a", b"bc"]),
        "objects": np.array([["ab", None], [3, np.arange(3)]], object),
        "complex": np.array([1 + 2j]),
        "half": np.arange(3, dtype=np.float16),
        "one": np.array(3.5),
        "none": np.zeros((0, 3)),
        "scalars": [np.float32(2), np.int64(-7), np.bool_(True)],
        "dtype": np.dtype("<f4"),
        "plain": (1, 2.5, "x", None, True, b"\xff\x00", 2**100, -(2**40), float("inf")),
        "nested": {(1, "a"): [[], {}, ()], 3: "three"},
    }
    if protocol > 3:
        content |= {"sets": [{1, 2, "x"}, frozenset((1, 2))]}
    return content | {"again": content["f"]}


def same(value, expected):
    assert type(value) is type(expected)
    if isinstance(expected, dict):
        assert [*value] == [*expected]
        value, expected = [*value.values()], [*expected.values()]
    if isinstance(expected, np.ndarray):
        assert value.dtype == expected.dtype and value.shape == expected.shape
        assert value.flags.f_contiguous == expected.flags.f_contiguous and value.flags.writeable
        value, expected = value.ravel().tolist(), expected.ravel().tolist()
    if isinstance(expected, list | tuple):
        assert len(value) == len(expected)
        for pair in zip(value, expected, strict=True):
            same(*pair)
    else:
        assert value == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_are_those_of_python(protocol):
    data = pickle.dumps(everything(protocol), protocol)
    value = pickles.loads(data)
    same(value, pickle.loads(data))
    assert value["again"] is value["f"]  # named twice, read once


def test_arrays_of_python_2_are_read():
    """In its oldest protocol the bytes of an array are a quoted text."""
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\ntb."
    )
    assert pickles.loads(data).tolist() == [1.0, 2.0]
    assert pickles.loads(b"L123456789012345678901L\n.") == 123456789012345678901


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"
OBJECT = DTYPE.replace(b"f8", b"O8")


def array_of(shape, dtype=DTYPE, data=b"C\x08" + bytes(8)):
    sides = b"".join(b"J" + struct.pack("<i", side) for side in shape)
    return RECONSTRUCT + b"(K\x01(" + sides + b"t" + dtype + b"\x89" + data + b"tb."


def repeated(step, times=40):
    """A list of the list before, twice, and so on: 2 ** times items that take no room."""
    return b"]q\x000" + (step + b"q\x000") * times + b"h\x00."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # Sizes that are not there.
        (array_of((10**9, 10**9)), "shape"),
        (array_of((2,)), "8 bytes for an array"),
        (array_of((-1,)), "shape"),
        (array_of((0, 2**30), data=b"C\x00"), "shape"),
        (array_of((10**9,), OBJECT, b"]"), "objects"),
        (array_of((1,), OBJECT), "objects"),
        (array_of((1,), b"K\x07"), "dtype"),
        (array_of((1,), DTYPE, b"N"), "bytes-like"),
        (b"B" + struct.pack("<I", 2**31) + b"x.", "2147483648 bytes"),
        (b"\x8d" + struct.pack("<Q", 2**62) + b"x.", "bytes where"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.", "whole number of"),
        (b"\x8b" + struct.pack("<i", -5) + b"\x01.", "-5 bytes"),
        (b"L" + b"9" * 100_000 + b"L\n.", "digits"),
        # What NumPy makes of other arguments and states.
        (b"cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R.", "not made as NumPy makes it"),
        (b"cnumpy\ndtype\nX\x01\x00\x00\x00V\x85R.", "type 'V'"),
        (DTYPE + b"K\x07b.", "cannot unpack"),
        (DTYPE + b"(K\x03X\x01\x00\x00\x00<NX\x01\x00\x00\x00aNttb.", ""),
        (array_of((1,))[:-1] + b"K\x00b.", ""),
        (b"cnumpy.core.multiarray\nscalar\n(" + DTYPE + b"C\x07" + bytes(7) + b"tR.", "7 bytes"),
        # Programs that are none.
        (b"", "1 bytes where 0"),
        (b".", "unpack"),
        (b"(.", "unpack"),
        (b"h\x07.", "7"),
        (b"a.", "pop"),
        (b"NNs.", ""),
        (b"}]Ns.", "a key that is no"),
        (b"K\x01K\x02R.", "no function"),
        (b"\xee.", "instruction"),
        (b"cnumpy\nndarray\n.", "a name where"),
        # Bombs: a few bytes that name more than memory holds.
        (repeated(b"]h\x00ah\x00a"), "deep"),
        (repeated(b"]h\x00ah\x00a", 25), "repeats itself"),
        (repeated(b"(h\x00h\x00t", 25), "repeats itself"),
        (b"]q\x00h\x00a.", "deep"),
        (b"]" * 1000 + b"a" * 999 + b".", "deep"),
        (b"}(" + b"K\x01" * 40 + b"t" + b"N" + b"s.", "a key of 40"),
    ],
)
def test_damage_is_refused_at_once(data, message):
    start = time.process_time()
    with pytest.raises(CorruptFileError, match=f"^x\\.pkl: .*({message})"):
        pickles.loads(data, "x.pkl")
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "data",
    [
        b"P1\n.",
        b"NQ.",
        b"\x82\x01.",
        b"(ios\nsystem\n.",
        b"(cos\nsystem\no.",
        b"cos\nsystem\n.",
        b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
        b"NN\x81.",
        b"NNN\x92.",
        b"\x97.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7tR.",
    ],
)
def test_what_needs_more_than_arrays_is_refused(data):
    with pytest.raises(UnsafeFileError, match="nothing of it was executed"):
        pickles.loads(data)


def test_one_text_named_a_thousand_times_is_not_copied_as_often():
    """Each call makes bytes of the same megabyte: together they would be gigabytes."""
    call = b"h\x00h\x01\x85R0"
    data = b"c_codecs\nencode\nq\x00X" + struct.pack("<I", 10**6) + b"x" * 10**6 + b"q\x01"
    with pytest.raises(CorruptFileError, match="repeats itself"):
        pickles.loads(data + call * 5000 + b"N.")


def test_flags_and_characters_are_settled():
    flags = array_of((3,), DTYPE.replace(b"f8", b"b1"), b"C\x03\x00\x01\x07")
    assert pickles.loads(flags).view(np.uint8).tolist() == [0, 1, 1]
    texts = array_of((1,), DTYPE.replace(b"f8", b"U1"), b"C\x04\x7f\x7f\x7f\x7f")
    with pytest.raises(CorruptFileError, match="character"):
        pickles.loads(texts)
