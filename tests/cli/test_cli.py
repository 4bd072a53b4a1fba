"""The command line, as a user types it."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeo.cli import main

PHOTOS = ("emma.jpg", "trump_hillary.jpg", "JianzhuGuo.jpg")


@pytest.fixture
def album(shared: Path, tmp_path: Path, sample_photo) -> Path:
    """A folder with good photos, one without a face, and three bad files."""
    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    source = shared / "data/photos/JianzhuGuo.jpg"
    shutil.copy(source, folder / "a.jpg")
    cv2.imwrite(str(folder / "deeper/a.png"), sample_photo)
    cv2.imwrite(str(folder / "empty.png"), np.full((100, 100, 3), 90, np.uint8))
    (folder / "cut.jpg").write_bytes(source.read_bytes()[:20000])
    (folder / "text.jpg").write_text("no photo")
    cv2.imwrite(str(folder / "tiny.png"), np.zeros((1, 1, 3), np.uint8))
    return folder


def test_a_folder_is_processed_in_spite_of_bad_photos(models, album, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(album), "--out", str(out)]) == 1
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == [
        "a.faces.jpg",
        "a.faces.json",
        "deeper/a.faces.json",
        "deeper/a.faces.png",
        "empty.faces.json",
        "empty.faces.png",
    ]
    messages = capsys.readouterr()
    for name in ("cut.jpg", "text.jpg", "tiny.png"):
        (line,) = [line for line in messages.err.splitlines() if name in line]
        assert line.startswith("facegeo: error:")
    assert "1 face ->" in messages.out and "no faces ->" in messages.out
    record = json.loads((out / "deeper/a.faces.json").read_text())
    assert (record["width"], record["height"], record["error"]) == (512, 512, None)
    picture = cv2.imread(str(out / "deeper/a.faces.png"))
    original = cv2.imread(str(album / "deeper/a.png"))
    x, y = np.rint(np.mean(record["faces"][0]["landmarks"], axis=0)[:2]).astype(int)
    near = slice(y - 60, y + 60), slice(x - 60, x + 60)
    assert (picture[near] != original[near]).any()
    assert np.array_equal(picture[-100:], original[-100:])  # drawn at the face and nowhere else


def test_json_goes_to_stdout_and_nothing_else_does(models, album, capsys):
    good = [str(album / "a.jpg"), str(album / "text.jpg")]
    assert main(["predict", *good, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [len(record["faces"]) for record in printed] == [1, 0]
    assert printed[0]["error"] is None and "text.jpg" in printed[1]["error"]
    assert len(printed[0]["faces"][0]["landmarks"]) == 68
    assert not Path("facegeo-out").exists()


def test_equal_names_do_not_overwrite_each_other(models, album, tmp_path):
    out = tmp_path / "out"
    paths = [str(album / "a.jpg"), str(album / "deeper/a.png")]
    assert main(["predict", *paths, "--out", str(out), "--draw", "box"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "a.faces.jpg",
        "a.faces.json",
        "a-2.faces.png",
        "a-2.faces.json",
    }


def test_a_target_that_cannot_be_written_fails_that_photo_only(models, album, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "a.faces.jpg").mkdir(parents=True)  # a folder is in the way
    paths = [str(album / "a.jpg"), str(album / "empty.png")]
    assert main(["predict", *paths, "--out", str(out)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert (out / "empty.faces.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cook"],
        ["predict"],
        ["predict", "x.jpg", "--draw", "moustache"],
        ["predict", "x.jpg", "--score", "2"],
        ["predict", "x.jpg", "--max-faces", "0"],
        ["predict", "x.jpg", "--backend", "caffe"],
        ["import", "3ddfa-v2", "somewhere"],
        ["fetch", "nothing"],
        ["eval", "aflw2000-3d"],
        ["eval", "biwi", "--data", "x", "--every", "0"],
        ["eval", "presence", "--data", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "missing.jpg"], "missing.jpg"),
        (["predict", "x.jpg", "--model", "none"], "not installed"),
        (["predict", "x.jpg", "--device", "cuda:77"], "cuda:77"),
        (["predict", "."], "holds no photos"),
        (["eval", "aflw2000-3d", "--data", "nowhere"], "annotations.npz"),
        (["eval", "aflw21", "--data", "nowhere"], "AFLW_GT_crop.list"),
        (["eval", "biwi", "--data", "nowhere"], "frame_*"),
        (["eval", "300vw", "--data", "nowhere"], "vid.avi"),
        (["import", "faceboxes", "missing.pth"], "missing.pth"),
    ],
)
def test_failures_are_one_line_and_exit_code_1(
    models, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facegeo: error:") and message in line


def test_the_evaluation_prints_the_keys_that_tables_are_made_from(models, shared, tmp_path, capsys):
    data = str(shared / "data/aflw2000_dev")
    assert main(["eval", "aflw2000-3d", "--data", data, "--model", "mb05", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["nme_percent"]["original"]["mean_of_bins"] == pytest.approx(3.709, abs=0.005)
    assert report["nme_percent"]["reannotated"]["60-90"] == pytest.approx(3.805, abs=0.005)
    assert report["pose_mae_deg"]["mean"] == pytest.approx(4.236, abs=0.005)
    table, curve = tmp_path / "table.md", tmp_path / "curve.png"
    written = ["--markdown", str(table), "--curve", str(curve)]
    assert main(["eval", "aflw2000-3d", "--data", data, "--model", "mb05", *written]) == 0
    printed = capsys.readouterr().out
    assert "| original | 2.857 | 3.734 | 4.536 | 3.709 |" in printed
    assert "| original: SynergyNet | 2.65 | 3.30 | 4.27 | 3.41 |" in printed
    assert table.read_text() == printed
    assert cv2.imread(str(curve)).shape == (720, 960, 3)


def test_the_demo_needs_no_more_than_the_package(cache, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setenv("FACEGEO_OFFLINE", "1")
    monkeypatch.delenv("FACEGEO_SHARED", raising=False)
    picture = tmp_path / "demo.png"
    assert main(["demo", "--out", str(picture)]) == 0
    out = capsys.readouterr().out
    assert str(picture) in out and out.count("yaw") == 1
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert cv2.imread(str(picture)).shape == (512, 512, 3)
    assert not cache.exists()


def test_a_large_photo_is_searched_as_the_options_say(cache, tmp_path, sample_photo, capsys):
    """The face is 6 pixels wide in the whole photo at 320 pixels, and 90 in a tile."""
    photo = np.full((900, 5000, 3), 128, np.uint8)
    photo[100:612, 4000:4512] = sample_photo
    cv2.imwrite(str(tmp_path / "wide.png"), photo)
    command = ["predict", str(tmp_path / "wide.png"), "--json", "--max-side", "320"]

    def faces_at_the_right_place():
        (record,) = json.loads(capsys.readouterr().out)
        boxes = [face["box"] for face in record["faces"]]
        return sum(4150 < x0 < 4220 < x1 < 4300 for x0, _, x1, _ in boxes)

    assert main(command) == 0
    assert faces_at_the_right_place() == 0
    assert main([*command, "--tile", "512"]) == 0
    assert faces_at_the_right_place() == 1
    with pytest.raises(SystemExit):
        main([*command, "--tile", "8"])


def test_models_lists_what_ships_and_what_was_imported(cache, shared, capsys):
    pytest.importorskip("torch")
    upstream = shared / "upstream"
    assert main(["import", "faceboxes", str(upstream / "faceboxes/FaceBoxesProd.pth")]) == 0
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sorted(report["installed"]) == ["detector", "faceboxes", "synergy-fast", "synergy-mbv2"]
    assert report["installed"]["synergy-mbv2"]["mesh"] is True


def test_the_doctor_tells_health_and_damage(models, installed_cache, tmp_path, monkeypatch, capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["auto"]["backend"] in ("onnxruntime", "openvino") and report["problems"] == []
    copy = tmp_path / "copy"
    shutil.copytree(installed_cache, copy)
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(copy))
    (network,) = (copy / "models/mb05").glob("network-*.onnx")
    network.write_bytes(network.read_bytes() + b"x")
    assert main(["doctor"]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_the_doctor_finds_two_packages_that_share_a_module():
    from facegeo.cli.doctor import clashes

    versions = {"onnxruntime": "1", "onnxruntime-gpu": "1", "opencv-python": "5"}
    (problem,) = clashes(versions.get)
    assert "onnxruntime and onnxruntime-gpu" in problem and "pip uninstall" in problem
    assert clashes({"onnxruntime": "1"}.get) == []


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("facegeo")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_ends_with_130_and_valid_json(models, album, tmp_path, interruptible):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(3000):
        os.link(album / "a.jpg", folder / f"{index:04}.jpg")
    command = [sys.executable, "-m", "facegeo", "predict", str(folder), "--json"]
    printed = tmp_path / "printed.json"
    with (
        printed.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True) as process,
    ):
        deadline = time.monotonic() + 60
        while printed.read_bytes().count(b"\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip() == "facegeo: interrupted"
    assert 1 <= len(json.loads(printed.read_text())) < 3000


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_is_no_traceback(models, album):
    command = f"{sys.executable} -m facegeo predict {album} {album} --json | head -c 50"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr
