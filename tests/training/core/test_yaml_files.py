"""Training without PyYAML says which extra to install."""

import sys

import pytest

from facegeo.errors import DependencyMissingError
from facegeo.training.core.yaml_files import require_yaml


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[train\]"):
        require_yaml()
