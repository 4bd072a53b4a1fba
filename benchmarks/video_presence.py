"""Presence over time while faces are covered, and what its threshold tells apart.

    python benchmarks/video_presence.py --clip clip.mp4 --faces aflw2000 --backgrounds bsds500.tar

Two copies of a clip with one face, the second mirrored and half a loop ahead, play side by side,
forwards and backwards. Faces are covered for 10 frames and for 60, each time by something else. The
curve is what the network says at the place where each face really is, covered or not; the dots are
what the stream reports. The table is of single regions: faces of AFLW2000-3D in the regions that a
track would hold, the same under covers and beside the face, and background photos.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeo import FaceGeometry
from facegeo.base.files import write_bytes
from facegeo.bench.timing import machine
from facegeo.evaluation.aflw2000 import Aflw2000
from facegeo.evaluation.presence import Backgrounds
from facegeo.geometry import crop
from facegeo.images import decode_photo, encode_photo
from facegeo.images.collections import ImageCollection
from facegeo.synthetic.negatives import held_back_backgrounds
from facegeo.track import TrackerOptions
from facegeo.track.tracker import DETECT_EVERY
from facegeo.video.sources import open_source

FPS = 25.0
HALF_WH = (480, 270)
#: What is covered beyond the landmarks' box, in its height: forehead and some more, sides, chin.
_ABOVE, _BESIDE, _BELOW = 0.45, 0.15, 0.1
_THRESHOLDS = (0.3, 0.5, 0.7)
_SKIN = (120, 150, 200)


@dataclass(frozen=True)
class Cover:
    """A face behind something from frame ``first`` on; ``side`` 0 is the left one."""

    side: int
    first: int
    frames: int
    kind: str


#: What the picture in the documentation shows.
COVERS = (
    Cover(0, 80, 10, "hand"),
    Cover(0, 180, 60, "grey"),
    Cover(1, 290, 10, "patch"),
    Cover(1, 390, 60, "noise"),
    Cover(0, 500, 60, "patch"),
    Cover(1, 610, 60, "hand"),
)
FRAMES = 720


@dataclass(frozen=True, eq=False)
class Scene:
    """Two faces side by side.

    Attributes
    ----------
    images : list of (270, 480, 3) uint8
        One loop of the left half, forwards and backwards.
    landmarks : (F, 68, 3) float32
        Of the left half, in its pixels.
    patch : (h, w, 3) uint8
        What the cover "patch" shows.
    """

    pictures: list[np.ndarray]
    landmarks: np.ndarray
    patch: np.ndarray

    @classmethod
    def open(cls, predictor: FaceGeometry, clip: Path, patch: np.ndarray | None = None) -> Scene:
        """A clip with one face from beginning to end, scaled down."""
        source = open_source(clip)
        try:
            frames = (image for _, image in islice(source.frames(), 250))
            once = [cv2.resize(f, HALF_WH, interpolation=cv2.INTER_AREA) for f in frames]
        finally:
            source.close()
        found = [frame.faces for frame in predictor.stream(once, smooth=False)]
        if any(len(faces) != 1 for faces in found):
            raise SystemExit(f"{clip}: expected one face in every frame")
        points = np.array([faces[0].landmarks for faces in found])
        if patch is None:  # something of the clip itself that is no face
            patch = once[0][-90:, :90]
        return cls([*once, *once[::-1]], np.concatenate([points, points[::-1]]), patch)

    def truth(self, index: int) -> np.ndarray:
        """Landmarks of both faces in a frame, (2, 68, 3), photo pixels."""
        left, right = (self.landmarks[row].copy() for row in self._rows(index))
        right[:, 0] = 2 * HALF_WH[0] - 1 - right[:, 0]
        return np.stack([left, right])

    def frames(self, count: int, covers: Sequence[Cover] = ()) -> Iterator[np.ndarray]:
        """``(270, 960, 3)`` uint8, one after another."""
        for index in range(count):
            left, right = (self.pictures[row] for row in self._rows(index))
            frame = np.concatenate([left, right[:, ::-1]], axis=1)
            boxes = crop.landmark_boxes(self.truth(index))
            for cover in covers:
                if cover.first <= index < cover.first + cover.frames:
                    lay(frame, boxes[cover.side], cover.kind, self.patch, index)
            yield frame

    def _rows(self, index: int) -> tuple[int, int]:
        count = len(self.pictures)
        return index % count, (index + count // 4) % count


def lay(image: np.ndarray, box: np.ndarray, kind: str, patch: np.ndarray, seed: int = 0) -> None:
    """Cover a face, in place: ``grey``, ``noise``, ``patch``, ``hand``, or ``lower half``."""
    left, top, right, bottom = box
    height = bottom - top
    reach = np.array([_BESIDE, _ABOVE, _BESIDE, _BELOW]) * height
    if kind == "lower half":
        top, reach = (top + bottom) / 2, reach * [1, 0, 1, 1]
    low = np.maximum(np.array([left, top]) - reach[:2], 0).astype(int)
    high = np.maximum(np.array([right, bottom]) + reach[2:], 0).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return
    if kind == "noise":
        part[...] = np.random.default_rng(seed).integers(0, 256, part.shape, np.uint8)
    elif kind == "patch":
        part[...] = cv2.resize(patch, (part.shape[1], part.shape[0]))
    elif kind == "hand":
        _lay_hand(part)
    else:
        part[...] = 128


def _lay_hand(part: np.ndarray) -> None:
    """A palm and four fingers in the colour of skin, soft shadows between them."""
    height, width = part.shape[:2]
    palm = (width // 2, int(0.62 * height)), (int(0.58 * width), int(0.48 * height))
    cv2.ellipse(part, *palm, 0, 0, 360, _SKIN, -1, cv2.LINE_AA)
    for finger in range(4):
        x = int((0.14 + 0.24 * finger) * width)
        size = int(0.15 * width), int(0.5 * height)
        shade = tuple(c - 8 * (finger % 2) for c in _SKIN)
        cv2.ellipse(part, (x, int(0.4 * height)), size, 0, 0, 360, shade, -1, cv2.LINE_AA)


@dataclass(frozen=True, eq=False)
class Followed:
    """Report of the stream on a scene.

    Attributes
    ----------
    ids : (F, 2) int
        Number of the face on the left and on the right in each frame, 0 where none is reported.
    reported : (F, 2) float
        Its presence, NaN where none is reported.
    true_place : (F, 2) float
        What the network says where the face is or would be.
    strays : int
        Reported faces that are nowhere near a face, or second ones on the same.
    """

    ids: np.ndarray
    reported: np.ndarray
    true_place: np.ndarray
    strays: int


def follow(
    predictor: FaceGeometry,
    scene: Scene,
    count: int,
    covers: Sequence[Cover] = (),
    *,
    options: TrackerOptions | None = None,
    at_true_place: bool = True,
) -> Followed:
    """Run the stream over a scene."""
    ids = np.zeros((count, 2), int)
    reported, true_place = np.full((2, count, 2), np.nan)
    strays = 0
    stream = predictor.stream(scene.frames(count, covers), fps=FPS, tracking=options)
    for frame in stream:
        truth = scene.truth(frame.index)
        boxes = crop.landmark_boxes(truth)
        if at_true_place:
            rois = crop.rois_from_landmarks(truth)
            true_place[frame.index] = predictor.predict_crops(
                crop.crop_faces(frame.image, rois, predictor.crop_size), rois
            ).presence
        for face in frame.faces:
            middle = face.landmarks[:, :2].mean(axis=0)
            side = int(middle[0] >= HALF_WH[0])
            inside = (boxes[side][:2] < middle) & (middle < boxes[side][2:])
            if ids[frame.index, side] or not inside.all():
                strays += 1
                continue
            ids[frame.index, side] = face.track_id
            reported[frame.index, side] = face.presence
    return Followed(ids, reported, true_place, strays)


def judge(found: Followed, covers: Sequence[Cover]) -> dict[str, Any]:
    """Numbers that were given, swaps, and what became of each covered face."""
    sides = [set(column[column > 0].tolist()) for column in found.ids.T]
    events = []
    for cover in covers:
        ids, end = found.ids[:, cover.side], cover.first + cover.frames
        gone = np.flatnonzero(ids[cover.first : end] == 0)
        back = np.flatnonzero(ids[end:] > 0)
        events.append(
            {
                **cover.__dict__,
                "frames_until_dropped": int(gone[0]) if len(gone) else None,
                "reported_while_covered": int((ids[cover.first : end] > 0).sum()),
                "frames_until_back": int(back[0]) if len(back) else None,
                "number_before": int(ids[cover.first - 1]),
                "number_after": int(ids[end + back[0]]) if len(back) else None,
            }
        )
    covered = np.zeros(found.ids.shape, bool)
    for cover in covers:
        # Until its number is forgotten a face is looked for every third frame.
        known = cover.frames < TrackerOptions().memory_s * FPS
        found_in = 4 if known else DETECT_EVERY + 1
        covered[cover.first : cover.first + cover.frames + found_in, cover.side] = True
    return {
        "frames": len(found.ids),
        "numbers_left": sorted(sides[0]),
        "numbers_right": sorted(sides[1]),
        "swaps": len(sides[0] & sides[1]),
        "strays": found.strays,
        "missed_uncovered": int((found.ids[~covered] == 0).sum()),
        "covers": events,
    }


def measure_regions(
    predictor: FaceGeometry, faces: Aflw2000, backgrounds: Path
) -> dict[str, np.ndarray]:
    """Presence of single regions: kind -> (N,)."""
    patches = held_back_backgrounds(backgrounds)
    found: dict[str, list[np.ndarray]] = {}
    for number, (image, points) in enumerate(zip(faces.photos(), faces.original, strict=True)):
        roi = crop.rois_from_landmarks(points[None])
        roi = crop.rois_from_landmarks(_measured(predictor, image, roi).landmarks)
        box = crop.landmark_boxes(points[None])[0]
        rng = np.random.default_rng(number)
        patch = _patch(patches, rng)
        kinds = {"face": image}
        for kind in ("lower half", "grey", "noise", "patch", "hand"):
            kinds[kind] = image.copy()
            lay(kinds[kind], box, kind, patch, number)
        crops = [crop.crop_faces(view, roi, predictor.crop_size)[0] for view in kinds.values()]
        rois = [roi[0]] * len(kinds)
        angle = rng.uniform(0, 2 * np.pi)
        size = float(np.sqrt((box[2:] - box[:2]).prod()))
        for part in (0.25, 0.5, 1.0):
            away = part * size * np.array([np.cos(angle), np.sin(angle)])
            moved = roi + np.tile(away, 2).astype(np.float32)
            kinds[f"{part:g} faces beside"] = image
            crops.append(crop.crop_faces(image, moved, predictor.crop_size)[0])
            rois.append(moved[0])
        batch = predictor.predict_crops(np.stack(crops), np.array(rois, np.float32))
        for kind, value in zip(kinds, batch.presence, strict=True):
            found.setdefault(kind, []).append(value)
    squares = Backgrounds.open(backgrounds).crops
    squares = crop.resized_crops(squares, predictor.crop_size)
    whole = np.tile(np.array([0, 0, *squares.shape[1:3]], np.float32), (len(squares), 1))
    result = {kind: np.array(values) for kind, values in found.items()}
    return {**result, "background photos": predictor.predict_crops(squares, whole).presence}


def _measured(predictor: FaceGeometry, image: np.ndarray, roi: np.ndarray) -> Any:
    return predictor.predict_crops(crop.crop_faces(image, roi, predictor.crop_size), roi)


def _patch(images: ImageCollection, rng: np.random.Generator) -> np.ndarray:
    index = int(rng.integers(len(images.names)))
    image = decode_photo(images.read(index), images.names[index])
    side = min(image.shape[:2]) // 2
    y, x = (int(rng.integers(0, extent - side)) for extent in image.shape[:2])
    return image[y : y + side, x : x + side]


def table(regions: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row for each kind: quantiles, and the part below some thresholds."""
    return [
        {
            "kind": kind,
            "n": len(values),
            **{f"q{q:02d}": float(np.percentile(values, q)) for q in (1, 5, 50, 95, 99)},
            **{f"below_{t:g}": float((values < t).mean()) for t in _THRESHOLDS},
        }
        for kind, values in regions.items()
    ]


