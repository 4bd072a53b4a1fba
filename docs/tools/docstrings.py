"""Docstrings, which are written to be read as text, as Markdown with links."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import griffe

# Below this name a warning fails `mkdocs build --strict`.
_log = logging.getLogger("mkdocs.docstrings")

_ROLE = re.compile(r":(?:func|class|meth|data|mod|attr|exc):`(~?)([\w.]+)`")
_DOCTEST = re.compile(r"(?:^>>>.*\n?(?:^(?:\.\.\.|>>>).*\n?)*)+", re.MULTILINE)
#: A term at the margin, followed directly by indented text.
_TERM = re.compile(r"(?:(?<=\n\n)|\A)(\S[^\n]*)\n([ ]{4}[^\n]*\n(?:[ ]{4}[^\n]*\n|\n)*)")


class MarkdownDocstrings(griffe.Extension):
    """Turns roles into links, examples into code, and the terms of a module into a list."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Rewrite the docstrings of a package that was loaded."""
        for obj in _objects(pkg):
            if obj.docstring is not None:
                obj.docstring.value = _as_markdown(obj.docstring.value, obj, pkg)


def _objects(parent: griffe.Object) -> Iterator[griffe.Object]:
    yield parent
    for member in parent.members.values():
        if isinstance(member, griffe.Object):  # an alias has its object's docstring
            yield from _objects(member)


def _as_markdown(text: str, obj: griffe.Object, pkg: griffe.Module) -> str:
    if obj.is_module:
        text = _TERM.sub(_definition, text + "\n")
    text = _DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
    return _ROLE.sub(lambda match: _link(match, obj, pkg), text)


def _definition(match: re.Match[str]) -> str:
    body = match[2].strip("\n").removeprefix("    ")
    return f"{match[1]}\n:   {body}\n\n"


def _link(match: re.Match[str], obj: griffe.Object, pkg: griffe.Module) -> str:
    short, name = bool(match[1]), match[2]
    path = name if name.startswith(f"{pkg.name}.") else _resolved(obj, name)
    if path is None:
        return f"`{name}`"
    try:
        pkg[path.removeprefix(f"{pkg.name}.")]
    except KeyError:
        _log.warning("%s: the docstring speaks of %s, which does not exist", obj.path, path)
    shown = name.rsplit(".", 1)[-1] if short else name
    return f'<autoref optional identifier="{path}"><code>{shown}</code></autoref>'


def _resolved(obj: griffe.Object, name: str) -> str | None:
    try:
        path = obj.resolve(name)
    except griffe.NameResolutionError:
        return None
    return path if path.startswith("facegeo.") else None
