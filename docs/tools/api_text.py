"""Docstrings as Markdown that reads well where it lies: signatures, sections, links.

griffe reads the modules without importing them and takes the docstrings apart.
"""

from __future__ import annotations

import logging
import posixpath
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe

_PACKAGE = "facegeo"
_ERRORS = "facegeo.errors"
_WIDTH = 88

_ROLE = re.compile(r":(?:func|class|meth|data|mod|attr|exc):`(~?)([\w.]+)`")
_DOCTEST = re.compile(r"(?:^>>>.*\n?(?:^(?:\.\.\.|>>>).*\n?)*)+", re.MULTILINE)
_LITERAL = re.compile(r"(?<!`)``([^`]+)``(?!`)")
#: A term at the margin, followed directly by indented text; and a list of them.
_TERM = re.compile(r"^(\S[^\n]*)\n([ ]{4}[^\n]*\n(?:[ ]{4}[^\n]*\n|\n)*)", re.MULTILINE)
_TERMS = re.compile(rf"(?:(?<=\n\n)|\A)(?:{_TERM.pattern})+", re.MULTILINE)

_KINDS = griffe.DocstringSectionKind
_TITLES = {
    _KINDS.parameters: "Parameters",
    _KINDS.other_parameters: "Other parameters",
    _KINDS.attributes: "Attributes",
    _KINDS.returns: "Returns",
    _KINDS.yields: "Yields",
    _KINDS.raises: "Raises",
}


@dataclass(frozen=True)
class Entry:
    """Part of the package that a page shows at one place.

    Attributes
    ----------
    kind : str
        ``api``: heading, signature, docstring and members; ``contents``: the same without the
        heading; ``docstring``: the text alone.
    path : str
        Dotted name of a module, a class or a function.
    without : frozenset of str
        Names of members that stand elsewhere.
    """

    kind: str
    path: str
    without: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Entry | None:
        """``KIND PATH [without NAME NAME]``, or None if the text is nothing of the kind."""
        kind, *words = text.split()
        if kind not in ("api", "contents", "docstring"):
            return None
        if not words or (words[1:] and words[1] != "without") or len(words) == 2:
            raise ValueError(f"made: expected {kind} NAME [without NAMES], got {text!r}")
        return cls(kind, words[0], frozenset(words[2:]))


