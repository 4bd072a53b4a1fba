"""The repository keeps its own rules: lint, format, types, no banned words, one truth."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
from helpers.shared_material import REPOSITORY


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff(command):
    pytest.importorskip("ruff")
    result = run(sys.executable, "-m", "ruff", *command, ".")
    assert result.returncode == 0, result.stdout + result.stderr


def test_types():
    pytest.importorskip("mypy")
    pytest.importorskip("torch", reason="its types are checked against")
    result = run(sys.executable, "-m", "mypy")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_documentation_speaks_of_commands_that_exist():
    """In running text; the blocks of code are run or parsed elsewhere."""
    from facegeo.cli import build_parser

    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    used = set(re.findall(r"(?:`|bin/)facegeo ([a-z0-9-]+)\b", text))
    assert {"predict", "demo", "export"} <= used
    known = build_parser().format_help()
    assert not [name for name in used if not re.search(rf"^    {name} ", known, re.MULTILINE)]


def test_ci_runs_the_test_command_of_the_readme():
    """The command stands in the README only, between two marks; CI reads it there."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    script = (REPOSITORY / ".ci/run").read_text(encoding="utf-8")
    block = readme.split("<!-- test command -->")[1]
    command = re.search(r"```sh\n(.+?)\n```", block, re.DOTALL)[1]
    assert "pytest" in command and "\n" not in command
    assert "<!-- test command -->" in script and command not in script
    # What the base installation leaves to it, it runs.
    assert " -m " not in command.split("-m pytest")[1] and " -k " not in command
    base = re.search(r"base/bin/pytest\" (.+)", script)[1]
    assert base == '-n auto --dist loadfile -m "not once"'


def test_what_base_installs_leave_out_needs_no_extra():
    """Tests marked ``once`` are few, and none skips: who would notice that an extra is absent?"""
    marked = {
        path: text
        for path in (REPOSITORY / "tests").glob("*/**/test_*.py")
        if "mark.once" in (text := path.read_text(encoding="utf-8"))
    }
    assert len(marked) == 5
    for path, text in marked.items():
        assert "importorskip" not in text and "mark.skip" not in text, path


def test_the_torch_of_ci_is_pinned_and_allowed():
    constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert "torch==2.13.0" in constraints
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not any("torch" in requirement for requirement in project["dependencies"])


def test_every_file_of_the_package_is_small():
    """Files one can hold in the head."""
    long = {
        path.relative_to(REPOSITORY).as_posix(): count
        for path in (REPOSITORY / "facegeo").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


def test_docstrings_begin_with_the_noun_or_verb():
    """As NumPy's do: a reader who skims sees at once what a thing is or does."""
    question = re.compile(
        r"(what|how|whether|which|who|whose|whom|where|when|why)(ever)?\b", re.IGNORECASE
    )
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    seen, offenders = 0, []
    for folder in ("facegeo", "models"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = ast.get_docstring(node) if isinstance(node, documented) else None
                seen += text is not None
                if text and question.match(text):
                    place = f"{path.relative_to(REPOSITORY).as_posix()}:{node.body[0].lineno}"
                    offenders.append(f"{place}: {text.splitlines()[0]}")
    assert seen > 1000
    assert not offenders, "\n".join(offenders)
