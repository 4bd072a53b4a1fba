"""PyYAML, which only training needs."""

from __future__ import annotations

from types import ModuleType

from facegeo.errors import DependencyMissingError


def require_yaml() -> ModuleType:
    """The module ``yaml``. Raises DependencyMissingError that names the extra."""
    try:
        import yaml
    except ImportError as error:
        raise DependencyMissingError(
            'training needs PyYAML for its configuration; pip install "facegeo[train]"'
        ) from error
    module: ModuleType = yaml
    return module
