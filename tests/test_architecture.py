"""The plan of the package, kept: who may import whom, what lies where, who knows an engine."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from helpers.shared_material import REPOSITORY

PACKAGE = REPOSITORY / "facegeo"

#: A room imports itself and those to its left.
ORDER = tuple(
    """
    errors conventions base images geometry gpu ops morphable results render surface networks zoo
    backends detect track video predictor export importing synthetic evaluation training bench cli
    """.split()  # noqa: SIM905 - read as one line
)

#: Rooms beside each other: neither imports the other.
APART = ({"errors", "conventions"}, {"bench", "cli"})

LOOSE = {"__init__.py", "__main__.py", "conventions.py", "errors.py", "py.typed"}

#: Names of engines, and where one may stand outside ``backends``: what prints versions or asks for
#: one engine on purpose.
ENGINES = re.compile("onnxruntime|onnxrt|openvino|tensorrt", re.IGNORECASE)
KNOWS_ENGINES = {
    "facegeo.bench.baseline",
    "facegeo.bench.fps",
    "facegeo.bench.predictor",
    "facegeo.bench.timing",
    "facegeo.cli.doctor",
    "facegeo.export.precision",
}


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    files = sorted(PACKAGE.rglob("*.py"))
    names = (".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in files)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, files, strict=True)}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each import within the package, lazy and type-only ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in modules():
                    yield whole, ""
                elif node.module in modules():
                    yield node.module, alias.name
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in modules())


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_imports_point_to_the_left():
    wrong = []
    for module, path in modules().items():
        here = room(module)
        if here in ("", "__main__"):
            continue
        for there, _ in imported(path):
            if room(there) == here:
                continue
            apart = any({here, room(there)} <= pair for pair in APART)
            if apart or room(there) not in ORDER or ORDER.index(room(there)) > ORDER.index(here):
                wrong.append(f"{module} -> {there}")
    assert not wrong


def test_there_is_no_circle():
    """Of modules: whoever reads one can read what it needs first."""
    needs = {name: {there for there, _ in imported(path)} for name, path in modules().items()}
    done: set[str] = set()
    for start in needs:
        assert not _circle(start, needs, done, [])


def _circle(
    module: str, needs: dict[str, set[str]], done: set[str], way: list[str]
) -> list[str] | None:
    if module in way:
        return [*way[way.index(module) :], module]
    if module in done:
        return None
    for other in sorted(needs[module]):
        found = _circle(other, needs, done, [*way, module])
        if found:
            return found
    done.add(module)
    return None


def test_private_names_stay_at_home():
    borrowed = [
        f"{module}: {there}.{name}"
        for module, path in modules().items()
        for there, name in imported(path)
        if name.startswith("_") and not name.startswith("__")
    ]
    assert not borrowed


def test_nothing_lies_loose():
    ours = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert ours == LOOSE
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__", "assets"}
    assert rooms | {name.removesuffix(".py") for name in LOOSE} >= set(ORDER)
    assert rooms <= set(ORDER)


def test_engines_are_known_in_few_places():
    """In code; texts for people may name what they like."""
    knowing = {
        name
        for name, path in modules().items()
        if room(name) != "backends" and ENGINES.search(_code(path))
    }
    assert knowing == KNOWS_ENGINES


def _code(path: Path) -> str:
    """Imports, names and texts that are compared or passed on; no docstrings, no comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            words += [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        elif isinstance(node, ast.Attribute):
            words.append(node.attr)
        elif isinstance(node, ast.Constant) and " " not in str(node.value).strip():
            words.append(str(node.value))
    return "\n".join(words)


@pytest.mark.parametrize("turned", ["facegeo.geometry.crop"])
def test_a_turned_import_is_seen(monkeypatch, tmp_path, turned):
    """The tests above can fail."""
    path = tmp_path / "crop.py"
    path.write_text(
        modules()[turned].read_text()
        + "\nfrom facegeo.predictor.face_geometry import _IMAGES_TOGETHER\n"
    )
    monkeypatch.setitem(modules(), turned, path)
    for test in (test_imports_point_to_the_left, test_there_is_no_circle):
        with pytest.raises(AssertionError):
            test()
    with pytest.raises(AssertionError):
        test_private_names_stay_at_home()


def test_a_loose_file_and_a_new_engine_s_name_are_seen(monkeypatch, tmp_path):
    path = tmp_path / "crop.py"
    path.write_text(modules()["facegeo.geometry.crop"].read_text() + '\nname = "openvino"\n')
    monkeypatch.setitem(modules(), "facegeo.geometry.crop", path)
    with pytest.raises(AssertionError):
        test_engines_are_known_in_few_places()
    monkeypatch.setattr(f"{__name__}.LOOSE", LOOSE - {"conventions.py"})
    with pytest.raises(AssertionError):
        test_nothing_lies_loose()
