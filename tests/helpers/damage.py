"""Damaged files: by a seed, so that what fails can be made again."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

_Damage = Callable[[bytearray, np.random.Generator], None]

#: Sizes and counts that programs stumble over.
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
_NUMBERS += (2**40, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (b"9" * 30, b"1e999", b"-1", b"nan", b"[" * 200, b"\0", b"'", b'"', b"\n", b"\xff\xfe")


def damaged(content: bytes, seed: int) -> bytes:
    """A file with one to three damages, half of them near its beginning."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = _DAMAGES[rng.integers(len(_DAMAGES))]
        if data:
            damage(data, rng)
    return bytes(data)


def _at(data: bytearray, rng: np.random.Generator) -> int:
    """A position; headers, where sizes stand, are hit as often as all the rest."""
    near = min(len(data), 400) if rng.random() < 0.5 else len(data)
    return int(rng.integers(near))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 5)):
        data[_at(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 9)):
        data[_at(data, rng)] = int(rng.integers(256))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_at(data, rng) :]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    at = _at(data, rng)
    data[at:at] = rng.bytes(int(rng.integers(1, 65)))


def _insert_word(data: bytearray, rng: np.random.Generator) -> None:
    at = _at(data, rng)
    data[at:at] = _WORDS[rng.integers(len(_WORDS))]


def _double(data: bytearray, rng: np.random.Generator) -> None:
    start, at = _at(data, rng), _at(data, rng)
    data[at:at] = data[start : start + int(rng.integers(1, 513))] * int(rng.integers(1, 4))


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    start = _at(data, rng)
    del data[start : start + int(rng.integers(1, 257))]


def _clear(data: bytearray, rng: np.random.Generator) -> None:
    start = _at(data, rng)
    end = min(len(data), start + int(rng.integers(1, 257)))
    data[start:end] = bytes(end - start)


def _size(data: bytearray, rng: np.random.Generator) -> None:
    """A number of one to eight bytes, in either order, where a size may stand."""
    number = _NUMBERS[rng.integers(len(_NUMBERS))]
    form = ["<B", "<H", ">H", "<I", ">I", "<I", ">I", "<Q", ">Q"][rng.integers(9)]
    width = struct.calcsize(form)
    at = _at(data, rng) // width * width
    data[at : at + width] = struct.pack(form, number % 256**width)


def _swap(data: bytearray, rng: np.random.Generator) -> None:
    one, other = sorted((_at(data, rng), _at(data, rng)))
    length = int(min(rng.integers(1, 129), other - one, len(data) - other))
    first, second = data[one : one + length], data[other : other + length]
    data[one : one + length], data[other : other + length] = second, first


_DAMAGES: tuple[_Damage, ...] = (
    _flip,
    _overwrite,
    _cut,
    _insert,
    _insert_word,
    _double,
    _remove,
    _clear,
    _size,
    _size,
    _swap,
)
