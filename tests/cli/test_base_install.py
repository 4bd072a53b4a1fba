"""Every command where only the base dependencies are installed: it works, or names the extra.

The commands run in one process from which the packages of all extras are hidden, so this tests the
same in any environment.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from facegeo.base.optional import EXTRAS, missing_extra
from facegeo.bench import build_parser as bench_parser
from facegeo.cli import build_parser

STYLES = "landmarks,pose,box,mesh,wireframe,depth,pncc,uv"

#: Command -> the extra that it needs, or None where the base installation does it.
WORKS: dict[str, str | None] = {
    "facegeo predict photo.jpg": None,
    f"facegeo predict photo.jpg --out drawn --draw {STYLES} --save obj,ply,glb": None,
    "facegeo predict photo.jpg --out fitted --save glb --face-model facegeo-head": None,
    "facegeo predict photo.jpg --json": None,
    "facegeo predict photo.jpg --out fast --precision fp32 --backend onnxruntime": None,
    "facegeo predict photo.jpg --out torch --backend pytorch": "torch",
    "facegeo predict photo.jpg --out vino --backend openvino": "openvino",
    "facegeo video clip.mp4": "video",
    "facegeo video animation.gif": "video",
    "facegeo webcam": "video",
    "facegeo demo": None,
    "facegeo models": None,
    "facegeo doctor": None,
    "facegeo import 3ddfa-v2 folder --name mb05": "torch",
    "facegeo import synergynet folder": "torch",
    "facegeo import faceboxes file.pth": "torch",
    "facegeo fetch faceboxes": "torch",
    "facegeo label aflw data --teacher default --out labels.npz": "torch",
    "facegeo label points data --teacher default --out labels.npz --pictures c.tar": "torch",
    "facegeo label synthetic faces --count 2": None,
    "facegeo train train.yaml": "train",
    "facegeo export default": "torch",
    "facegeo export default --precision fp16": "torch",
    "facegeo export default --precision int8 --calibration photos": "torch",
    "facegeo-bench fps --rounds 1 --batches 1 --tasks landmarks": None,
    "facegeo-bench crops --rounds 1": None,
    "facegeo-bench photo --rounds 1": None,
    "facegeo-bench detectors --rounds 1": None,
    "facegeo-bench mesh --batches 1 --vertices 500": None,
    "facegeo-bench raster --triangles 500": None,
    "facegeo-bench video clip.mp4": "video",
}

#: Commands that stop at data which is not there, before they need a package or without one.
NEEDS_DATA = (
    "facegeo import face-model model.npz --name other",
    "facegeo label again labels.npz --pictures photos --network default=1 --out again.npz",
    "facegeo label rendered out --faces labels.npz --pictures photos --backgrounds nowhere.tar",
    "facegeo eval aflw2000-3d --data nowhere",
    "facegeo eval aflw21 --data nowhere",
    "facegeo eval biwi --data nowhere",
    "facegeo eval 300vw --data nowhere",
    "facegeo eval presence --data nowhere --backgrounds nowhere.tar",
    "facegeo eval second-opinion --data nowhere --backgrounds nowhere.tar",
    "facegeo eval detection --data nowhere",
    "facegeo-bench accuracy --data nowhere",
)

#: Commands for photos where a video is expected: no package would help.
PHOTOS_FOR_VIDEOS = tuple(
    f"facegeo video pictures/{name}" for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.heic")
)

_RUN = """
import contextlib, io, json, shlex, sys, traceback

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *more):
        return None if name.split(".")[0] in {absent!r} else self.finder.find_spec(name, *more)

    def find_distributions(self, context):
        found = getattr(self.finder, "find_distributions", lambda context: ())(context)
        return (one for one in found if one.metadata["Name"] not in {absent!r})

sys.meta_path[:] = map(Hiding, sys.meta_path)
from facegeo.bench import main as bench
from facegeo.cli import main as facegeo

