"""Settings: what is not there is named, and damage is one error."""

import sys
import time

import pytest

from facegeo.errors import CorruptFileError, DependencyMissingError, UnreadableFileError
from facegeo.training.core.yaml_files import load_yaml, require_yaml


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[train\]"):
        require_yaml()


def read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml(path)


def test_anchors_are_read(tmp_path):
    pytest.importorskip("yaml")
    text = "base: &b {rate: 1, steps: [2]}\nmany: [*b, {<<: *b, rate: 3}]\n"
    base = {"rate": 1, "steps": [2]}
    assert read(tmp_path, text) == {"base": base, "many": [base, {"rate": 3, "steps": [2]}]}
    assert read(tmp_path, "") is None


@pytest.mark.parametrize(
    "text",
    [
        "0: &0 [x]\n" + "".join(f"{k}: &{k} [{f'*{k - 1}, ' * 9}]\n" for k in range(1, 9)),
        "0: &0 {x: 1}\n"
        + "".join(f"{k}: &{k} {{<<: [{f'*{k - 1}, ' * 9}]}}\n" for k in range(1, 9)),
        "a: &a [*a]\n",
        "a: " + "[" * 5000,
        "a: " + "[" * 40 + "]" * 40,
        "? " * 3000,
        "a: " + "9" * 5000,
        "a: 0x" + "f" * 5000,
        "a: 2020-99-99\n",
        "a: !!timestamp x\n",
        "a: !!int x\n",
        "a: !!bool x\n",
        "a: !!binary ä\n",
        "a: !!python/object/apply:os.system [x]\n",
        "? [1]\n: 2\n",
        "a: x\n" * 30_000,
        "\0",
    ],
)
def test_damage_is_one_error_at_once(text, tmp_path):
    pytest.importorskip("yaml")
    start = time.process_time()
    with pytest.raises(CorruptFileError, match=r"a\.yaml: not YAML"):
        read(tmp_path, text)
    assert time.process_time() - start < 3


def test_files_that_cannot_be_read_are_named(tmp_path):
    pytest.importorskip("yaml")
    with pytest.raises(UnreadableFileError, match=r"none\.yaml"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CorruptFileError, match="not YAML"):
        load_yaml(tmp_path / "a.yaml")
