"""Write the generated text into the pages, between its marks.

python docs/tools/generate.py            writes what is stale, and names it
python docs/tools/generate.py --check    writes nothing; fails and names what is stale

A page asks for text by ``<!-- made: NAME -->``; what is made stands behind that mark and ends with
``<!-- end of NAME -->``, which the first run adds. A NAME is one of :data:`TABLES`, or what of the
package's docstrings to show: ``api facegeo.images``, see ``api_text.Entry``. The picture of the
package's plan is drawn anew where it shows other imports than the code has.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent
REPOSITORY = _HERE.parents[1]
if __name__ == "__main__":  # the package beside this script, not one that is installed
    sys.path.insert(0, str(REPOSITORY))
sys.path.insert(0, str(_HERE))

import plan_picture  # noqa: E402
import tables  # noqa: E402
from api_text import Entry, Reference  # noqa: E402

#: Name in ``<!-- made: NAME -->`` -> what takes its place.
TABLES = tables.TABLES | plan_picture.TABLES

MARK = re.compile(
    r"(?P<open><!-- made: (?P<name>[^\n]+?) -->)(?:.*?<!-- end of (?P=name) -->)?", re.DOTALL
)
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)


def pages() -> list[Path]:
    """Every page that may hold generated text."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def generated() -> Iterator[tuple[Path, str, str]]:
    """Each page, its text as it is and as it should be."""
    texts = {path: path.read_text(encoding="utf-8") for path in pages()}
    entries = [(_uri(path), list(_entries(text))) for path, text in texts.items()]
    reference = Reference(REPOSITORY, entries)
    for path, text in texts.items():
        yield path, text, _filled(text, _uri(path), reference)


def stale() -> dict[Path, str]:
    """Pages whose generated text is not what it should be, and what it should be."""
    return {path: new for path, old, new in generated() if old != new}


def _uri(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def _entries(text: str) -> Iterator[Entry]:
    for match in MARK.finditer(text):
        entry = Entry.parse(match["name"])
        if entry is not None:
            yield entry


def _filled(text: str, page: str, reference: Reference) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        entry = Entry.parse(name)
        if entry is not None:
            level = _level(MARK.sub("", text[: match.start()]))
            made = reference.markdown(entry, page, level)
        elif name in TABLES:
            made = TABLES[name]()
        else:
            known = ", ".join(TABLES)
            raise ValueError(f"{page}: expected one of {known} or api NAME, got {name!r}")
        inline = match.string[: match.start()].rpartition("\n")[2] != ""
        made = made.strip() if inline else f"\n\n{made.strip()}\n\n"
        return f"{match['open']}{made}<!-- end of {name} -->"

    return MARK.sub(fill, text)


def _level(before: str) -> int:
    """One below the heading that generated text stands under."""
    levels = _HEADING.findall(re.sub(r"^```.*?^```$", "", before, flags=re.DOTALL | re.MULTILINE))
    return len(levels[-1]) + 1 if levels else 2


def main(arguments: list[str] | None = None) -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    check = parser.parse_args(arguments).check
    found = stale()
    for path, text in found.items():
        print(f"{'stale' if check else 'written'}: {_uri(path)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    old_picture = plan_picture.drawn() != plan_picture.plan()
    if old_picture:
        print(f"{'stale' if check else 'written'}: {_uri(plan_picture.PICTURE)}")
        if not check:
            plan_picture.draw()
    if check and (found or old_picture):
        print("run: python docs/tools/generate.py", file=sys.stderr)
    return 1 if check and (found or old_picture) else 0


if __name__ == "__main__":
    sys.exit(main())
