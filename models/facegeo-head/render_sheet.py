"""Draw the contact sheets of this folder's README from the shipped model.

python models/facegeo-head/render_sheet.py [model.npz] [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from facegeo.morphable.subdivision import subdivide

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from models.release.shading import BACKGROUND, openness, render, rotation  # noqa: E402

MODEL = HERE.parents[1] / "facegeo" / "assets" / "facegeo-head.npz"
VIEWS = {
    "front": (0, 0), "quarter": (-38, 0), "profile": (-90, 0), "below": (0, 30),
    "above": (-18, -28), "back": (-140, -10), "close": (-30, 0),
}  # fmt: skip
SKIN, LIP, BAG, LINING = (
    (0.87, 0.67, 0.57),
    (0.76, 0.45, 0.41),
    (0.42, 0.16, 0.15),
    (0.80, 0.52, 0.47),
)
TOOTH, TONGUE = (0.92, 0.89, 0.82), (0.75, 0.38, 0.36)
#: Middle of the pictures of the face alone, millimetres.
FACE_MIDDLE = (0, -35, -30)
#: Angles from the axis of sight, degrees: pupil, iris and its rim.
PUPIL, IRIS, RIM = 9.5, 23.7, 25.9
BLENDS = {
    "blink 0.5": {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    "blink": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1},
    "smile": {"mouthSmileLeft": 1, "mouthSmileRight": 1},
    "laugh": {
        "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.35, "cheekSquintLeft": 0.6,
        "cheekSquintRight": 0.6, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3,
    },
    "surprise": {
        "jawOpen": 0.5, "browInnerUp": 1, "browOuterUpLeft": 1, "browOuterUpRight": 1,
        "eyeWideLeft": 0.8, "eyeWideRight": 0.8,
    },
    "anger": {
        "browDownLeft": 1, "browDownRight": 1, "noseSneerLeft": 0.7, "noseSneerRight": 0.7,
        "mouthPressLeft": 0.6, "mouthPressRight": 0.6,
    },
    "sadness": {
        "browInnerUp": 1, "mouthFrownLeft": 1, "mouthFrownRight": 1, "mouthShrugLower": 0.4,
    },
    "gaze": {"eyeLookOutLeft": 1, "eyeLookInRight": 1, "eyeLookUpLeft": 0.4, "eyeLookUpRight": 0.4},
}  # fmt: skip


class Head:
    """The archive's arrays on the fine mesh, with colours for looking."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.data = {name: archive[name] for name in archive.files}
        mean = self.data["cage/mean"].astype(np.float64)
        fine = subdivide(self.data["cage/faces"], self.data["subdivide"], len(mean))
        self.matrix, self.triangles = fine.matrix, fine.triangles.astype(np.int64)
        self.mean = self.matrix @ mean
        self.names = self.data["expression_names"].tolist()
        self.part = self.data["part_names"][self.data["cage/part"][fine.sources]]
        self.colours, self.gloss = self._paint()
        self.sky = openness(self.mean, self.triangles)

    def offset(self, kind: str, number: int) -> np.ndarray:
        scale = float(self.data[f"cage/{kind}_scale"][number]) / 32767
        return np.asarray(self.matrix @ (self.data[f"cage/{kind}_basis"][number] * scale))

    def person(self, amounts: np.ndarray) -> np.ndarray:
        return self.mean + sum(a * self.offset("shape", i) for i, a in enumerate(amounts))

    def expression(self, amounts: dict[str, float]) -> np.ndarray:
        moved = self.mean.copy()
        for name, amount in amounts.items():
            moved += amount * self.offset("expression", self.names.index(name))
        return moved

    def draw(
        self, vertices: np.ndarray, view: str, size: int, millimetres: float, *, shadows: bool
    ) -> np.ndarray:
        sky = openness(vertices, self.triangles, 24, 280) if shadows else self.sky
        if millimetres > 250:
            # A whole head: as it lies in the picture, not as it lies in space.
            turned = vertices @ rotation(*VIEWS[view]).T
            turned -= (turned.min(axis=0) + turned.max(axis=0)) / 2
        else:
            turned = (vertices - np.array(FACE_MIDDLE)) @ rotation(*VIEWS[view]).T
        return render(
            turned, self.triangles, self.colours, size=size, gloss=self.gloss, open_sky=sky,
            millimetres=millimetres,
        )  # fmt: skip

    def _paint(self) -> tuple[np.ndarray, np.ndarray]:
        lips = (self.matrix @ self.data["regions/lips"].astype(float))[:, None]
        colours = np.array(SKIN) * (1 - lips) + np.array(LIP) * lips
        gloss = 0.10 + 0.08 * lips[:, 0]
        flat = {
            "mouth_inside": (BAG, 0.1), "lid_lining": (LINING, 0.1), "teeth_upper": (TOOTH, 0.3),
            "teeth_lower": (TOOTH, 0.3), "tongue": (TONGUE, 0.15),
        }  # fmt: skip
        for name, (colour, shine) in flat.items():
            rows = np.unique(self.triangles[self.part == name])
            colours[rows], gloss[rows] = colour, shine
        for name, centre in zip(("eye_right", "eye_left"), self.data["eyes/centre"], strict=True):
            rows = np.unique(self.triangles[self.part == name])
            away = self.mean[rows] - centre
            angle = np.degrees(np.arctan2(np.hypot(away[:, 0], away[:, 1]), away[:, 2]))[:, None]
            white = np.where(angle < RIM, (0.2, 0.15, 0.11), (0.9, 0.88, 0.86))
            iris = np.where(angle < IRIS, (0.36, 0.25, 0.16), white)
            colours[rows], gloss[rows] = np.where(angle < PUPIL, 0.04, iris), 0.6
        return colours, gloss