class Reference:
    """The package's docstrings, and the pages on which they stand.

    Parameters
    ----------
    repository : Path
        Folder of the package's folder.
    pages : iterable of (str, list of Entry)
        Page, as a path with slashes, and what it shows.
    """

    def __init__(self, repository: Path, pages: Iterable[tuple[str, list[Entry]]]) -> None:
        self._complaints = _Complaints()
        with self._complaints:
            self._package = griffe.load(_PACKAGE, search_paths=[repository])
        #: Canonical or written path -> (page, anchor), in the order of the pages.
        self._places: dict[str, list[tuple[str, str]]] = {}
        for page, entries in pages:
            for entry in entries:
                self._place(page, self._object(entry.path), entry)

    def markdown(self, entry: Entry, page: str, level: int) -> str:
        """The text of an entry, with headings from this level on.

        Raises
        ------
        ValueError
            If a docstring cannot be read, or speaks of what does not exist.
        """
        with self._complaints:
            obj = self._object(entry.path)
            parts = list(self._shown(obj, page, level, entry))
        return "\n\n".join(part.strip("\n") for part in parts)

    def _object(self, path: str) -> griffe.Object:
        try:
            found = self._package[path.removeprefix(f"{_PACKAGE}.")]
        except KeyError as error:
            raise ValueError(f"made: {path} does not exist") from error
        return found.final_target if found.is_alias else found

    def _place(self, page: str, obj: griffe.Object, entry: Entry) -> None:
        for name in {entry.path, obj.canonical_path}:
            self._places.setdefault(name, []).append((page, entry.path))
        if entry.kind == "docstring":
            return
        for path, member in _members(obj, entry):
            self._place(page, member, Entry("api", path))

    def _shown(
        self, obj: griffe.Object, page: str, level: int, entry: Entry, name: str = ""
    ) -> Iterator[str]:
        """Heading with a name, docstring, and the same of the members with their short names."""
        yield f'<a id="{entry.path}"></a>'
        if entry.kind == "api":
            yield f"{'#' * level} `{name or entry.path}`"
            yield from self._head(obj, page)
            level += 1
        yield from self._sections(obj, page)
        if entry.kind == "docstring":
            return
        for path, member in _members(obj, entry):
            yield from self._shown(member, page, level, Entry("api", path), _short_name(member))

    def _head(self, obj: griffe.Object, page: str) -> Iterator[str]:
        """Signatures, and the classes that a class comes from."""
        if obj.is_attribute:
            annotation = f": {obj.annotation}" if obj.annotation is not None else ""
            yield f"```python\n{obj.name}{annotation}\n```"
        elif obj.is_function:
            signatures = "\n".join(_signature(each) for each in obj.overloads or [obj])
            yield f"```python\n{signatures}\n```"
        elif obj.is_class:
            if len(obj.parameters) > 0:
                yield f"```python\n{_signature(obj)}\n```"
            bases = [str(base) for base in obj.bases]
            if bases:
                links = ", ".join(self._link(base, base, obj, page) for base in bases)
                yield f"Bases: {links}"

    def _sections(self, obj: griffe.Object, page: str) -> Iterator[str]:
        if obj.docstring is None:
            return
        for section in obj.docstring.parse("numpy"):
            if section.kind is _KINDS.text:
                yield self._text(section.value, obj, page)
            elif section.kind in _TITLES:
                yield f"**{_TITLES[section.kind]}**"
                yield "\n".join(self._item(item, obj, page) for item in section.value)
            else:
                raise ValueError(f"{obj.path}: a section of its docstring is not known here")

    def _item(self, item: Any, obj: griffe.Object, page: str) -> str:
        """One line of a section as an item of a list; more paragraphs lie indented below."""
        names = [f"`{name}`" for name in (getattr(item, "name", "") or "").split(", ") if name]
        raised = isinstance(item, griffe.DocstringRaise)
        kind = _annotation(item, obj)
        if raised:
            names = [self._error(name, obj, page) for name in kind.split(", ")]
        head = ", ".join(names)
        if kind and not raised:
            head += f"{', ' if head else ''}*{self._type(kind, obj, page)}*"
        text = self._text(item.description, obj, page)
        line = f"- {head}: {text}" if text else f"- {head}"
        return textwrap.indent(line, "    ").removeprefix("    ")

    def _error(self, name: str, obj: griffe.Object, page: str) -> str:
        """An error that is raised: facegeo's own need not be imported where they are named."""
        known = f"{_ERRORS}.{name}"
        return self._link(known if known in self._places else name, name, obj, page)

    def _type(self, text: str, obj: griffe.Object, page: str) -> str:
        """A type in words, its classes linked."""

        def linked(word: str) -> str:
            link = self._link(word, word, obj, page)
            return link if link.startswith("[") else word

        parts = re.split(r"(\b[A-Z]\w+)", _LITERAL.sub(r"`\1`", text))
        return "".join(
            linked(part) if index % 2 else _plain(part) for index, part in enumerate(parts)
        )

    def _text(self, text: str, obj: griffe.Object, page: str) -> str:
        if obj.is_module:
            text = _TERMS.sub(lambda match: _TERM.sub(_term, match[0]), text + "\n")
        text = _LITERAL.sub(r"`\1`", text)
        text = _DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
        return _ROLE.sub(lambda match: self._role(match, obj, page), text).strip()

    def _role(self, match: re.Match[str], obj: griffe.Object, page: str) -> str:
        short, name = bool(match[1]), match[2]
        shown = name.rsplit(".", 1)[-1] if short else name
        return self._link(name, shown, obj, page)

    def _link(self, name: str, shown: str, obj: griffe.Object, page: str) -> str:
        """A link to where a name is described, or the name as code if that is nowhere."""
        path = name if name.startswith(f"{_PACKAGE}.") else _resolved(obj, name)
        if path is None:
            return f"`{shown}`"
        canonical = self._canonical(path, obj)
        owner = path.rpartition(".")[0]  # of an attribute, which has no place of its own
        names = [path, canonical, *([owner] if owner.rpartition(".")[2][:1].isupper() else [])]
        places = next((self._places[name] for name in names if name in self._places), None)
        if not places:
            return f"`{shown}`"
        there, anchor = next((place for place in places if place[0] == page), places[0])
        file = "" if there == page else posixpath.relpath(there, posixpath.dirname(page))
        return f"[`{shown}`]({file}#{anchor})"

    def _canonical(self, path: str, obj: griffe.Object) -> str:
        try:
            return self._package[path.removeprefix(f"{_PACKAGE}.")].canonical_path
        except KeyError as error:
            raise ValueError(
                f"{obj.path}: the docstring speaks of {path}, which does not exist"
            ) from error


