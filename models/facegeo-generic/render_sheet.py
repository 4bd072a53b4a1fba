"""Draw the sheet of renders of this folder's README from the shipped model.

python models/facegeo-generic/render_sheet.py [model.npz] [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from models.release.shading import BACKGROUND, openness, render, rotation  # noqa: E402

MODEL = HERE / "facegeo-generic.npz"
VIEWS = {
    "front": (0, 0), "left": (-38, 0), "right": (38, 0), "profile": (-90, 0), "below": (0, 35),
    "above": (-18, -28),
}  # fmt: skip
CENTRE = np.array([0.0, -30.0, -25.0])
SKIN, LIP, BAG = (0.87, 0.67, 0.57), (0.78, 0.47, 0.43), (0.42, 0.16, 0.15)


class Face:
    """The archive's arrays, with colours for looking."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.data = {name: archive[name] for name in archive.files}
        self.basis = np.concatenate([self._basis("shape"), self._basis("expression")])
        self.names = [*self.data["shape_names"], *self.data["expression_names"]]
        self.triangles = self.data["triangles"].astype(np.int64)
        self.colours, self.gloss = self._paint()

    def _basis(self, kind: str) -> np.ndarray:
        scale = self.data[f"{kind}_basis_scale"][:, None, None] / 32767.0
        return np.asarray(self.data[f"{kind}_basis"] * scale, np.float32)

    def vertices(self, coefficients: dict[str, float] | np.ndarray) -> np.ndarray:
        if isinstance(coefficients, dict):
            given, coefficients = coefficients, np.zeros(len(self.names))
            for name, value in given.items():
                coefficients[self.names.index(name)] = value
        return np.asarray(self.data["mean"] + np.tensordot(coefficients, self.basis, 1))

    def _paint(self) -> tuple[np.ndarray, np.ndarray]:
        region = {k.split("/")[1]: v for k, v in self.data.items() if k.startswith("region/")}
        colours = np.tile(SKIN, (len(self.data["mean"]), 1))
        gloss = np.full(len(colours), 0.10)
        colours[region["lips"]], gloss[region["lips"]] = LIP, 0.16
        colours = self._soften(self._hair(colours), 2)
        colours[region["mouth_interior"]] = BAG
        colours[region["lid_lining"]] = (0.80, 0.52, 0.47)
        colours[region["nostrils"]] = (0.55, 0.33, 0.27)
        for name in ("left_eyeball", "right_eyeball"):
            rows = region[name]
            ball = self.data["mean"][rows]
            r = np.hypot(*(ball - ball[np.argmax(ball[:, 2])]).T[:2])[:, None]
            iris = np.where(r < 2.1, 0.04, 1.0) * np.where(
                r < 5.4, (0.36, 0.25, 0.16), np.where(r < 6.0, (0.2, 0.15, 0.11), (0.9, 0.88, 0.86))
            )
            colours[rows], gloss[rows] = iris, 0.7
        return colours, gloss

    def _hair(self, colours: np.ndarray) -> np.ndarray:
        """Brows and lashes, painted: the mesh has no hair."""
        x, y = np.abs(self.data["mean"][:, 0]), self.data["mean"][:, 1]
        along = np.clip((x - 12) / 42, 0, 1)
        middle = 19.0 + 5.5 * np.abs(np.sin(np.pi * along**0.8)) ** 0.8 - 2.5 * along
        thick = 4.2 * (1 - 0.72 * along)
        brow = np.exp(-(((y - middle) / thick) ** 4)) * (x > 11.5) * (x < 54) * 0.5
        lash = np.zeros(len(x), bool)
        t = self.triangles
        lining = self.data["region/lid_lining"]
        mixed = lining[t].any(1) & ~lining[t].all(1)
        lash[t[mixed].ravel()] = True
        share = np.maximum(brow, 0.75 * (lash & (self.data["mean"][:, 1] > 0.3)))[:, None]
        return colours * (1 - share) + np.array([0.25, 0.17, 0.13]) * share

    def _soften(self, colours: np.ndarray, rounds: int) -> np.ndarray:
        t = self.triangles
        turned = t[:, [1, 2, 0]]
        ends = np.concatenate([t, turned]).ravel(), np.concatenate([turned, t]).ravel()
        count = np.bincount(ends[0], minlength=len(colours))[:, None]
        for _ in range(rounds):
            near = [np.bincount(ends[0], colours[ends[1], i], len(colours)) for i in range(3)]
            colours = 0.5 * colours + 0.5 * np.stack(near, -1) / np.maximum(count, 1)
        return colours

    def draw(self, vertices: np.ndarray, view: str, size: int, sky: np.ndarray) -> np.ndarray:
        turned = (vertices - CENTRE) @ rotation(*VIEWS[view]).T
        return render(
            turned, self.triangles, self.colours, size=size, gloss=self.gloss, open_sky=sky,
            millimetres=250,
        )  # fmt: skip


