"""Frames as they are meant to be seen."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from helpers.video_data import number_of, write_clip

from facegeo.video.pixels import displayed
from facegeo.video.sources import FileSource

#: Rows are pixels as they lie; a, b, c, d of the matrix -> how they are seen.
STORED = np.arange(6, dtype=np.uint8).reshape(2, 3)[..., None]
SEEN = {
    (1, 0, 0, 1): [[0, 1, 2], [3, 4, 5]],
    (-1, 0, 0, 1): [[2, 1, 0], [5, 4, 3]],
    (1, 0, 0, -1): [[3, 4, 5], [0, 1, 2]],
    (-1, 0, 0, -1): [[5, 4, 3], [2, 1, 0]],
    (0, 1, -1, 0): [[3, 0], [4, 1], [5, 2]],  # clockwise
    (0, -1, 1, 0): [[2, 5], [1, 4], [0, 3]],
    (0, 1, 1, 0): [[0, 3], [1, 4], [2, 5]],  # mirrored at the diagonal
    (0, -1, -1, 0): [[5, 2], [4, 1], [3, 0]],
}


def fixed(a, b, c, d, one=65536):
    return np.array([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30], np.int32)


@pytest.mark.parametrize("matrix", list(SEEN))
@pytest.mark.parametrize("scale", [1, 2])
def test_turns_and_mirrors(matrix, scale):
    seen = displayed(STORED, fixed(*(scale * v for v in matrix)))
    assert seen[..., 0].tolist() == SEEN[matrix]


def test_other_angles_keep_the_whole_image():
    cosine, sine = np.cos(np.pi / 4), np.sin(np.pi / 4)
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 30:] = 200  # right
    values = np.array([cosine, sine, 0, -sine, cosine, 0, 0, 0, 1]) * 65536
    seen = displayed(image, values.astype(np.int32))
    assert seen.shape[:2] == (57, 57)
    bright = np.argwhere(seen[..., 0] > 100).mean(axis=0) - 28
    assert bright[0] == pytest.approx(bright[1], abs=1)  # right is now below and right
    assert bright[0] > 8


def test_a_matrix_of_a_damaged_file_is_left_alone():
    assert displayed(STORED, np.zeros(9, np.int32)) is STORED


def frames_of(path):
    source = FileSource(path)
    try:
        return [image for _, image in source.frames()]
    finally:
        source.close()


def test_a_mirrored_phone_video_is_seen_as_players_show_it(tmp_path):
    path = write_clip(tmp_path / "mirror.mp4", 3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", -65536, 0, 0, 0, 65536, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    image = frames_of(path)[0]
    assert image[4, -4].mean() > 230 > 140 > image[4, 4].mean()  # the bright corner is right now


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (Fraction(2), (48, 128)),
        (Fraction(1, 2), (96, 64)),
        (Fraction(16, 11), (48, 93)),
        (Fraction(1), (48, 64)),
        (Fraction(500), (48, 64)),  # nobody means that
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_pixels_are_square(tmp_path, shape, size, ending):
    images = frames_of(write_clip(tmp_path / f"wide.{ending}", 3, pixel_shape=shape))
    assert [image.shape[:2] for image in images] == [size] * 3
    assert [number_of(image) for image in images] == [0, 1, 2]


def test_the_written_file_keeps_the_ratio(tmp_path):
    from facegeo.video.writer import VideoWriter

    images = frames_of(write_clip(tmp_path / "wide.mp4", 3, pixel_shape=Fraction(2)))
    with VideoWriter(tmp_path / "out.mp4", 30) as writer:
        for index, image in enumerate(images):
            writer.write(image, index / 30)
    assert [image.shape[:2] for image in frames_of(tmp_path / "out.mp4")] == [(48, 128)] * 3
