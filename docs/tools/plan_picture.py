"""The plan of the package: its rooms, in order, and which imports which. A picture and a table.

python docs/tools/plan_picture.py    draws docs/images/plan.jpg

``docs/tools/generate.py`` does it too, where the picture shows other rooms or imports than the code
has: the picture's file says what was drawn.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import ImageDraw

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGE = _REPOSITORY / "facegeo"
PICTURE = _REPOSITORY / "docs" / "images" / "plan.jpg"

#: The rooms in the order of ``tests/test_architecture.py``, in groups, with the groups' colours.
GROUPS = {
    "ground": ("#5b7083", "errors conventions base images geometry gpu ops"),
    "faces": ("#2f8f83", "morphable results render surface"),
    "networks": ("#7a5bb0", "networks zoo backends"),
    "the flow": ("#d0602f", "detect track video predictor"),
    "making and measuring": ("#b8892b", "export importing synthetic evaluation training"),
    "programs": ("#3a6fb5", "bench cli"),
}

#: A photo's way: room, and what happens there.
WAY = (
    ("images", "photo to array"),
    ("detect", "where faces are"),
    ("geometry", "crops of faces"),
    ("backends", "the network"),
    ("results", "landmarks, pose"),
    ("morphable", "dense mesh"),
    ("render", "pictures"),
    ("surface", "mesh files"),
)

_INK, _GREY, _LINE, _PAPER, _BAND = "#22292f", "#6b7680", "#dfe4e8", "#ffffff", "#f5f7f8"


def rooms() -> list[str]:
    """Every room, from left to right."""
    return [room for _, names in GROUPS.values() for room in names.split()]


@cache
def files_of(room: str) -> tuple[Path, ...]:
    """The modules of a room, which may be a single file."""
    folder = _PACKAGE / room
    return tuple(sorted(folder.rglob("*.py"))) if folder.is_dir() else (folder.with_suffix(".py"),)


@cache
def imports_of(room: str) -> dict[str, int]:
    """Other room -> number of modules of this room that import from it, lazily or for types too."""
    counts: dict[str, int] = {}
    for path in files_of(room):
        for other in _imported_rooms(path) - {room}:
            counts[other] = counts.get(other, 0) + 1
    return counts


def plan() -> dict[str, list[str]]:
    """Content of the picture, apart from sizes: room -> rooms that it imports, both in order."""
    return {room: [other for other in rooms() if other in imports_of(room)] for room in rooms()}


def drawn() -> dict[str, list[str]] | None:
    """The plan that the picture was drawn from, None where there is no such picture."""
    from PIL import Image

    if not PICTURE.is_file():
        return None
    with Image.open(PICTURE) as picture:
        content = picture.info.get("comment")
    return None if content is None else json.loads(content)


def rooms_table() -> str:
    """The rooms with the first line of their docstrings."""
    rows = ["| room | what lies there |", "| --- | --- |"]
    for room in rooms():
        (path,) = [path for path in files_of(room) if path.stem in (room, "__init__")][:1]
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = docstring.split("\n\n")[0].replace("\n", " ").replace("``", "`")
        first = re.sub(r":[a-z]+:(`[^`]+`)", r"\1", first)
        rows.append(f"| `{room}` | {first} |")
    return "\n".join(rows)


#: Name in ``<!-- made: NAME -->`` -> what takes its place.
TABLES = {"rooms": rooms_table}


def draw() -> None:
    """Draw the picture and write it."""
    picture = _Sheet(1000, 926).paint().convert("RGB")
    picture.save(PICTURE, quality=80, optimize=True, comment=json.dumps(plan()))


def _imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = [node.module]
            if node.module == "facegeo":
                whole = [f"facegeo.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in whole if name.startswith("facegeo.")}
    return found & set(rooms())


class _Sheet:
    """Paper with units of its own; drawn larger than it is kept, so that edges are smooth."""

    kept, smooth = 1.5, 2

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.size = (width, height)
        self.unit = self.kept * self.smooth
        self.image = Image.new("RGB", self._units(width, height), _PAPER)
        self.pen: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)
        self.colours = {room: colour for colour, names in GROUPS.values() for room in names.split()}

    def paint(self) -> Any:
        from PIL import Image

        self._way(top=24)
        self._matrix(left=300, top=262, pitch=25.5)
        width, height = self.size
        return self.image.resize(
            (round(width * self.kept), round(height * self.kept)), Image.Resampling.LANCZOS
        )

    def _way(self, top: float) -> None:
        """Boxes with arrows: where a photo goes."""
        self.text((28, top), "The way of a photo", 19, _INK)
        note = "predictor calls them one after the other; track and video go from frame to frame"
        self.text((214, top + 5), note, 13, _GREY)
        gap, left, right = 15.0, 28.0, self.size[0] - 28.0
        width = (right - left - gap * (len(WAY) - 1)) / len(WAY)
        for index, (room, what) in enumerate(WAY):
            x, y = left + index * (width + gap), top + 40
            self.box((x, y, x + width, y + 56), self.colours[room], 7)
            self.text((x + width / 2, y + 19), room, 15, _PAPER, "mm")
            self.text((x + width / 2, y + 39), what, 11.5, _PAPER, "mm")
            if index:
                self.arrow((x - gap + 2, y + 28), (x - 2, y + 28))

    def _matrix(self, left: float, top: float, pitch: float) -> None:
        """One row a room: name, size, and a dot below each room that it imports."""
        names = rooms()
        self.text((28, 146), "Who imports whom", 19, _INK)
        self.text(
            (28, 174),
            "A room imports itself and rooms above\nit, never one below. The larger a dot,\n"
            "the more of its modules do. Bars: lines,\nto tens, and modules.",
            13,
            _GREY,
        )
        end = self.size[0] - 30
        self._groups(left, top, pitch, end)
        lines = {room: _lines(room) for room in names}
        most = max(lines.values())
        for index, room in enumerate(names):
            y, colour = top + pitch * (index + 0.5), self.colours[room]
            x = left + pitch * (index + 0.5)
            self.line((left, y), (x, y), _LINE, 1)
            self.line((x, y), (x, top + pitch * len(names)), _LINE, 1)
            self.text((134, y), room, 14.5, colour, "rm")
            bar = 144 + max(80 * lines[room] / most, 2)
            self.box((144, y - 5, bar, y + 5), colour, 2)
            size = f"{lines[room]:,} in {len(files_of(room))}"
            self.text((bar + 6, y), size, 11, _GREY, "lm")
            self.turned_text((x, top - 8), room, 14.5, colour)
        for index, room in enumerate(names):
            y = top + pitch * (index + 0.5)
            x = left + pitch * (index + 0.5)
            half = 0.38 * pitch
            self.box((x - half, y - half, x + half, y + half), self.colours[room], 4)
            for other, count in imports_of(room).items():
                radius = pitch * min(0.15 + 0.075 * count**0.5, 0.42)
                column = names.index(other)
                place = (left + pitch * (column + 0.5), y)
                self.dot(place, radius, self.colours[other])

    def _groups(self, left: float, top: float, pitch: float, end: float) -> None:
        start = 0
        for index, (name, (colour, names)) in enumerate(GROUPS.items()):
            count = len(names.split())
            y0, y1 = top + pitch * start, top + pitch * (start + count)
            if index % 2 == 0:
                self.box((28, y0, end + 2, y1), _BAND, 0)
            self.box((28, y0 + 2, 32, y1 - 2), colour, 2)
            # Right of the diagonal there is room.
            place = (left + pitch * (start + 1) + 5, y0 + pitch / 2)
            self.text(place, name, 14.5, colour, "lm")
            start += count

    def _units(self, *values: float) -> tuple[int, ...]:
        return tuple(round(value * self.unit) for value in values)

    def box(self, corners: tuple[float, ...], colour: str, radius: float) -> None:
        self.pen.rounded_rectangle(self._units(*corners), radius * self.unit, fill=colour)

    def dot(self, place: tuple[float, float], radius: float, colour: str) -> None:
        x, y = place
        corners = self._units(x - radius, y - radius, x + radius, y + radius)
        self.pen.ellipse(corners, fill=colour)

    def line(
        self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float
    ) -> None:
        self.pen.line(self._units(*start, *end), colour, round(width * self.unit))

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        (x0, y), (x1, _) = start, end
        self.line((x0, y), (x1 - 3, y), _GREY, 1.6)
        head = [*self._units(x1, y), *self._units(x1 - 6, y - 4.5), *self._units(x1 - 6, y + 4.5)]
        self.pen.polygon(head, fill=_GREY)

    def text(
        self,
        place: tuple[float, float],
        text: str,
        size: float,
        colour: str,
        anchor: str = "la",
    ) -> None:
        font, spacing = _font(size * self.unit), 0.45 * size * self.unit
        anchored = {} if "\n" in text else {"anchor": anchor}
        self.pen.text(self._units(*place), text, colour, font, spacing=spacing, **anchored)

    def turned_text(self, place: tuple[float, float], text: str, size: float, colour: str) -> None:
        """Text that reads upwards and ends at a place: its foot in the middle."""
        from PIL import Image, ImageDraw

        font = _font(size * self.unit)
        x0, y0, x1, y1 = map(round, font.getbbox(text, anchor="lm"))
        margin = 4
        plate = Image.new("L", (x1 - x0 + 2 * margin, y1 - y0 + 2 * margin), 0)
        ImageDraw.Draw(plate).text((margin - x0, margin - y0), text, 255, font, anchor="lm")
        plate = plate.rotate(90, expand=True)
        x, y = self._units(*place)
        # The middle of the line, not of this word's letters, stands over the column.
        corner = (x - margin + y0, y - plate.height + margin)
        self.image.paste(Image.new("RGB", plate.size, colour), corner, plate)


@cache
def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _lines(room: str) -> int:
    count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files_of(room))
    return round(count, -1)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    draw()