results = {{}}
for line in {commands!r}:
    program, *arguments = shlex.split(line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = {{"facegeo": facegeo, "facegeo-bench": bench}}[program](arguments)
        except SystemExit as stop:
            code = stop.code
        except Exception:
            code = traceback.format_exc()
    results[line] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Exit code, output and messages of every command, and the folder ``desk``."""
    from facegeo.images import demo

    desk = tmp_path_factory.mktemp("desk")
    shutil.copy(
        Path(demo.__file__).parents[1] / "assets" / "eileen-collins.jpg", desk / "photo.jpg"
    )
    (desk / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(desk / "photo.jpg", desk / "photos" / name)
    (desk / "clip.mp4").write_bytes(b"")
    (desk / "animation.gif").write_bytes(b"GIF89a")
    image = cv2.imread(str(desk / "photo.jpg"))
    (desk / "pictures").mkdir()
    for ending in (".png", ".webp", ".tif"):
        cv2.imwrite(str(desk / "pictures" / f"a{ending}"), image)
    shutil.copy(desk / "photo.jpg", desk / "pictures" / "a.jpg")
    (desk / "pictures" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(400))
    code = _RUN.format(
        absent=(*EXTRAS, "openvino", "tensorrt", "trimesh"),
        commands=[*WORKS, *NEEDS_DATA, *PHOTOS_FOR_VIDEOS],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(desk / "cache"))
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {"desk": desk, **json.loads(done.stdout.splitlines()[-1])}


def leaves(parser: argparse.ArgumentParser, name: str) -> list[str]:
    """All commands of a parser, ``facegeo eval biwi`` and so on."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        return [name]
    return [
        leaf
        for action in below
        for word, child in action.choices.items()
        for leaf in leaves(child, f"{name} {word}")
    ]


def test_every_command_is_here():
    known = [*WORKS, *NEEDS_DATA]
    every = leaves(build_parser(), "facegeo") + leaves(bench_parser(), "facegeo-bench")
    assert len(every) > 25
    assert not [c for c in every if not any(line.startswith(c) for line in known)]


@pytest.mark.parametrize("line", [line for line, extra in WORKS.items() if extra is None])
def test_works(ran, line):
    code, _, err = ran[line]
    assert code == 0, err or code


@pytest.mark.parametrize(("line", "extra"), [(k, v) for k, v in WORKS.items() if v is not None])
def test_names_the_extra_in_one_line(ran, line, extra):
    code, out, err = ran[line]
    assert code == 1, code
    (told,) = [text for text in err.splitlines() if "facegeo[" in text]
    assert told.startswith(f"{line.split()[0]}: error: ")
    assert f"facegeo[{extra}]" in told and "pip install" in told
    assert "Traceback" not in err and out == ""


@pytest.mark.parametrize("line", NEEDS_DATA)
def test_stops_at_its_data_in_one_line(ran, line):
    code, _, err = ran[line]
    assert code == 1, code
    (told,) = [text for text in err.splitlines() if "error: " in text]
    words = [*line.split(), "faceboxes"]  # whose boxes some protocols compare with
    assert any(word in told for word in words[2:]), told


@pytest.mark.parametrize("line", PHOTOS_FOR_VIDEOS)
def test_a_photo_for_a_video_needs_another_command_and_no_package(ran, line):
    code, _, err = ran[line]
    assert code == 1, code
    (told,) = [text for text in err.splitlines() if "error: " in text]
    assert told.endswith("a photo, not a video; for photos: facegeo predict FILE"), told


def test_every_file_of_a_photo_is_written(ran):
    drawn = {path.name for path in (ran["desk"] / "drawn").iterdir()}
    kinds = ("jpg", "json", "depth.png", "pncc.png", "0.uv.png", "0.obj", "0.ply", "0.glb")
    assert {f"photo.faces.{kind}" for kind in kinds} <= drawn


def test_a_mesh_that_cannot_be_written_costs_nothing_before_it(tmp_path, sample_photo):
    """The photo and its numbers are written first."""
    from facegeo.cli import main

    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    out = tmp_path / "out"
    (out / "photo.faces.0.glb").mkdir(parents=True)  # a folder is in the way
    assert main(["predict", str(tmp_path / "photo.png"), "--out", str(out), "--save", "glb"]) == 1
    assert (out / "photo.faces.png").is_file() and (out / "photo.faces.json").is_file()


def test_a_package_that_no_extra_has_is_no_message():
    assert missing_extra(ModuleNotFoundError("No module named 'x'", name="x")) is None
    told = missing_extra(ModuleNotFoundError("No module named 'PIL.Image'", name="PIL.Image"))
    assert 'pip install "facegeo[train]"' in str(told)