_COLOURS = (
    (180, 90, 20),
    (40, 120, 230),
    (60, 150, 60),
    (150, 60, 150),
    (30, 30, 200),
    (160, 160, 0),
)
_INK, _CURVE, _COVERED = (60, 60, 60), (185, 185, 185), (222, 238, 250)


def draw(found: Followed, covers: Sequence[Cover], threshold: float) -> np.ndarray:
    """A row for each face: presence where it is (grey), and as reported (a colour a number)."""
    height, left, right, top, bottom = 250, 50, 20, 40, 34
    width = left + right + round(1.4 * len(found.ids))
    rows = []
    for side, name in enumerate(("left face", "right face")):
        row = np.full((height, width, 3), 255, np.uint8)

        def at(frame: float, value: float) -> tuple[int, int]:
            y = height - bottom - value * (height - top - bottom)
            return round(left + frame * (width - left - right) / len(found.ids)), round(y)

        _draw_axes(row, at, found, covers, side, threshold)
        _text(row, f"presence of the {name}", (left, 18), 0.5)
        curve = np.array([at(i, v) for i, v in enumerate(found.true_place[:, side])], np.int32)
        cv2.polylines(row, [curve], False, _CURVE, 1, cv2.LINE_AA)
        for number in np.unique(found.ids[:, side]):
            _draw_track(row, at, found, side, int(number))
        rows.append(row)
    return np.concatenate(rows)


