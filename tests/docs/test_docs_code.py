"""Every block of code in the README and the documentation is run, or says why it is not.

Python blocks of a page are run one after the other, as a reader would; so are commands. A comment
``<!-- parsed only: why -->`` in front of a block of commands means that they are only checked
against the parsers, the scripts and the extras that exist. What is made from docstrings is left
out: signatures, and examples that belong to the code.

All of it runs with what ships, in any environment: where a package of an extra is missing, what
needs it must say which extra installs it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.shared_material import REPOSITORY

from facegeo.base.optional import EXTRAS
from facegeo.bench import build_parser as bench_parser
from facegeo.cli import build_parser, main
from facegeo.errors import DependencyMissingError

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>parsed only: [^>]+|test command) -->\n)?"
    r"```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FROM_DOCSTRINGS = re.compile(
    r"^<!-- made: ((?:api|contents|docstring) [^\n]+) -->\n.*?^<!-- end of \1 -->$",
    re.MULTILINE | re.DOTALL,
)
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands before it, its language, its text and its line."""

    mark: str | None
    kind: str
    code: str
    line: int


def typed(page: Path) -> str:
    """The page without what is made from docstrings; lines keep their numbers."""
    text = page.read_text(encoding="utf-8")
    return _FROM_DOCSTRINGS.sub(lambda match: "\n" * match[0].count("\n"), text)


def blocks(page: Path, *kinds: str) -> list[Block]:
    text = typed(page)
    found = [
        Block(m["mark"], m["kind"], m["code"], text[: m.start("code")].count("\n") + 1)
        for m in _BLOCK.finditer(text)
    ]
    return [block for block in found if block.kind in kinds]


def pages_with(*kinds: str) -> list[object]:
    return [pytest.param(page, id=page.stem) for page in PAGES if blocks(page, *kinds)]


def commands(block: Block) -> list[list[str]]:
    """The words of each line, without comments; ``A && B`` is two lines."""
    lines = re.split(r"\n|&&", block.code.replace("\\\n", " "))
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def desk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_photo) -> Path:
    """The folder of somebody with a photo, some more in a folder, and a clip."""
    face = np.ascontiguousarray(sample_photo[:320, 60:380])
    cv2.imwrite(str(tmp_path / "photo.jpg"), face)
    (tmp_path / "holiday").mkdir()
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "holiday" / "beach.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def film_clip(photo: Path) -> None:
    if find_spec("av") is None:  # then nothing comes to reading it
        photo.with_name("clip.mp4").write_bytes(b"")
        return
    from helpers.video_data import write_clip

    still = cv2.imread(str(photo))
    write_clip(photo.with_name("clip.mp4"), 4, (320, 320), make=lambda index, width, height: still)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page, desk):
    if "clip.mp4" in page.read_text(encoding="utf-8"):
        film_clip(desk / "photo.jpg")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        assert block.mark is None, "Python is always run"
        padded = "\n" * block.line + block.code  # a traceback then names the line of the page
        try:
            exec(compile(padded, str(page), "exec"), names)  # noqa: S102 - code of our own pages
        except DependencyMissingError as error:
            assert names_a_missing_extra(str(error)), error


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_are_spelt_as_the_parsers_want_them(page):
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extras = extras["project"]["optional-dependencies"]
    for block in blocks(page, "sh"):
        for command in commands(block):
            program, *words = [word for word in command if word != ">"]
            program = program.removeprefix(".venv/bin/")
            if ">" in command:
                words = words[:-1]
            if program == "facegeo":
                build_parser().parse_args(words)
            elif program == "facegeo-bench":
                bench_parser().parse_args(words)
            elif program == "pip":
                for wanted in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
                    assert set(wanted.split(",")) <= extras.keys()
            elif program in ("python", "python3"):
                assert words[0] == "-m" or (REPOSITORY / words[0]).is_file()
            else:
                assert command == [".", ".venv/bin/activate"], f"{page.name}: {command}"


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_run(page, desk, capsys):
    lines = [
        command
        for block in blocks(page, "sh")
        if block.mark is None
        for command in commands(block)
        if command[0] == "facegeo"
    ]
    if not lines:
        pytest.skip("every command on this page says why it is not run here")
    if any("clip.mp4" in line for line in lines):
        film_clip(desk / "photo.jpg")
    for _, *words in lines:
        arguments = words[: words.index(">")] if ">" in words else words
        code, told = main(arguments), capsys.readouterr().err
        assert code == 0 or names_a_missing_extra(told), (words, told)


def names_a_missing_extra(told: str) -> bool:
    """One line that names an extra, a package of which is not installed here."""
    extras = set(re.findall(r"facegeo\[(\w+)\]", told))
    missing = {extra for module, extra in EXTRAS.items() if find_spec(module) is None}
    return len(told.splitlines()) == 1 and bool(extras) and extras <= missing


def test_an_extra_that_is_installed_is_no_excuse(monkeypatch):
    monkeypatch.setitem(EXTRAS, "numpy", "numbers")
    assert not names_a_missing_extra('pip install "facegeo[numbers]"')
    monkeypatch.setitem(EXTRAS, "no_such_module", "letters")
    assert names_a_missing_extra('pip install "facegeo[letters]"')
    assert not names_a_missing_extra("Traceback\nfacegeo[letters]")


def test_every_block_has_a_language_that_is_looked_after():
    """A block of an unknown kind would never be checked."""
    for page in PAGES:
        text = typed(page)
        assert text.count("\n```") == 2 * len(blocks(page, "python", "sh", "text")), page.name