def label(image: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text below it."""
    paper = [round(255 * level) for level in BACKGROUND[::-1]]
    image = cv2.copyMakeBorder(image, 0, 24, 0, 0, cv2.BORDER_CONSTANT, value=paper)
    cv2.putText(image, text, (8, image.shape[0] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                (90, 80, 70), 1, cv2.LINE_AA)  # fmt: skip
    return image


def grid(images: list[np.ndarray], columns: int) -> np.ndarray:
    blank = np.full_like(images[0], [round(255 * level) for level in BACKGROUND[::-1]])
    images = images + [blank] * (-len(images) % columns)
    rows = [np.concatenate(images[i : i + columns], 1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, 0)


def sides(head: Head, size: int = 460) -> np.ndarray:
    views = [view for view in VIEWS if view != "close"]
    return grid([label(head.draw(head.mean, v, size, 320, shadows=False), v) for v in views], 3)


def people(head: Head, count: int = 64, size: int = 200) -> np.ndarray:
    """People from a normal distribution, seed 0; every second from the side."""
    generator = np.random.default_rng(0)
    images = []
    for number in range(count):
        face = head.person(generator.normal(size=len(head.data["shape_std"])))
        view = "front" if number % 2 == 0 else "close"
        images.append(head.draw(face, view, size, 340, shadows=True))
    return grid(images, 8)


def expressions(head: Head, size: int = 230) -> np.ndarray:
    """Each expression at 1; those that need an open jaw are shown with one."""
    opened = {"mouthClose": 1.0, "tongueOut": 0.5}
    images = []
    for name in head.names:
        amounts = {name: 1.0} | ({"jawOpen": opened[name]} if name in opened else {})
        text = name + (f" + jawOpen {opened[name]:g}" if name in opened else "")
        shown = head.draw(head.expression(amounts), "front", size, 190, shadows=True)
        images.append(label(shown, text))
    return grid(images, 8)


def blends(head: Head, size: int = 380) -> np.ndarray:
    images = []
    for name, amounts in BLENDS.items():
        shown = head.draw(head.expression(amounts), "front", size, 190, shadows=True)
        images.append(label(shown, name))
    return grid(images, 4)


def landmarks(head: Head, size: int = 800) -> np.ndarray:
    """iBUG's 68 in green with their numbers, irises red, the jaw's curve blue, rows across it."""
    layouts = {
        "silhouette": (150, 150, 230), "contour": (200, 120, 0), "iris": (0, 0, 255),
        "ibug68": (0, 160, 0),
    }  # fmt: skip
    images = []
    for view in ("front", "quarter"):
        image = head.draw(head.mean, view, size, 190, shadows=False)
        turn = rotation(*VIEWS[view]).T
        for name, colour in layouts.items():
            rows = head.data[f"landmarks/{name}/rows"]
            flat = ((head.mean[rows] - FACE_MIDDLE) @ turn)[:, :2] * (1, -1)
            places = np.round(flat * size / 190 + size / 2).astype(int)
            _dots(image, places, colour, numbered=name == "ibug68")
        images.append(image)
    return grid(images, 2)


def _dots(
    image: np.ndarray, places: np.ndarray, colour: tuple[int, int, int], *, numbered: bool
) -> None:
    for number, (x, y) in enumerate(places.tolist()):
        cv2.circle(image, (x, y), 3 if numbered else 2, colour, -1, cv2.LINE_AA)
        if numbered:
            font, ink = cv2.FONT_HERSHEY_SIMPLEX, (140, 0, 0)
            cv2.putText(image, str(number), (x + 4, y - 3), font, 0.38, ink, 1, cv2.LINE_AA)


def main(model: Path = MODEL, folder: Path = HERE) -> None:
    head = Head(model)
    for sheet in (sides, people, expressions, blends, landmarks):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 82]
        cv2.imwrite(str(folder / f"{sheet.__name__}.jpg"), sheet(head), quality)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