At = Callable[[float, float], tuple[int, int]]


def _draw_axes(
    row: np.ndarray,
    at: At,
    found: Followed,
    covers: Sequence[Cover],
    side: int,
    threshold: float,
) -> None:
    count = len(found.ids)
    for cover in covers:
        if cover.side == side:
            end = cover.first + cover.frames
            cv2.rectangle(row, at(cover.first, 1), at(end, 0), _COVERED, -1)
            x, y = at(cover.first, 1)
            _text(row, f"{cover.kind}, {cover.frames}", (x, y - 5), 0.38)
    for value in (0.0, 0.5, 1.0):
        x, y = at(0, value)
        _text(row, f"{value:.1f}", (x - 32, y + 4), 0.4)
    for frame in range(0, count + 1, 100):
        x, y = at(frame, 0)
        cv2.line(row, (x, y), (x, y + 4), _INK, 1)
        _text(row, str(frame), (x - 10, y + 18), 0.4)
    for frame in range(0, count, 12):  # dashes
        cv2.line(row, at(frame, threshold), at(frame + 6, threshold), (60, 60, 200), 1)
    cv2.rectangle(row, at(0, 1), at(count, 0), _INK, 1)


def _draw_track(row: np.ndarray, at: At, found: Followed, side: int, number: int) -> None:
    frames = np.flatnonzero(found.ids[:, side] == number)
    if number == 0 or len(frames) == 0:
        return
    colour = _COLOURS[(number - 1) % len(_COLOURS)]
    for frame in frames:
        cv2.circle(row, at(frame, found.reported[frame, side]), 2, colour, -1, cv2.LINE_AA)
    x, y = at(frames[0], 1)
    _text(row, f"#{number}", (x + 4, y + 22), 0.5, colour)


