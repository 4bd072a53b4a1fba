"""``facegeo predict`` on folders: what it reads, what it leaves out, what it says of it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from facegeo.cli import main
from facegeo.cli.photo_jobs import plan_jobs, skipped_text
from facegeo.errors import UnreadableFileError
from facegeo.images import demo


@pytest.fixture
def album(tmp_path):
    """One photo under many endings, and much that is none."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("1.jpg", "2.jfif", "3.jpe"):
        shutil.copy(demo.PATH, folder / name)
    (folder / "notes.txt").write_text("no photo")
    (folder / "clip.mp4").write_bytes(b"")
    (folder / "IMG_5.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    return folder


def made(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


def test_a_folder_ends_with_what_was_done_and_what_was_not_read(album, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert main(["predict", str(album), "--out", str(album / "out")]) == 1
    messages = capsys.readouterr()
    assert messages.out.count("1 face ->") == 3
    failed, *rest = messages.err.splitlines()
    assert "IMG_5.HEIC" in failed and "facegeo[heic]" in failed
    assert rest == [
        "facegeo: not read: videos (facegeo video): 1 (clip.mp4); no photos: 1 (notes.txt)",
        f"facegeo: 4 photos, 3 faces, 1 failed -> {album / 'out'}",
    ]


@pytest.mark.parametrize("out", [".", "out", "deeper/out"])
def test_results_are_never_read_again(album, out, capsys):
    command = ["predict", str(album), "--out", str(album / out), "--draw", "box"]
    (album / "IMG_5.HEIC").unlink()
    for _ in range(2):
        assert main(command) == 0
        assert made(album / out) == ["1.faces.json", "2.faces.json", "3.faces.json"]
    assert "results of facegeo" in capsys.readouterr().err
    # By a shell's pattern, and into another folder.
    files = [str(path) for path in (album / out).glob("*.*") if path.is_file()]
    assert main(["predict", *files, str(album / "1.jpg"), "--json"]) == (1 if out == "." else 0)
    read = [record["photo"] for record in json.loads(capsys.readouterr().out)]
    assert not [name for name in read if ".faces." in name]


def test_a_result_that_is_named_alone_is_one_line(album, capsys):
    assert main(["predict", str(album / "1.jpg"), "--out", str(album)]) == 0
    capsys.readouterr()
    assert main(["predict", str(album / "1.faces.jpg")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "written by facegeo; rename it" in line


def test_one_photo_has_no_summary(capsys, tmp_path):
    assert main(["predict", str(demo.PATH), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_names_that_the_console_cannot_print_end_nothing(tmp_path):
    names = ["a.jpg", "b 脸.jpg", "c.jpg"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"d\xff.jpg"))  # no text at all
    folder = tmp_path / "脸"
    folder.mkdir()
    for name in names:
        shutil.copy(demo.PATH, folder / name)
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "facegeo", "predict", str(folder), "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(b"1 face ->") == len(names) and rb"b \u8138.jpg" in run.stdout
    assert len(made(tmp_path)) == len(names)


def test_an_empty_folder_does_not_stop_the_other_photos(album, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("")
    paths = [str(tmp_path / "empty"), str(album / "1.jpg")]
    assert main(["predict", *paths, "--out", str(tmp_path / "out")]) == 1
    assert made(tmp_path / "out") == ["1.faces.json"]
    first, *_ = capsys.readouterr().err.splitlines()
    assert "holds no photos" in first and "no photos: 1 (notes.txt)" in first


def test_a_url_is_a_photo_that_failed_and_its_password_is_told_nowhere(tmp_path, capsys):
    url = "https://user:secret@host.org/face.jpg?token=secret"
    assert main(["predict", url, str(demo.PATH), "--json"]) == 1
    messages = capsys.readouterr()
    first, second = json.loads(messages.out)
    assert first["photo"] == "https://host.org/face.jpg" and len(second["faces"]) == 1
    assert "not fetched" in messages.err
    assert "secret" not in messages.out + messages.err


def test_targets_differ_in_more_than_case(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.jpg", "A.png", "a-2.jpg", "b.jpg")]
    targets = [str(job.target) for job in plan_jobs(paths, None).jobs]
    assert targets == ["a", "A-2", "a-2-2", "b"]


def test_the_line_about_the_rest_names_a_few(tmp_path):
    skipped = {tmp_path / f"{i}.txt": "no photos" for i in range(5)} | {tmp_path / ".x": "hidden"}
    assert skipped_text(skipped) == "no photos: 5 (0.txt, 1.txt, 2.txt, ...); hidden: 1 (.x)"


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(UnreadableFileError, match="holds no photos"):
        plan_jobs([str(tmp_path)], None)
