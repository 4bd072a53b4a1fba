"""Reads damaged files of one kind: ``read_damaged.py KIND FIRST COUNT NOTE``.

A process of its own, as it may end: a reader may crash, and a file that takes five seconds of the
processor ends it too. Each seed is written into the file NOTE first, so that whoever started this
knows which one did. Errors that are none of facegeo's, that do not name the file, or that come of
asking for gigabytes are reported at the end.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from helpers.damage import damaged
from kinds import KINDS

from facegeo.errors import CorruptFileError, InvalidImageError, UnreadableFileError

#: Of the processor, for one file. A busy machine is not taken for a hang.
SECONDS = 5

#: What a reader may ask for beside what is there once everything is imported.
MEMORY = 2 * 2**30

#: Failures that are reported with their traces.
REPORTED = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("note", type=Path, help="file for the seed that is being read")
    arguments = parser.parse_args()
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    with tempfile.TemporaryDirectory() as folder:
        report = json.dumps(_read(Path(folder), **vars(arguments)))
        sys.stdout.write(f"\n{report}\n")


def _read(folder: Path, kind: str, first: int, count: int, note: Path) -> dict[str, object]:
    suffix, contents, read = KINDS[kind](folder)
    for number, content in enumerate(contents):  # whole files are read, and everything is imported
        path = folder / f"whole{number}{suffix}"
        path.write_bytes(content)
        read(path)
    _limit_memory()
    warnings.simplefilter("error", RuntimeWarning)  # of numbers that were computed with unchecked
    tally = {"read": 0, "refused": 0}
    failures: list[str] = []
    path = folder / f"damaged{suffix}"
    for seed in range(first, first + count):
        path.write_bytes(damaged(contents[seed % len(contents)], seed))
        note.write_text(str(seed))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            read(path)
            tally["read"] += 1
        except (CorruptFileError, UnreadableFileError, InvalidImageError) as error:
            tally["refused"] += 1
            if path.name not in str(error):
                failures.append(f"seed {seed}: the message names no file: {error}")
            if _asked_for_memory(error):
                failures.append(f"seed {seed}: asked for memory: {_trace(error)}")
        except BaseException as error:
            failures.append(f"seed {seed}: {_trace(error)}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return {**tally, "failed": len(failures), "failures": failures[:REPORTED]}


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _asked_for_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-12:])[-3000:]


if __name__ == "__main__":
    main()
