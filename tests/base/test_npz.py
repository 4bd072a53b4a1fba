"""NumPy's files are read as NumPy reads them, and refused before anything is allocated."""

import io
import struct
import zipfile

import numpy as np
import pytest

from facegeo.base.npz import load_npy, load_npz
from facegeo.errors import CorruptFileError, UnreadableFileError

ARRAYS = {
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "swapped": np.arange(5, dtype=">i4"),
    "flags": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "complex": np.array([1 + 2j]),
    "text": np.array(["x", "yzä"]),
    "no text": np.array(""),
    "bytes": np.array([b"a", b"bc"]),
    "nothing": np.zeros((0, 3), np.float32),
    "one": np.array(7),
}


def header(text, version=1):
    """A ``.npy`` header of these words, padded as NumPy pads it."""
    content = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack(form, len(content)) + content


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_reads_them(save, tmp_path):
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    read = load_npz(path)
    with np.load(path) as expected:
        assert list(read) == expected.files
        for key, array in read.items():
            assert array.dtype == expected[key].dtype
            assert array.flags.f_contiguous == expected[key].flags.f_contiguous
            assert array.flags.writeable
            np.testing.assert_array_equal(array, expected[key])
    assert list(load_npz(path, ["one"])) == ["one"]


@pytest.mark.parametrize("key", [*ARRAYS])
def test_single_arrays_come_back(key, tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS[key])
    np.testing.assert_array_equal(load_npy(tmp_path / "a.npy"), ARRAYS[key])


def test_headers_of_other_programs_are_read(tmp_path):
    """Python 2 wrote 3L; others order and space the words as they like."""
    data = np.arange(6.0).tobytes()
    for text in (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }",
        '{"shape":(2,3),"descr":"<f8","fortran_order":False}',
    ):
        for version in (1, 2, 3):
            (tmp_path / "a.npy").write_bytes(header(text, version) + data)
            assert load_npy(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }",  # 800 GB
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 100000000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-6,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (6,)",
        "{'descr': '<f8', 'fortran_order': False, }",
        "(" * 9000,
        "{'descr': " + "-" * 9000 + "1}",
        "",
    ],
)
def test_headers_that_promise_something_else_are_refused(text, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(header(text) + bytes(48))
    with pytest.raises(CorruptFileError, match=r"a\.npy: not a plain \.npy array"):
        load_npy(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("mean.npy", path.read_bytes())
    with pytest.raises(CorruptFileError, match=r"a\.npz: key 'mean' is damaged"):
        load_npz(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path):
    """A member of zeros is packed to a thousandth; many of them share one name in the end."""
    zeros = header("{'descr': '|u1', 'fortran_order': False, 'shape': (400000000,), }")
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(zeros)
        for _ in range(400):
            member.write(bytes(10**6))
    assert path.stat().st_size < 10**6
    with pytest.raises(CorruptFileError, match=r"a\.npz: key 'a' is damaged .*become more than"):
        load_npz(path)


def test_flags_are_0_or_1_and_characters_exist(tmp_path):
    """NumPy counts a flag of 7 as seven: an index by it writes beside its array."""
    text = "{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }"
    (tmp_path / "a.npy").write_bytes(header(text) + bytes([0, 1, 7, 255]))
    flags = load_npy(tmp_path / "a.npy")
    assert flags.view(np.uint8).tolist() == [0, 1, 1, 1]
    assert len(np.arange(4)[flags]) == 3
    for order in "<>":
        text = f"{{'descr': '{order}U1', 'fortran_order': False, 'shape': (1,), }}"
        (tmp_path / "a.npy").write_bytes(header(text) + b"\x7f\x7f\x7f\x7f")
        with pytest.raises(CorruptFileError, match="character"):
            load_npy(tmp_path / "a.npy")


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"no\.npz: no such file"):
        load_npz(tmp_path / "no.npz")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        load_npz(tmp_path)
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(3))
    with pytest.raises(CorruptFileError, match="key 'b' is missing"):
        load_npz(path, ["a", "b"])
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[:50], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"a\.npz: not a \.npz archive"):
            load_npz(path)
    place = whole.index(np.ones(3).tobytes())
    path.write_bytes(whole[:place] + b"\x01" + whole[place + 1 :])
    with pytest.raises(CorruptFileError, match=r"key 'a' is damaged .*CRC"):
        load_npz(path)
    file = io.BytesIO()
    np.save(file, np.ones(3))
    path.write_bytes(file.getvalue())
    with pytest.raises(CorruptFileError, match="single array"):
        load_npz(path)
