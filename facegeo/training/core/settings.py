"""Settings as frozen dataclasses: from YAML, and back to plain values."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from facegeo.base.arrays import whole_number
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.training.core.yaml_files import load_yaml

_Settings = TypeVar("_Settings")


def read_settings(path: str | Path) -> dict[str, Any]:
    """Names and values of a YAML file. Raises UnreadableFileError, CorruptFileError."""
    content = load_yaml(Path(path))
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise CorruptFileError(f"{path}: expected names and values")
    return dict(content)


def build_settings(kind: type[_Settings], content: Mapping[str, Any]) -> _Settings:
    """A dataclass from plain values; nested ones by their annotations.

    Raises
    ------
    InvalidInputError
        If a name or value is not known; the message names it.
    """
    built: _Settings = _build(kind, content, "")
    return built


def plain_settings(settings: Any) -> dict[str, Any]:
    """A dataclass as plain values, for YAML and JSON."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(settings))
    return plain


class Interval(NamedTuple):
    """Numbers that a setting may have; with ``above`` and ``below`` without the bound itself."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: Any) -> bool:
        """True for a finite number in it."""
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        number = float(value)
        is_over = number > self.low if self.above else number >= self.low
        is_under = number < self.high if self.below else number <= self.high
        return is_over and is_under and math.isfinite(number)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'of at least'} {self.low:g}"
        high = f"{'below' if self.below else 'of at most'} {self.high:g}"
        bounds = [low] * (self.low > -math.inf) + [high] * (self.high < math.inf)
        return "a finite number" if not bounds else f"a number {' and '.join(bounds)}"


SHARE: Final = Interval(0, 1)
#: Of momentum and of averages: with 1 nothing new would ever count.
DECAY: Final = Interval(0, 1, below=True)
POSITIVE: Final = Interval(0, above=True)
NOT_NEGATIVE: Final = Interval(0)


def check_numbers(settings: Any, where: str, intervals: Mapping[Interval, str]) -> None:
    """Raise InvalidInputError for a number of a dataclass that is out of bounds.

    Parameters
    ----------
    settings : dataclass
    where : str
        Its place in the configuration, for messages: ``data.``.
    intervals : mapping of Interval to str
        The fields that have to be in each, in one text.
    """
    for interval, names in intervals.items():
        for name in names.split():
            value = getattr(settings, name)
            if not interval.holds(value):
                raise InvalidInputError(f"{where}{name}: expected {interval}, got {value!r}")


def check_counts(settings: Any, where: str, least: int, names: str) -> None:
    """Raise InvalidInputError for a field of a dataclass that is no whole number from ``least``."""
    for name in names.split():
        whole_number(f"{where}{name}", getattr(settings, name), least)


def _build(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(content) - set(hints), key=str)
    if unknown:
        raise InvalidInputError(f"{where}{unknown[0]}: unknown setting; known: {sorted(hints)}")
    values = {name: _value(hints[name], value, f"{where}{name}") for name, value in content.items()}
    try:
        return kind(**values)
    except InvalidInputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # a list's items are not what it needs
        raise InvalidInputError(f"{where or 'configuration'}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InvalidInputError(f"{where}: expected names and values, got {value!r}")
        return _build(hint, value, f"{where}.")
    kinds: dict[Any, Any] = {int: int, float: (int, float), str: str, bool: bool}
    if hint in kinds:
        if not isinstance(value, kinds[hint]) or (hint is not bool and isinstance(value, bool)):
            raise InvalidInputError(f"{where}: expected {hint.__name__}, got {value!r}")
        return hint(value)
    if isinstance(hint, types.UnionType) and str in hint.__args__ and isinstance(value, str):
        return value
    optional = isinstance(hint, types.UnionType) and value is None
    if isinstance(hint, types.UnionType) and not optional and float in hint.__args__:
        return _value(float, value, where)
    if not optional and not isinstance(value, list | tuple):
        raise InvalidInputError(f"{where}: expected a list, got {value!r}")
    return None if optional else tuple(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
