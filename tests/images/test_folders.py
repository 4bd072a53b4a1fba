"""Which files of a folder are photos, and what is said of the others."""

import os

import pytest

from facegeo.images import find_photos, is_own_output, scan_folder


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


def touch(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(scan, folder) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in scan.photos]


def reasons(scan, folder) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): why for path, why in scan.skipped.items()}


def test_photos_of_every_ending_are_found(album):
    photos = ["1.jfif", "2.JPE", "3.gif", "4.HEIC", "5.avif", "6.heif", "7.jp2", "8.pgm"]
    touch(album, *photos)
    assert names(scan_folder(album), album) == photos
    assert find_photos(album) == scan_folder(album).photos


def test_the_rest_is_skipped_for_a_reason(album):
    touch(album, "a.jpg", "notes.txt", "clip.MP4", "raw.CR2", ".hidden.jpg", ".thumbs/x.jpg")
    touch(album, "deeper/b.png", "a.faces.jpg", "a.faces.json", "deeper/a.faces.0.uv.png")
    (album / "gone.jpg").symlink_to(album / "nowhere")
    scan = scan_folder(album)
    assert names(scan, album) == ["a.jpg", "deeper/b.png"]
    assert reasons(scan, album) == {
        "notes.txt": "no photos",
        "clip.MP4": "videos (facegeo video)",
        "raw.CR2": "raw photos (convert them)",
        ".hidden.jpg": "hidden",
        ".thumbs": "hidden",
        "a.faces.jpg": "results of facegeo",
        "a.faces.json": "results of facegeo",
        "deeper/a.faces.0.uv.png": "results of facegeo",
        "gone.jpg": "links that lead nowhere",
    }


def test_linked_folders_are_read_once(album, tmp_path):
    touch(tmp_path, "elsewhere/c.jpg", "elsewhere/back.txt")
    touch(album, "real/a.jpg")
    for link, target in (
        ("0-to-real", album / "real"),  # before "real" by name, and yet not read in its place
        ("1-elsewhere", tmp_path / "elsewhere"),
        ("2-elsewhere-again", tmp_path / "elsewhere"),
        ("3-to-itself", album),
        ("real/up", tmp_path),
    ):
        (album / link).symlink_to(target, target_is_directory=True)
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    scan = scan_folder(album)
    assert names(scan, album) == ["1-elsewhere/c.jpg", "real/a.jpg"]
    skipped = {name for name, why in reasons(scan, album).items() if "already" in why}
    assert {"0-to-real", "2-elsewhere-again", "3-to-itself", "1-elsewhere/loop"} <= skipped


def test_the_folder_of_results_is_left_out(album):
    touch(album, "a.jpg", "out/own.jpg", "out/deeper/b.jpg", "other/c.jpg")
    (album / "link").symlink_to(album / "out", target_is_directory=True)
    scan = scan_folder(album, album / "x/../out")
    assert names(scan, album) == ["a.jpg", "other/c.jpg"]
    assert reasons(scan, album)["out"] == "results of facegeo"
    # Where results go beside the photos, or nowhere yet, all photos are read.
    for out in (album, album / "missing", None):
        assert len(scan_folder(album, out).photos) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(album):
    touch(album, "a.jpg", "closed/b.jpg")
    (album / "closed").chmod(0)
    try:
        assert "cannot be read" in reasons(scan_folder(album), album)["closed"]
    finally:
        (album / "closed").chmod(0o755)


def test_own_results_are_known_by_their_record(album):
    touch(album, "a.faces.jpg", "a.faces.json", "a.faces.0.uv.png", "b.faces.jpg", "faces.jpg")
    own = [path.name for path in sorted(album.iterdir()) if is_own_output(path)]
    assert own == ["a.faces.0.uv.png", "a.faces.jpg", "a.faces.json"]


def test_own_results_without_the_blanks_of_the_photo(album):
    touch(album, "my photo.faces.json", "my_photo.faces.0-1a2b3c4d.png", "our_photo.faces.png")
    own = [path.name for path in sorted(album.iterdir()) if is_own_output(path)]
    assert own == ["my photo.faces.json", "my_photo.faces.0-1a2b3c4d.png"]


def test_videos_of_every_ending_are_called_so(album):
    endings = ("mp4", "avi", "mkv", "webm", "ts", "m2ts", "MTS", "flv", "ogv", "mpg", "wmv", "h264")
    touch(album, *(f"a.{ending}" for ending in endings))
    assert set(reasons(scan_folder(album), album).values()) == {"videos (facegeo video)"}