class _Complaints(logging.Handler):
    """Handler that turns what griffe warns of, within ``with``, into an error at its end."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())

    def __enter__(self) -> None:
        logging.getLogger("griffe").addHandler(self)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        logging.getLogger("griffe").removeHandler(self)
        said, self._said = self._said, []
        if said and error is None:
            raise ValueError("\n".join(said))


def _members(obj: griffe.Object, entry: Entry) -> Iterator[tuple[str, griffe.Object]]:
    """Members shown below an object, as the source orders them: public, and with a docstring."""
    if not (obj.is_module or obj.is_class):
        return
    for name, member in sorted(obj.members.items(), key=lambda pair: _line(pair[1])):
        imported = member.is_alias and not (obj.is_module and name in (obj.exports or ()))
        if imported or name in entry.without or (name.startswith("_") and name != "__call__"):
            continue
        target = member.final_target if member.is_alias else member
        if not target.is_module and target.docstring is not None:
            yield f"{entry.path}.{name}", target


def _line(member: griffe.Object | griffe.Alias) -> int:
    """Line of a member in the source; of what is imported, that of the import."""
    return (member.alias_lineno if member.is_alias else member.lineno) or 0


def _short_name(obj: griffe.Object) -> str:
    return f"{obj.parent.name}.{obj.name}" if obj.parent.is_class else obj.name


def _signature(obj: griffe.Object) -> str:
    """``name(parameters) -> type``, a line for each parameter where one line is too short."""
    parts = [_double_quoted(part) for part in _parameters(obj)]
    returns = f" -> {obj.returns}" if obj.is_function and obj.returns is not None else ""
    line = f"{obj.name}({', '.join(parts)}){returns}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{obj.name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _parameters(obj: griffe.Object) -> Iterator[str]:
    kinds = griffe.ParameterKind
    parameters = list(obj.parameters)
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    starred = False
    for index, parameter in enumerate(parameters):
        if parameter.kind is kinds.keyword_only and not starred:
            starred = True
            yield "*"
        prefix = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
        starred |= prefix == "*"
        text = f"{prefix}{parameter.name}"
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not prefix:
            text += f" = {parameter.default}" if parameter.annotation else f"={parameter.default}"
        yield text
        following = parameters[index + 1 : index + 2]
        positional = parameter.kind is kinds.positional_only
        if positional and not (following and following[0].kind is kinds.positional_only):
            yield "/"


def _annotation(item: Any, obj: griffe.Object) -> str:
    """A type in the docstring's words."""
    annotation = item.annotation
    if isinstance(item, griffe.DocstringParameter):
        # Where the docstring has none it is the signature's; of `a, b` griffe takes the first.
        signed = list(obj.parameters)
        if any(annotation is parameter.annotation for parameter in signed):
            annotation = next((p.annotation for p in signed if p.name == item.name), annotation)
    text = "" if annotation is None else str(annotation)
    if isinstance(annotation, griffe.ExprTuple) and text not in obj.docstring.value:
        # Made of `{"a", "b"}`, or of `A, B`.
        elements = [str(element) for element in annotation.elements]
        quoted = all(element[0] in "\"'" for element in elements)
        return _double_quoted((" or " if quoted else ", ").join(elements))
    return text


def _double_quoted(code: str) -> str:
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', code)


def _plain(text: str) -> str:
    """Text without the characters that Markdown takes for marks."""
    return re.sub(r"([*_\[\]<\\])", r"\\\1", text)


def _term(match: re.Match[str]) -> str:
    return f"**{match[1]}.** {textwrap.dedent(match[2]).strip()}\n\n"


def _resolved(obj: griffe.Object, name: str) -> str | None:
    try:
        path = obj.resolve(name)
    except griffe.NameResolutionError:
        return None
    return path if path.startswith(f"{_PACKAGE}.") else None
