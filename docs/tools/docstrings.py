"""Docstrings, which are written to be read as text, as Markdown with links."""

from __future__ import annotations

import logging
import re
from typing import Any

import griffe

# Below this name a warning fails `mkdocs build --strict`.
_log = logging.getLogger("mkdocs.docstrings")

_ROLE = re.compile(r":(?:func|class|meth|data|mod|attr|exc):`(~?)([\w.]+)`")
_DOCTEST = re.compile(r"(?:^>>>.*\n?(?:^(?:\.\.\.|>>>).*\n?)*)+", re.MULTILINE)
#: A term at the margin, followed directly by indented text.
_TERM = re.compile(r"(?:(?<=\n\n)|\A)(\S[^\n]*)\n((?:[ ]{4}[^\n]*\n|\n)+)")


class MarkdownDocstrings(griffe.Extension):
    """Turns roles into links, examples into code, and the terms of a module into a list."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is None:
            return
        text = obj.docstring.value
        if obj.is_module:
            text = _TERM.sub(_definition, text + "\n")
        text = _DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
        self._pending.append((obj, text))

    def __init__(self) -> None:
        super().__init__()
        self._pending: list[tuple[griffe.Object, str]] = []

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Roles last: their targets must all be known."""
        for obj, text in self._pending:
            assert obj.docstring is not None
            obj.docstring.value = _ROLE.sub(lambda match, obj=obj: _link(match, obj, pkg), text)
        self._pending.clear()


def _definition(match: re.Match[str]) -> str:
    body = match[2].strip("\n")
    if "\n    - " in f"\n{body}":  # a list in a definition keeps its place
        body = body.replace("\n\n    - ", "\n\n    - ")
    return f"{match[1]}\n:   {body.lstrip()}\n\n"


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
