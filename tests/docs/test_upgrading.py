"""The page on upgrading: every new place exists, and no old one does."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from helpers.shared_material import REPOSITORY

_PAGE = (REPOSITORY / "docs/upgrading.md").read_text(encoding="utf-8")
_ROWS = re.findall(r"^\| (.+?) \| (.+?) \|$", _PAGE, re.MULTILINE)
NEW = sorted(
    {name for _, new in _ROWS for name in re.findall(r"`((?:facegeo|models)\.[\w.]+)`", new)}
)
OLD = sorted({name for old, _ in _ROWS for name in re.findall(r"`(facegeo\.[\w.]+)`", old)})

#: Packages that took the name of a module.
_PACKAGES = {
    "facegeo.backends.onnxrt",
    "facegeo.backends.pytorch",
    "facegeo.backends.trt",
    "facegeo.networks.backbones",
    "facegeo.networks.synergy",
    "facegeo.training.labels",
}


def place(name: str) -> object:
    """A module, or what a module holds; skips where a package of an extra is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if not missing.startswith(("facegeo", "models")):
            pytest.skip(f"needs {missing}")
        if not name.startswith(missing):
            raise
    owner, _, last = name.rpartition(".")
    return getattr(place(owner), last)


def test_the_page_has_both_sides():
    assert len(NEW) > 70
    assert len(OLD) > 50


@pytest.mark.parametrize("name", NEW)
def test_a_new_place_exists(name):
    assert place(name) is not None


@pytest.mark.parametrize("name", sorted(set(OLD) - _PACKAGES))
def test_an_old_module_is_gone(name):
    """Else the page would send people away from what works."""
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        place(name)


@pytest.mark.parametrize("path", re.findall(r"`(?:python )?(models/[\w./-]+)`", str(_ROWS)))
def test_a_script_exists_where_it_is_new(path):
    old = any(path in row[0] for row in _ROWS)
    assert (REPOSITORY / path).exists() != old
