"""PyYAML, which only training needs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Final

from facegeo.base.limits import MOST_AXES, check_plain
from facegeo.errors import CorruptFileError, DependencyMissingError, UnreadableFileError

#: A configuration has two thousand characters.
_LONGEST: Final = 50_000


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


def load_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises
    ------
    UnreadableFileError
        If there is no such file, or it may not be read.
    CorruptFileError
        If it is not YAML, too long for settings, or repeats itself without end.
    """
    yaml = require_yaml()
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if len(text) > _LONGEST:
            raise CorruptFileError(f"{len(text)} characters; settings have at most {_LONGEST}")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is not None and _weight(root, 0, {}) > _LONGEST:
            raise CorruptFileError("it repeats itself without end")
        content = None if root is None else loader.construct_document(root)
        check_plain(content)
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    # A damaged file fails in the parser, or where a date or a number is made of its text.
    except Exception as error:
        raise CorruptFileError(f"{path}: not YAML ({error})") from error
    return content


def _weight(node: Any, depth: int, known: dict[int, int]) -> int:
    """Number of values below a node, each counted as often as aliases name it.

    A few anchors within each other name more values than memory holds.
    """
    if depth > MOST_AXES:
        raise CorruptFileError(f"lists within lists, more than {MOST_AXES} deep")
    if id(node) not in known:
        inner = node.value if isinstance(node.value, list) else ()
        items = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_weight(item, depth + 1, known) for item in items)
    return known[id(node)]