def _text(
    image: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: Any = _INK
) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True, help="one face in every frame")
    parser.add_argument("--faces", type=Path, help="folder of AFLW2000-3D photos, for the table")
    parser.add_argument("--backgrounds", type=Path, help="tar or folder of photos, for the table")
    parser.add_argument("--model", default="default")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    predictor = FaceGeometry(options.model, detector=options.detector)
    threshold = TrackerOptions().least_presence
    patch = None
    if options.backgrounds:
        patch = _patch(held_back_backgrounds(options.backgrounds), np.random.default_rng(0))
    scene = Scene.open(predictor, options.clip, patch)
    plain = follow(predictor, scene, 600, at_true_place=False)
    found = follow(predictor, scene, FRAMES, COVERS)
    report: dict[str, Any] = {
        "benchmark": "presence",
        "machine": machine(),
        "runs": predictor.info(),
        "threshold": threshold,
        "uncovered": judge(plain, ()),
        "covered": judge(found, COVERS),
    }
    if options.faces and options.backgrounds:
        faces = Aflw2000.open(options.faces)
        report["regions"] = table(measure_regions(predictor, faces, options.backgrounds))
    text = json.dumps(report, indent=1) + "\n"
    print(text, end="")
    write_bytes(options.out / f"presence-{predictor.card.name}.json", text.encode())
    image = draw(found, COVERS, threshold)
    write_bytes(options.out / "presence.jpg", encode_photo(image, ".jpg"))


if __name__ == "__main__":
    main()
