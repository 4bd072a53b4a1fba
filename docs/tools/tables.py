"""Tables and pages that are made from the code and its data, never typed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator

from facegeo.backends import BACKENDS
from facegeo.bench import build_parser as bench_parser
from facegeo.cli import build_parser
from facegeo.cli.outputs import STYLES, TEXTURE
from facegeo.morphable.readers import LAYOUTS
from facegeo.render.annotate import ANNOTATORS, IMAGES
from facegeo.zoo.releases import DEFAULTS, RELEASES
from facegeo.zoo.store import find_any, list_models


def shipped_models() -> str:
    """The models in the package, from their cards."""
    cards = [model.card for model in map(find_any, list_models()) if model.ships]
    if not cards:
        return "No network ships in this version; the sections below say how to get one."
    return _table(
        ("model", "for", "architecture", "where it comes from", "licence"),
        ((f"`{c.name}`", c.task, c.architecture, c.source, c.licence) for c in cards),
    )


def default_models() -> str:
    """Table of what ``default`` stands for."""
    return _table(("for", "`default` is"), ((task, f"`{name}`") for task, name in DEFAULTS.items()))


def releases() -> str:
    """Table of what can be fetched by name."""
    return _table(
        ("command", "installs", "licence"),
        ((f"`facegeo fetch {r.name}`", f"`{r.model}`", r.licence) for r in RELEASES.values()),
    )


def face_model_layouts() -> str:
    """The morphable models of other projects that can be read."""
    return _table(
        ("`--layout`", "what it is"),
        ((f"`{name}`", layout.description) for name, layout in LAYOUTS.items()),
    )


def engines() -> str:
    """The names of ``backend=``."""
    return ", ".join(f"`{name}`" for name in ("auto", *BACKENDS))


def styles() -> str:
    """The names of ``facegeo.render.annotate``."""
    return ", ".join(f"`{name}`" for name in ANNOTATORS)


def style_table() -> str:
    """What ``facegeo predict --draw`` draws, by the first sentence of what draws it."""
    drawn = {name: one.face or one.surfaces for name, one in ANNOTATORS.items()}
    rows = [(f"`{name}`", _first_sentence(draw)) for name, draw in (drawn | IMAGES).items()]
    rows.append((f"`{TEXTURE}`", "The face's texture, a picture for each face"))
    assert sorted(name.strip("`") for name, _ in rows) == sorted(STYLES)
    return _table(("`--draw`", "what"), rows)


def _first_sentence(function: object) -> str:
    text = (function.__doc__ or "").split("\n\n")[0]
    return " ".join(text.split()).rstrip(".")


def commands() -> str:
    """Every command of ``facegeo`` with its options."""
    return "\n".join(_command_lines(build_parser(), 2))


def bench_commands() -> str:
    """Every benchmark of ``facegeo-bench`` with its options."""
    return "\n".join(_command_lines(bench_parser(), 3))


_WIDTH = 88

#: Name in ``<!-- made: NAME -->`` -> what takes its place.
TABLES: dict[str, Callable[[], str]] = {
    "shipped-models": shipped_models,
    "default-models": default_models,
    "releases": releases,
    "face-model-layouts": face_model_layouts,
    "engines": engines,
    "styles": styles,
    "style-table": style_table,
    "commands": commands,
    "bench-commands": bench_commands,
}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _command_lines(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """A heading, what the command does, its usage and its options; then its sub-commands."""
    for child, text in _children(parser):
        yield f"{'#' * level} {child.prog}\n"
        description = child.description or f"{text[:1].upper()}{text[1:]}."
        yield f"{_escaped(description)}\n"
        children = list(_children(child))
        if not children:
            yield f"```text\n{_usage(child)}\n```\n"
            yield from _options(child)
        if child.epilog:
            yield f"{_escaped(child.epilog)}\n"
        yield from _command_lines(child, level + 1)


def _children(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield child, texts.get(name, "")


def _usage(parser: argparse.ArgumentParser) -> str:
    """One line a command, broken where it is long. Python's own differs with its version."""
    parts = [parser.prog, *_options_of_usage(parser), *_operands_of_usage(parser)]
    lines, indent = [parts[0]], " " * (len(parser.prog) + 1)
    for part in parts[1:]:
        if len(lines[-1]) + len(part) >= _WIDTH:
            lines.append(indent + part)
        else:
            lines[-1] += f" {part}"
    return "\n".join(lines)


def _options_of_usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    exclusive = {
        action: group
        for group in parser._mutually_exclusive_groups
        for action in group._group_actions
    }
    for action in parser._actions:
        group = exclusive.get(action)
        if not action.option_strings or (group and action is not group._group_actions[0]):
            continue
        together = group._group_actions if group else [action]
        text = " | ".join(action.option_strings[0] + _given(action) for action in together)
        needed = group.required if group else action.required
        yield (f"({text})" if group else text) if needed else f"[{text}]"


def _operands_of_usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    forms = {"*": "[{0} ...]", "+": "{0} [{0} ...]", "?": "[{0}]"}
    for action in parser._actions:
        if not action.option_strings:
            yield forms.get(str(action.nargs or ""), "{0}").format(_value(action))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        names = action.option_strings or [_value(action)]
        given = _given(action) if action.option_strings else ""
        text = parser._get_formatter()._expand_help(action) if action.help else ""
        rows.append((f"`{', '.join(names)}{given}`", _escaped(text)))
    if rows:
        yield _table(("option", "what it does"), rows) + "\n"


def _given(action: argparse.Action) -> str:
    """Text that follows an option, with a blank before it."""
    return "" if action.nargs == 0 else f" {_value(action)}"


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
