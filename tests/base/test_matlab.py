"""MATLAB files are read as SciPy reads them; damaged ones are errors of facegeo."""

import io
import struct
import tarfile
import zlib

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


def same(value, expected, place="file"):
    """The same shapes, dtypes and values, however deep."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape, place
    assert value.dtype == expected.dtype.newbyteorder("="), place
    if value.dtype.names:
        for name in value.dtype.names:
            same(value[name], expected[name], f"{place}.{name}")
    elif value.dtype == object:
        for index, pair in enumerate(zip(value.ravel(), expected.ravel(), strict=True)):
            same(*pair, f"{place}[{index}]")
    else:
        np.testing.assert_array_equal(value, expected, err_msg=place)


def same_as_scipy(data):
    expected = scipy.io.loadmat(io.BytesIO(data))
    variables = load_matlab(io.BytesIO(data), "x.mat")
    assert variables.keys() == expected.keys() - {"__header__", "__version__", "__globals__"}
    for name, value in variables.items():
        same(value, expected[name], name)


def deep_content():
    rng = np.random.default_rng(0)
    cells = np.empty((2, 3), object)
    cells[0] = [np.arange(3.0), "text", np.zeros((0, 0))]
    cells[1] = [np.eye(2, dtype=np.float32), {"inner": {"most": [1, "a"]}}, np.array([True])]
    kinds = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
    numbers = {f"of_{kind}": rng.integers(0, 100, (3, 4)).astype(kind) for kind in kinds}
    structs = np.zeros((1, 2), [("x", object), ("y", object)])
    structs[0] = [(np.arange(3), "one"), (np.array([1 + 2j]), "two words")]
    return numbers | {
        "cells": cells,
        "structs": structs,
        "model": {"tri": np.arange(6).reshape(2, 3), "names": ["a", "bcd"]},
        "complex": rng.normal(size=(2, 2)) + 1j,
        "cube": rng.normal(size=(2, 3, 4)),
        "text": "ein Gesicht, äöü",
        "rows": np.array(["one", "three"]),
        "empty": "",
        "flags": np.array([True, False]),
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_values_are_those_of_scipy(compressed):
    file = io.BytesIO()
    scipy.io.savemat(file, deep_content(), do_compression=compressed, oned_as="row")
    same_as_scipy(file.getvalue())


def test_values_of_version_4_are_those_of_scipy():
    file = io.BytesIO()
    values = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([[1 + 2j]]), "name": "face"}
    scipy.io.savemat(file, values | {"i": np.arange(4, dtype=np.int16)}, format="4")
    same_as_scipy(file.getvalue())


def test_reference_files_are_read_as_scipy_does(shared):
    paths = [*shared.glob("upstream/*/*.mat")]
    with tarfile.open(shared / "data/aflw2000_dev/images.tar") as archive:
        members = [m for m in archive if m.name.endswith(".mat")]
        assert len(paths) >= 2 and len(members) == 500
        for content in (archive.extractfile(member).read() for member in members[::5]):
            same_as_scipy(content)
    for path in paths:
        same_as_scipy(path.read_bytes())


def element(kind, data, order="<", size=None):
    padding = b"" if kind == 15 else bytes(-len(data) % 8)
    return struct.pack(f"{order}II", kind, len(data) if size is None else size) + data + padding


def matrix(kind, shape, *elements, order="<", name=b"a"):
    """A variable of a class and shape, with what follows its name."""
    head = element(6, struct.pack(f"{order}II", kind, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + element(1, name, order) + b"".join(elements), order)


def mat_file(*variables, order="<"):
    mark = b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(variables)


def test_the_other_byte_order_is_read():
    numbers = element(9, struct.pack(">3d", 1, 2, 3), ">")
    data = mat_file(matrix(6, (1, 3), numbers, order=">"), order=">")
    same_as_scipy(data)
    assert load_matlab(io.BytesIO(data))["a"].tolist() == [[1, 2, 3]]


NUMBERS = element(9, struct.pack("<3d", 1, 2, 3))
CELL = struct.pack("<II", 14, 0)


def nested(depth):
    """Cells within cells."""
    inner = matrix(6, (1, 3), NUMBERS, name=b"")
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner, name=b"")
    return matrix(1, (1, 1), inner)


def bomb(size):
    """A variable of zeros in a packed element."""
    data = matrix(9, (1, size), element(2, bytes(size)))
    return element(15, zlib.compress(data, 9))


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (matrix(6, (1, 4), NUMBERS), "3 values for the shape"),
        (matrix(6, (2**31 - 1, 2**31 - 1), NUMBERS), "an array of shape"),
        (matrix(6, (1, -3), NUMBERS), "an array of shape"),
        (matrix(6, (2**30, 0), element(9, b"")), "an array of shape"),
        (matrix(6, (1,) * 40, NUMBERS), "an array of shape"),
        (matrix(6, (1, 3), element(9, bytes(24), size=2**31)), "where 24 are left"),
        (matrix(6, (1, 3), element(99, bytes(24))), "type 99"),
        (matrix(6, (1, 3), struct.pack("<II", 9 | 5 << 16, 0)), "5 bytes in a tag"),
        (matrix(1, (2**20, 2**10), CELL), "variables, cells and fields"),
        (matrix(1, (1, 1000), CELL), "1000 cells in 8 bytes"),
        (matrix(1, (1, 1), NUMBERS), "where a matrix belongs"),
        (matrix(2, (1, 1), element(5, bytes(4)), element(1, b"")), "names are damaged"),
        (
            matrix(2, (1, 1), element(5, b"\x02\0\0\0"), element(1, b"a\0a\0"), CELL * 2),
            "same name",
        ),
        (matrix(4, (2**20, 1), element(2, b"")), "0 values for the shape"),
        (matrix(5, (1, 3), NUMBERS), r"is sparse.*save full\(a\)"),
        (matrix(16, (1, 3), NUMBERS), "is a function"),
        (matrix(17, (1, 3), NUMBERS), "is an object"),
        (matrix(77, (1, 3), NUMBERS), "of class 77"),
        (nested(2000), "deep"),
        (element(15, zlib.compress(struct.pack("<II", 14, 2**32 - 1))), "to become 4294967295"),
        (element(15, zlib.compress(b"xy")), "holds no tag"),
        (element(15, zlib.compress(matrix(6, (1, 3), NUMBERS))[:-3]), "cut short"),
        (element(15, zlib.compress(matrix(6, (1, 3), NUMBERS) + b"more")), "does not have its"),
        (bomb(3 * 10**8), "to become 3000000"),
        (NUMBERS, "where a variable belongs"),
    ],
)
def test_sizes_that_are_not_there_are_refused(variable, message):
    with pytest.raises(CorruptFileError, match=rf"^x\.mat: not a readable .*{message}"):
        load_matlab(io.BytesIO(mat_file(variable)), "x.mat")


def test_a_variable_of_another_kind_is_in_nobodys_way():
    data = mat_file(matrix(5, (1, 3), NUMBERS, name=b"sparse"), matrix(6, (1, 3), NUMBERS))
    assert [*load_matlab(io.BytesIO(data), keys=("a", "b"))] == ["a"]


def test_rows_without_columns_take_no_time():
    """Of version 4: a text of 2147483647 rows and no column, in 22 bytes."""
    head = struct.pack("<5i", 51, 2**31 - 1, 0, 0, 2) + b"a\0"
    with pytest.raises(CorruptFileError, match="an array of shape"):
        load_matlab(io.BytesIO(head), "x.mat")


def matrix4(kind, rows, columns, imaginary, data):
    """A matrix of version 4 named ``a``, and one behind it that is whole."""
    head = struct.pack("<5i", kind, rows, columns, imaginary, 2) + b"a\0"
    return head + data + struct.pack("<5i", 0, 1, 1, 0, 2) + b"b\0" + struct.pack("<d", 5)


@pytest.mark.parametrize(
    "codes", [[97, 98, np.nan], [97, np.inf, 98], [-1, 97, 98], [97, 98, 256], [97.5, 98, 99]]
)
@pytest.mark.filterwarnings("error")
def test_a_text_of_numbers_that_are_no_characters(codes):
    data = matrix4(1, 1, 3, 0, np.array(codes, "<f8").tobytes())
    with pytest.raises(CorruptFileError, match="variable 'a': a text of numbers that are no"):
        load_matlab(io.BytesIO(data), "x.mat")
    assert load_matlab(io.BytesIO(data), keys=["b"])["b"] == 5


@pytest.mark.parametrize(("stored", "dtype"), [(0, "<f8"), (1, "<f4"), (4, "<u2"), (5, "<u1")])
@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (3, 1)])
def test_a_text_with_an_imaginary_part(stored, dtype, shape):
    codes = np.full(2 * shape[0] * shape[1], 97, dtype).tobytes()
    whole = matrix4(10 * stored + 1, *shape, 0, codes[: len(codes) // 2])
    assert load_matlab(io.BytesIO(whole))["a"].tolist() == ["a" * shape[1]] * shape[0]
    data = matrix4(10 * stored + 1, *shape, 1, codes)
    with pytest.raises(CorruptFileError, match="variable 'a': a text of numbers that are no"):
        load_matlab(io.BytesIO(data), "x.mat")
    assert load_matlab(io.BytesIO(data), keys=["b"])["b"] == 5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["4", "5"])
def test_infinite_imaginary_parts_leave_the_real_ones_alone(form):
    values = np.array([complex(1, np.inf), complex(np.nan, 2), complex(-np.inf, np.nan)])
    file = io.BytesIO()
    scipy.io.savemat(file, {"a": values}, format=form)
    found = load_matlab(io.BytesIO(file.getvalue()))["a"].ravel()
    np.testing.assert_array_equal(found.real, values.real)
    np.testing.assert_array_equal(found.imag, values.imag)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_anywhere_is_refused(compressed):
    """Between two variables it looks whole."""
    data = content(compressed)
    whole = []
    for length in [*range(min(300, len(data))), *range(300, len(data), 97)]:
        try:
            load_matlab(io.BytesIO(data[:length]), "x.mat")
            whole.append(length)
        except CorruptFileError as error:
            assert str(error).startswith("x.mat: not a readable MATLAB file (")
    first = 128 + 8 + struct.unpack_from("<I", data, 132)[0]
    assert whole == [128, first]


def damaged(kind):
    """A file in which one thing is wrong."""
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
    with pytest.raises(CorruptFileError, match=r"MATLAB 7\.3.*-v7"):
        load_matlab(io.BytesIO(head), "x.mat")
