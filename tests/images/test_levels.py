"""Photos of other numbers than bytes."""

import cv2
import numpy as np
import pytest

from facegeo.errors import InvalidImageError
from facegeo.images import load_photo
from facegeo.images.levels import grey_levels

Image = pytest.importorskip("PIL.Image", reason="holds the photos: the extra [dev]")

GREY = cv2.resize(
    np.random.default_rng(2).integers(0, 256, (6, 7), np.uint8), (70, 60), interpolation=0
)
EXPECTED = np.repeat(GREY[:, :, None], 3, axis=2)
WIDE = GREY.astype(np.uint16) * 257


def pil(mode: str, dtype: str) -> object:
    return Image.frombytes(mode, GREY.shape[::-1], WIDE.astype(dtype).tobytes())


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(pil("I;16", "<u2"), id="I;16"),
        pytest.param(pil("I;16B", ">u2"), id="I;16B"),
        pytest.param(Image.fromarray(WIDE.astype(np.int32)), id="I, 16 bits"),
        pytest.param(Image.fromarray(GREY.astype(np.int32)), id="I, 8 bits"),
        pytest.param(Image.fromarray((GREY / 255).astype(np.float32)), id="F, 0..1"),
        pytest.param(Image.fromarray(GREY.astype(np.float32)), id="F, 0..255"),
        pytest.param(Image.fromarray(WIDE.astype(np.float32)), id="F, 0..65535"),
        pytest.param(Image.fromarray(GREY), id="L"),
    ],
)
def test_pil_images_of_any_depth_are_the_same_photo(image):
    assert np.array_equal(load_photo(image), EXPECTED)


def test_black_is_black_and_a_dark_photo_of_16_bits_stays_dark():
    assert not load_photo(Image.fromarray(np.zeros((20, 20), np.float32))).any()
    assert load_photo(Image.fromarray(WIDE // 100)).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_files_of_16_bits_are_the_same_by_path_and_by_pil(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(path), WIDE)
    assert np.array_equal(load_photo(path), EXPECTED)
    with Image.open(path) as opened:
        assert np.array_equal(load_photo(opened), EXPECTED)


@pytest.mark.parametrize("values", [GREY / np.float32(255), GREY.astype(np.float32), WIDE / 1.0])
def test_tiff_files_of_floats_are_read(tmp_path, values):
    path = tmp_path / "photo.tif"
    cv2.imwrite(str(path), values.astype(np.float32))
    assert np.array_equal(load_photo(path), EXPECTED)


def test_resampled_numbers_are_clipped():
    over = Image.fromarray((GREY / 255).astype(np.float32)).resize((350, 300), Image.LANCZOS)
    assert np.asarray(over).min() < 0 and np.asarray(over).max() > 1
    expected = cv2.resize(EXPECTED, (350, 300), interpolation=cv2.INTER_CUBIC)
    assert np.abs(load_photo(over).astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(GREY / 127.5 - 1, id="-1..1"),
        pytest.param((GREY / 255 - 0.45) / 0.225, id="standardised"),
        pytest.param(GREY * 1e6, id="large"),
        pytest.param(np.full(GREY.shape, np.nan), id="NaN"),
        pytest.param(np.where(GREY > 9, GREY, np.inf), id="infinite"),
    ],
)
def test_numbers_of_no_known_range_are_refused(values):
    with pytest.raises(InvalidImageError, match=r"photo: expected numbers in 0..1"):
        load_photo(Image.fromarray(values.astype(np.float32)))


def test_negative_whole_numbers_are_refused():
    with pytest.raises(InvalidImageError, match=r"got -\d+ to \d+;"):
        grey_levels(GREY.astype(np.int32) - 100, "x")
