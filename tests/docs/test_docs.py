"""The documentation: it builds without a warning; what is made in it is current."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.shared_material import REPOSITORY
from test_architecture import ORDER, imported, modules, room

from facegeo import MorphableModel, conventions
from facegeo.cli import build_parser
from facegeo.zoo import Card, shipped
from models.release.package import write_shipped


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation; building it with a warning is an error."""
    for module in ("mkdocs", "pymdownx", "pygments"):
        pytest.importorskip(module, reason="the documentation needs the extra [docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch):
    """The script that writes generated text into the pages."""
    pytest.importorskip("griffe", reason="reading docstrings needs the extra [docs]")
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    from tools import generate

    return generate


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    from tools import plan_picture

    return plan_picture


def test_generated_text_is_current(generator):
    stale = [path.relative_to(REPOSITORY).as_posix() for path in generator.stale()]
    assert not stale, f"{stale}: run python docs/tools/generate.py"


def test_stale_text_is_named(generator, monkeypatch, capsys):
    monkeypatch.setitem(generator.TABLES, "engines", lambda: "`abacus`")
    assert generator.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: docs/engines.md\n"


def test_the_picture_of_the_plan_is_current(plan):
    pytest.importorskip("PIL", reason="the picture says what was drawn")
    assert plan.drawn() == plan.plan(), "run python docs/tools/generate.py"
    assert plan.rooms() == list(ORDER)
    assert plan.PICTURE.stat().st_size < 220_000


def test_a_new_import_makes_the_picture_stale(plan, monkeypatch):
    pytest.importorskip("PIL", reason="the picture says what was drawn")
    seen = plan.imports_of
    monkeypatch.setattr(plan, "imports_of", lambda room: {**seen(room), "cli": 1})
    assert plan.drawn() != plan.plan()


def test_the_plan_counts_what_the_test_of_the_architecture_sees(plan):
    """Two readers of imports agree on each room."""
    for here in ORDER:
        there = {
            room(other)
            for module, path in modules().items()
            if room(module) == here
            for other, _ in imported(path)
        }
        assert set(plan.imports_of(here)) == there - {here, ""}


def test_contributing_names_files_and_tables_that_exist():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(
        r"`((?:facegeo|tests|docs|models|export|benchmarks|examples)/[\w./]*)`", text
    )
    assert len(paths) > 20
    assert not [path for path in paths if not (REPOSITORY / path).exists()]
    tables = re.findall(r"`(\w+)` in `([\w./]+\.py)`", text)
    assert len(tables) > 10
    for name, path in tables:
        code = (REPOSITORY / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:def )?{name}\b", code, re.MULTILINE), f"{name} in {path}"


def test_an_unknown_name_is_an_error(generator, monkeypatch):
    monkeypatch.delitem(generator.TABLES, "engines")
    with pytest.raises(ValueError, match=r"docs/engines\.md: expected one of .* got 'engines'"):
        generator.stale()


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("docs/api/predictor.md", "- `min_face_size`, *float*: Photo pixels: drop boxes whose"),
        ("docs/api/predictor.md", "    search: Search | None = DetectorOptions.search,\n"),
        ("docs/api/results.md", "- `landmarks`, *(68, 3) float32*: Photo pixels; the network's"),
        ("docs/api/geometry.md", "](../conventions.md#facegeo.geometry.crop.CropConvention)"),
        ("docs/commands.md", "\n## facegeo predict\n"),
        ("docs/models.md", "\n| `synergy-mbv2` | landmarks |"),
    ],
)
def test_pages_can_be_read_where_they_lie(page, text):
    """Without MkDocs, as on a code host."""
    assert text in (REPOSITORY / page).read_text(encoding="utf-8")


def test_no_markup_of_one_renderer_is_left():
    """What a code host would show as text: directives, attributes, definition lists, roles."""
    for page in (REPOSITORY / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(
            r"^:::|\{ *[#.:][^}\n]*\}$|^: {3}|:(?:func|class|mod):`", text, re.M
        ), page


def test_the_page_on_conventions_has_the_whole_docstring():
    page = (REPOSITORY / "docs/conventions.md").read_text(encoding="utf-8")
    assert words(conventions.__doc__) in words(page)


def words(text: str) -> str:
    """Letters, digits and signs; marks, links and roles are gone."""
    text = re.sub(r"\]\([^)]*\)|<[^>]*>|:\w+:`", "", text)
    return " ".join(re.sub(r"[*`\[.]", "", text).split())


def test_all_tables_are_in_the_pages(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert not [page for page in pages if "<!-- made:" in page.read_text(encoding="utf-8")]
    commands = text_of(site / "commands/index.html")
    for name in re.findall(r"^    (\w+) ", build_parser().format_help(), re.MULTILINE):
        assert f"facegeo {name}" in commands
    assert "--face-model NAME" in commands


def test_conventions_come_from_the_code(site):
    page = text_of(site / "conventions/index.html")
    assert "yaw > 0: the face turns towards the image's left" in page.replace("&gt;", ">")
    assert "A box of mean side s gives a square" in page


def test_links_that_leave_the_documentation_are_led_into_the_site(site):
    assert (site / "benchmarks/video_jitter.py").is_file()
    assert (site / "models/synergy-mbv2/train.yaml").is_file()
    assert 'href="../NOTICE/"' in (site / "models/index.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_other_servers(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"([^\"]+)", text)
        assert not [url for url in loaded if re.match(r"(?:https?:)?//", url)], page


def test_a_model_that_ships_is_in_the_table(tmp_path, monkeypatch):
    """By its card: nothing is typed when a model is added to the package."""
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    monkeypatch.setattr(shipped, "further_roots", lambda: ())
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(tmp_path / "cache"))
    tables = runpy.run_path(str(REPOSITORY / "docs/tools/tables.py"))["TABLES"]
    assert "No network ships" in tables["shipped-models"]()
    card = Card("tiny", "landmarks", "synergynet", "a test", "free | open", {})
    write_shipped(card, b"network")
    assert "| `tiny` | landmarks | synergynet | a test | free \\| open |" in (
        tables["shipped-models"]()
    )


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    from tools import convention_pictures

    return convention_pictures


def test_the_picture_of_the_axes_says_what_is_seen(pictures):
    said = {
        (angle, degrees): pictures.what_is_seen(pictures.turned_head(angle, degrees))
        for angle in pictures.ANGLES
        for degrees in (-30, 30)
    }
    assert said == {
        ("yaw", -30): "turns to the picture's right",
        ("yaw", 30): "turns to the picture's left",
        ("pitch", -30): "looks down",
        ("pitch", 30): "looks up",
        ("roll", -30): "leans left, anticlockwise",
        ("roll", 30): "leans right, clockwise",
    }


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_network_reads_the_same_angles_off_the_picture(pictures, predictor, degrees):
    """The drawn heads, measured by a network that knows nothing of facegeo's formulas."""
    model = MorphableModel.default()
    size = 330
    for index, angle in enumerate(pictures.ANGLES):
        panel = pictures.head_picture(angle, degrees, size)
        points = pictures.placed(model.mean[model.landmark_rows], angle, degrees, size)
        pose = predictor(panel, landmarks=points)[0].pose
        expected = np.zeros(3)
        expected[index] = degrees
        assert np.abs([pose.yaw, pose.pitch, pose.roll] - expected).max() < 15
