"""Everything that callers call a photo."""

import io
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeo.errors import DependencyMissingError, InvalidImageError, UnreadableFileError
from facegeo.images import decode, find_photos

Image = pytest.importorskip("PIL.Image", reason="writes the photos: the extra [dev]")

RNG = np.random.default_rng(0)
BGR = RNG.integers(0, 256, (40, 60, 3), np.uint8)
RGB = np.ascontiguousarray(BGR[:, :, ::-1])


def test_every_form_of_one_photo_is_the_same_photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(RGB).save(path)
    alpha = np.full((40, 60, 1), 7, np.uint8)
    forms = [
        (BGR, "bgr"),
        (RGB, "rgb"),
        (np.concatenate([BGR, alpha], axis=2), "bgr"),
        (np.concatenate([RGB, alpha], axis=2), "rgb"),
        (path, "bgr"),
        (str(path), "rgb"),
        (Image.fromarray(RGB), "bgr"),
        (np.asfortranarray(BGR), "bgr"),
    ]
    for source, color in forms:
        assert np.array_equal(decode.load_photo(source, color), BGR)


def test_grey_has_three_equal_channels():
    grey = BGR[:, :, 0]
    for source in (grey, grey[:, :, None], Image.fromarray(grey)):
        assert np.array_equal(decode.load_photo(source), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_by_path_and_by_pil(tmp_path, orientation):
    smooth = cv2.resize(BGR, (240, 160), interpolation=cv2.INTER_CUBIC)
    stored = Image.fromarray(np.ascontiguousarray(smooth[:, :, ::-1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    stored.save(path, exif=exif, quality=95)
    with Image.open(path) as opened:
        by_pil = decode.load_photo(opened)
    by_path = decode.load_photo(path)
    assert by_path.shape == by_pil.shape == ((160, 240, 3) if orientation < 5 else (240, 160, 3))
    # Decoders differ by rounding in chroma; a wrong turn differs by tens of grey levels.
    assert np.abs(by_path.astype(int) - by_pil).mean() < 2


def test_any_file_name_works(tmp_path):
    path = tmp_path / "Фото 顔.png"
    Image.fromarray(RGB).save(path)
    assert np.array_equal(decode.load_photo(path), BGR)


NAN = np.full((40, 60, 3), np.nan)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((0, 0, 3), np.uint8), "expected a uint8 array"),
        (np.zeros((40, 60, 3), np.float32), "float32"),
        (NAN, "holds NaN"),
        (np.zeros((40, 60, 3), np.uint16), r"uint16; convert with \(x / 257\).round"),
        (np.zeros((40, 60, 3), np.int64), r"int64; convert with x.clip\(0, 255\)"),
        (np.full((40, 60, 3), 200.0), r"float64; convert with x.clip\(0, 255\)"),
        (np.zeros((40, 60), bool), r"bool; convert with x.astype\(np.uint8\) \* 255"),
        (np.zeros((40, 60, 2), np.uint8), r"\(40, 60, 2\)"),
        (np.zeros((2, 40, 60, 3), np.uint8), r"\(2, 40, 60, 3\)"),
        (np.zeros(40, np.uint8), r"\(40,\)"),
        (np.zeros((1, 1, 3), np.uint8), "at least 16x16 pixels, got 1x1"),
        (None, "NoneType"),
        (3.5, "float"),
        (object(), "object"),
        (b"\xff\xd8\xff", "bytes .*decode_photo"),
        (memoryview(BGR), "memoryview .*decode_photo"),
        (np.uint8(3), "numpy.asarray"),
    ],
)
def test_what_is_no_photo_gets_one_clear_error(source, message):
    with pytest.raises(InvalidImageError, match=message) as caught:
        decode.load_photo(source)
    assert "\n" not in str(caught.value)


def test_unknown_colour_order_is_refused():
    with pytest.raises(InvalidImageError, match="'bgr' or 'rgb'"):
        decode.load_photo(BGR, "gbr")


def jpeg(**options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(RGB).resize((300, 200)).save(data, "jpeg", **options)
    return data.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_cut_jpegs_are_refused(tmp_path, part, progressive):
    data = jpeg(progressive=progressive)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InvalidImageError, match=r"cut\.jpg"):
        decode.load_photo(path)


def test_a_cut_jpeg_is_told_by_its_missing_end_even_if_a_thumbnail_has_one():
    """Decoders that fill the rest with grey must not get through."""
    exif = Image.Exif()
    exif[0x010E] = b"\xff\xd8 thumbnail \xff\xd9".decode("latin1")
    whole = jpeg(exif=exif)
    assert not decode._is_cut_jpeg(whole)
    assert decode._is_cut_jpeg(whole[:-200])


@pytest.mark.parametrize("content", [b"", b"just text, no photo", b"\x89PNG\r\n\x1a\n" + b"0" * 50])
def test_files_that_are_no_photos_are_named(tmp_path, content):
    path = tmp_path / "text.jpg"
    path.write_bytes(content)
    with pytest.raises(InvalidImageError, match=r"text\.jpg"):
        decode.load_photo(path)


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(UnreadableFileError, match=path.name):
            decode.load_photo(path)


def test_folders_are_searched_by_ending_in_order(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", "sub/c.webp", ".hidden/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host.org/album/a.jpg?token=secret",
        Path("http://user:secret@host.org/album/a.jpg"),
        "s3://user:secret@host.org/album/a.jpg#secret",
        "ftp://user:se@cret@host.org/a.jpg",
        "data:image/png;base64," + "secret" * 1000,
        "http://[secret/a.jpg",
    ],
)
def test_urls_are_not_fetched_and_their_passwords_not_told(url):
    with pytest.raises(InvalidImageError, match="URLs are not fetched") as caught:
        decode.load_photo(url)
    assert "cret" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("url", "shown", "local"),
    [
        ("file:///photos/my%20a.jpg", "file:///photos/my a.jpg", "/photos/my a.jpg"),
        (Path("file:///photos/a.jpg"), "file:///photos/a.jpg", "/photos/a.jpg"),
        ("file:/photos/a.jpg", "file:///photos/a.jpg", "/photos/a.jpg"),
        ("file://localhost/photos/a.jpg", "file:///photos/a.jpg", "/photos/a.jpg"),
        ("FILE:///C:/album/a.jpg", "FILE:///C:/album/a.jpg", "C:/album/a.jpg"),
    ],
)
def test_the_path_of_a_file_url_is_told(url, shown, local):
    with pytest.raises(InvalidImageError) as caught:
        decode.load_photo(url)
    assert str(caught.value).endswith(f"got the URL {shown}; give its path, {local}")