def _label(image: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text below it."""
    paper = [round(255 * level) for level in BACKGROUND[::-1]]
    image = cv2.copyMakeBorder(image, 0, 26, 0, 0, cv2.BORDER_CONSTANT, value=paper)
    cv2.putText(image, text, (10, image.shape[0] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5,
                (90, 80, 70), 1, cv2.LINE_AA)  # fmt: skip
    return image


def _grid(images: list[np.ndarray], columns: int) -> np.ndarray:
    rows = [np.concatenate(images[i : i + columns], 1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, 0)


def sides(face: Face, size: int = 520) -> np.ndarray:
    """The average face from six sides."""
    mean = face.vertices({})
    sky = openness(mean, face.triangles)
    return _grid([_label(face.draw(mean, view, size, sky), view) for view in VIEWS], 3)


def modes(face: Face, which: list[str], amount: float, size: int = 300) -> np.ndarray:
    """Each mode at minus and plus an amount, seen from three quarters."""
    images = []
    sky = openness(face.vertices({}), face.triangles)  # of the average: the eye does not notice
    for name in which:
        for sign in (-1, 1):
            vertices = face.vertices({name: sign * amount})
            images.append(
                _label(face.draw(vertices, "right", size, sky), f"{name} {sign * amount:+g}")
            )
    return _grid(images, 8)


def expressions(face: Face, size: int = 340) -> np.ndarray:
    """Full movements, and two blends."""
    shown: list[tuple[str, dict[str, float]]] = [
        (name, {name: 3.5 if name == "blink_left" else 2.5})
        for name in face.names[-10:]
        if name != "blink_right"
    ]
    shown.append(("laugh", {"smile": 2.5, "jaw_open": 1.8, "lips_part": 1.5}))
    shown.append(("both eyes shut", {"blink_left": 3.7, "blink_right": 3.7}))
    shown.append(("surprise", {"jaw_open": 2.0, "brow_raise": 2.5, "pucker": 0.7}))
    images = []
    for label, coefficients in shown:
        vertices = face.vertices(coefficients)
        sky = openness(vertices, face.triangles, 24, 256)
        images.append(_label(face.draw(vertices, "front", size, sky), label))
    return _grid(images, 4)


def people(face: Face, count: int = 8, size: int = 340) -> np.ndarray:
    """Faces with shape coefficients from a normal distribution, seed 0."""
    generator = np.random.default_rng(0)
    images = []
    for number in range(count):
        coefficients = np.zeros(len(face.names))
        coefficients[:40] = generator.normal(size=40)
        vertices = face.vertices(coefficients)
        sky = openness(vertices, face.triangles, 24, 256)
        view = "front" if number % 2 == 0 else "left"
        images.append(face.draw(vertices, view, size, sky))
    return _grid(images, 4)


def main(model: Path = MODEL, folder: Path = HERE) -> None:
    face = Face(model)
    cv2.imwrite(str(folder / "sides.jpg"), sides(face))
    cv2.imwrite(str(folder / "expressions.jpg"), expressions(face))
    cv2.imwrite(str(folder / "people.jpg"), people(face))
    cv2.imwrite(str(folder / "shape_modes.jpg"), modes(face, face.names[:40], 2.5, 220))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
