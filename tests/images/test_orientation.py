"""The orientation that a file states, by path as another library shows it."""

import cv2
import numpy as np
import pytest

from facegeo.images import isobmff, load_photo

Image = pytest.importorskip("PIL.Image", reason="writes the photos: the extra [dev]")

#: Smooth, and no two of its turned and mirrored forms look alike.
STORED = cv2.resize(
    np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8),
    (120, 200),
    interpolation=cv2.INTER_CUBIC,
)

#: What is seen of an image by its EXIF orientation, from the definition.
SEEN = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image[::-1].transpose(1, 0, 2),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image[:, ::-1].transpose(1, 0, 2),
}


def saved(path, orientation: int, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[:, :, ::-1])).save(path, exif=exif, **options)
    return path


def difference(found: np.ndarray, orientation: int) -> float:
    expected = SEEN[orientation](STORED)
    assert found.shape == expected.shape
    return float(np.abs(found.astype(int) - expected).mean())


@pytest.mark.parametrize("suffix", ["avif", "jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", SEEN)
def test_files_are_seen_upright_by_path_and_by_pil(tmp_path, suffix, orientation):
    path = saved(tmp_path / f"photo.{suffix}", orientation, quality=95)
    found = load_photo(path)
    assert found.flags.c_contiguous
    assert difference(found, orientation) < 4  # a wrong turn differs by tens of levels
    with Image.open(path) as opened:
        assert difference(load_photo(opened), orientation) < 4


@pytest.mark.skipif(not hasattr(cv2, "imencodeWithMetadata"), reason="OpenCV 5 writes the file")
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_exif_does_not_turn_an_avif_a_second_time(tmp_path, prefix):
    exif = Image.Exif()
    exif[0x0112] = 8
    data = np.frombuffer(prefix + exif.tobytes().removeprefix(b"Exif\0\0"), np.uint8)
    quality = [cv2.IMWRITE_AVIF_QUALITY, 95]
    kinds = [cv2.IMAGE_METADATA_EXIF]
    _, encoded = cv2.imencodeWithMetadata(".avif", STORED, kinds, [data], quality)
    path = tmp_path / "photo.avif"
    path.write_bytes(encoded.tobytes())
    assert b"irot" in encoded.tobytes() and b"Exif" in encoded.tobytes()
    assert difference(load_photo(path), 8) < 4


def test_the_properties_of_the_primary_image_count():
    """Those of a thumbnail do not; numbers may have either width."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    properties = [box(b"irot", b"\1"), box(b"imir", b"\0"), box(b"irot", b"\3")]
    ipco = box(b"ipco", b"".join(properties))
    small = bytes(7) + b"\2" + b"\0\1\1\x81" + b"\0\2\2\x83\x02"
    wide = b"\1\0\0\1" + b"\0\0\0\2" + b"\0\0\0\1\1\x80\1" + b"\0\0\0\2\2\x80\3\0\2"
    pitm = {0: box(b"pitm", bytes(4) + b"\0\2"), 1: box(b"pitm", b"\1\0\0\0" + b"\0\0\0\2")}
    for version, ipma in enumerate((small, wide)):
        iprp = box(b"iprp", ipco + box(b"ipma", ipma))
        meta = box(b"meta", bytes(4) + pitm[version] + iprp)
        data = box(b"ftyp", b"mif1\0\0\0\0avif") + meta
        assert isobmff.kind_of(data) == "avif"
        assert isobmff.turn_of(data) == isobmff.Turn(3, "rows")
        for cut in range(len(data)):  # never more than a file says, never an error
            isobmff.kind_of(data[:cut])
            isobmff.turn_of(data[:cut])


def test_random_bytes_state_nothing():
    rng = np.random.default_rng(0)
    whole = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"
    for _ in range(300):
        kinds = rng.choice([b"meta", b"pitm", b"iprp", b"ipco", b"ipma", b"irot", b"\0\0\0\1"], 8)
        parts = [rng.bytes(int(rng.integers(0, 9))) + kind for kind in kinds.tolist()]
        isobmff.turn_of(whole + b"".join(parts) + rng.bytes(40))


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "heic"),
        (b"mif1\0\0\0\0mif1heix", "heic"),
        (b"avif\0\0\0\0mif1miaf", "avif"),
        (b"mif1\0\0\0\0miafavif", "avif"),
        (b"isom\0\0\0\0mp41iso2", None),
    ],
)
def test_kinds_of_files(brands, kind):
    data = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands
    assert isobmff.kind_of(data + bytes(50)) == kind
    assert isobmff.kind_of(b"\xff\xd8\xff\xe0" + data) is None