def test_files_of_other_hosts_are_urls():
    with pytest.raises(InvalidImageError, match=r"the URL file://host/a\.jpg; URLs are not"):
        decode.load_photo("file://host/a.jpg")


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("form", ["grey", "colour"])
@pytest.mark.parametrize("ending", [".pfm", ".tiff"])
def test_files_of_floats_are_scaled_by_their_white(tmp_path, ending, form, white):
    levels = BGR if form == "colour" else np.ascontiguousarray(BGR[..., 1])
    path = tmp_path / f"photo{ending}"
    cv2.imwrite(str(path), (levels / 255 * white).astype(np.float32))
    expected = levels if form == "colour" else np.repeat(levels[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode.load_photo(path), expected)


def test_a_float_map_of_depths_is_no_photo(tmp_path):
    path = tmp_path / "depth.pfm"
    cv2.imwrite(str(path), np.full((40, 60), 1e6, np.float32))
    with pytest.raises(InvalidImageError, match=r"depth\.pfm: expected numbers in 0\.\.1"):
        decode.load_photo(path)


@pytest.mark.parametrize(
    "head",
    [
        b"FLV\1\5\0\0\0\x09",
        b"OggS\0\2",
        b"\0\0\1\xb3",
        (b"G" + bytes(187)) * 4,
        (bytes(4) + b"G" + bytes(187)) * 4,
    ],
)
def test_videos_are_told(tmp_path, head):
    (tmp_path / "clip").write_bytes(head + bytes(400))
    with pytest.raises(InvalidImageError, match=r"a video, not a photo.*facegeo video"):
        decode.load_photo(tmp_path / "clip")


def test_a_file_that_is_named_like_a_url_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab:").mkdir()
    Image.fromarray(RGB).save(tmp_path / "ab:/photo.png")
    assert np.array_equal(decode.load_photo("ab:/photo.png"), BGR)


def test_a_gif_is_read_as_its_first_image(tmp_path):
    first, second = (Image.fromarray(np.full((40, 60), grey, np.uint8)) for grey in (90, 200))
    first.save(tmp_path / "photo.gif", save_all=True, append_images=[second])
    assert np.abs(decode.load_photo(tmp_path / "photo.gif").astype(int) - 90).max() <= 1


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


def test_heic_is_named_where_pillow_heif_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_5.HEIC"
    path.write_bytes(HEIC)
    with pytest.raises(DependencyMissingError, match=r"IMG_5\.HEIC.*facegeo\[heic\]"):
        decode.load_photo(path)


def test_heic_is_read_by_pillow_heif(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="the extra [heic]")
    smooth = cv2.resize(RGB[:4, :6], (240, 160), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # the writer makes a property of the image of it, which turns once
    path = tmp_path / "photo.heic"
    heif.from_pillow(Image.fromarray(smooth)).save(path, quality=95, exif=exif.tobytes())
    found = decode.load_photo(path)
    assert found.shape == (240, 160, 3)
    assert np.abs(found[:, :, ::-1].astype(int) - np.rot90(smooth, -1)).mean() < 6
    for bad in (HEIC, path.read_bytes()[:3000]):
        path.write_bytes(bad)
        with pytest.raises(InvalidImageError, match=r"photo\.heic: not a HEIC photo"):
            decode.load_photo(path)
