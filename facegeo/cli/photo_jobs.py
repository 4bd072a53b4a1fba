"""Photos that ``facegeo predict`` has to read, and the places of their results."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facegeo.base.urls import is_url, without_password
from facegeo.errors import FacegeoError, UnreadableFileError
from facegeo.images import is_own_output, scan_folder

#: Names that a line about skipped files tells of each kind.
_EXAMPLES = 3

_OWN = "results of facegeo"


@dataclass(frozen=True)
class Job:
    """A photo and where its results go.

    Attributes
    ----------
    photo : str or Path
        For the predictor.
    name : str
        For messages and records.
    target : Path
        Relative to the output folder, without an ending; no other job has it.
    """

    photo: str | Path
    name: str
    target: Path


@dataclass(frozen=True)
class Plan:
    """All that a command line asks for.

    Attributes
    ----------
    jobs : list of Job
    skipped : dict of Path to str
        Files and folders that are not read -> why.
    problems : list of FacegeoError
        Folders without photos.
    has_folder : bool
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)
    problems: list[FacegeoError] = field(default_factory=list)
    has_folder: bool = False


def plan_jobs(paths: Sequence[str], out: Path | None) -> Plan:
    """Photos of files and folders.

    Parameters
    ----------
    paths : sequence of str
    out : Path, optional
        Where results go; not searched for photos.

    Raises
    ------
    FacegeoError
        If there is no photo at all.
    """
    found = Plan(has_folder=any(Path(path).is_dir() for path in paths))
    taken: set[str] = set()
    for text in paths:
        path = Path(text)
        if is_url(text) and not path.exists():
            shown = without_password(text)
            found.jobs.append(Job(text, shown, _untaken(Path(Path(shown).stem), taken)))
        elif path.is_dir():
            _add_folder(found, path, out, taken)
        elif is_own_output(path):
            found.skipped[path] = _OWN
        else:
            found.jobs.append(Job(path, str(path), _untaken(Path(path.stem), taken)))
    if not found.jobs:
        raise (found.problems or [_nothing_left(found)])[0]
    return found


def skipped_text(skipped: Mapping[Path, str]) -> str:
    """One line about what was not read: ``no photos: 2 (a.txt, b.xmp); hidden: 1 (.git)``."""
    names: dict[str, list[str]] = defaultdict(list)
    for path, reason in skipped.items():
        names[reason].append(path.name)
    parts = []
    for reason, these in names.items():
        more = ", ..." if len(these) > _EXAMPLES else ""
        parts.append(f"{reason}: {len(these)} ({', '.join(these[:_EXAMPLES])}{more})")
    return "; ".join(parts)


def _add_folder(found: Plan, folder: Path, out: Path | None, taken: set[str]) -> None:
    scan = scan_folder(folder, out)
    found.skipped.update(scan.skipped)
    if not scan.photos:
        rest = f"; skipped: {skipped_text(scan.skipped)}" if scan.skipped else ""
        found.problems.append(
            UnreadableFileError(f"{folder}: the folder holds no photos that can be read{rest}")
        )
    for path in scan.photos:
        target = _untaken(path.relative_to(folder).with_suffix(""), taken)
        found.jobs.append(Job(path, str(path), target))


def _untaken(target: Path, taken: set[str]) -> Path:
    """A target that no job has, nor one that differs in case only: many file systems mix them."""
    unique, count = target, 1
    while os.fspath(unique).casefold() in taken:
        count += 1
        unique = target.with_name(f"{target.name}-{count}")
    taken.add(os.fspath(unique).casefold())
    return unique


def _nothing_left(found: Plan) -> FacegeoError:
    path = next(iter(found.skipped))
    return UnreadableFileError(f"{path}: written by facegeo; rename it if it is to be read")
