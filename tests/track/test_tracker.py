"""Who is who, in a world where the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.video_data import NoMesh, World

from facegeo.errors import InvalidInputError
from facegeo.track import FaceSmoother, Tracker, TrackerOptions
from facegeo.track.tracker import TWICE

FPS = 25.0
PHOTO = np.zeros((480, 640, 3), np.uint8)


def box(x: float, y: float = 200, size: float = 80) -> list[float]:
    return [x - size / 2, y - size / 2, x + size / 2, y + size / 2]


def tracker(world: World, **options) -> Tracker:
    return Tracker(world.look, world.measure, TrackerOptions(**options))


def follow(world, frames, change=lambda index: None, tracks=None, photo=PHOTO, first=0):
    """Ids and landmarks of each frame while ``change(index)`` moves the world."""
    tracks = tracks or tracker(world)
    result = []
    for index in range(first, first + frames):
        change(index)
        found = tracks.update(photo, index / FPS)
        result.append((found.ids, found.batch.landmarks))
    return result


def centres(found):
    ids, landmarks = found
    return {
        number: float(points[:2, 0].mean()) for number, points in zip(ids, landmarks, strict=True)
    }


@pytest.mark.parametrize(("tells", "most"), [(True, 5), (False, 11)])
def test_a_moving_face_keeps_its_number_and_needs_few_detections(tells, most):
    world = World(tells_presence=tells)

    def move(index):
        world.boxes = {"a": box(150 + 3 * index)}

    found = follow(world, 100, move)
    assert [ids for ids, _ in found] == [[1]] * 100
    assert centres(found[-1])[1] == pytest.approx(150 + 3 * 99, abs=0.01)
    assert world.detections <= most


def test_faces_enter_and_leave():
    world = World({"a": box(100)})

    def change(index):
        if index == 20:
            world.boxes["b"] = box(400)
        if index == 60:
            del world.boxes["a"]

    found = follow(world, 100, change)
    assert found[19][0] == [1]
    assert found[20 + 30][0] == [1, 2]
    assert found[60 + 3][0] == [2]
    assert found[-1][0] == [2]


@pytest.mark.parametrize("tells", [True, False])
def test_faces_that_cross_keep_their_numbers(tells):
    world = World(tells_presence=tells)

    def cross(index):
        a, b = 100 + 4 * index, 500 - 4 * index
        world.boxes = {"a": box(a), "b": box(b, 210)}
        world.hidden = {"b"} if abs(a - b) < 60 else set()

    found = follow(world, 100, cross)
    start, end = centres(found[0]), centres(found[-1])
    left, right = sorted(start, key=start.get)
    assert end == {
        left: pytest.approx(100 + 4 * 99, abs=0.1),
        right: pytest.approx(500 - 4 * 99, abs=0.1),
    }
    assert set().union(*(ids for ids, _ in found)) == {1, 2}


@pytest.mark.parametrize(("tells", "delay"), [(True, 3), (False, 14)])
def test_a_face_covered_for_long_is_dropped_and_not_imagined(tells, delay):
    world = World({"a": box(300)}, tells_presence=tells)

    def cover(index):
        world.hidden = {"a"} if 40 <= index < 100 else set()

    ids = [ids for ids, _ in follow(world, 130, cover)]
    assert ids[39] == [1]
    assert ids[40 + delay : 100] == [[]] * (60 - delay)
    assert ids[105:] == [[2]] * 25


@pytest.mark.parametrize("tells", [True, False])
def test_a_face_covered_for_ten_frames_keeps_its_number(tells):
    world = World({"a": box(300)}, tells_presence=tells)

    def cover(index):
        world.hidden = {"a"} if 41 <= index < 51 else set()

    ids = [ids for ids, _ in follow(world, 90, cover)]
    assert set(map(tuple, ids)) <= {(1,), ()}
    assert ids[56:] == [[1]] * 34


def test_what_the_network_does_not_believe_is_never_reported():
    world = World({"a": box(300)})
    world.measure_truth = world.measure

    def unbelieving(crops, rois, rotations):
        batch = world.measure_truth(crops, rois)
        batch.presence[:] = 0.1
        return batch

    tracks = Tracker(world.look, unbelieving)
    assert [ids for ids, _ in follow(world, 10, tracks=tracks)] == [[]] * 10


def test_one_face_found_twice_is_one():
    world = World({"a": box(300), "again": box(304, 203)})
    assert follow(world, 5)[-1][0] == [1]


def test_a_change_of_resolution_keeps_the_numbers():
    world = World({"a": box(100), "b": box(400)})
    tracks = tracker(world)
    follow(world, 10, tracks=tracks)
    world.boxes = {"a": box(50, 100, 40), "b": box(200, 100, 40)}
    small = np.zeros((240, 320, 3), np.uint8)
    found = follow(world, 5, tracks=tracks, photo=small, first=10)
    assert centres(found[0]) == {1: pytest.approx(50, abs=0.1), 2: pytest.approx(200, abs=0.1)}
    assert found[-1][0] == [1, 2]


def test_a_face_that_leaves_the_picture_goes():
    world = World(tells_presence=False)

    def leave(index):
        world.boxes = {"a": box(600 + 10 * index)} if index < 10 else {}

    assert follow(world, 40, leave)[-1][0] == []


class Asked:
    """A look at what the detector has found, by a world's network."""

    def __init__(self, world: World, believes: bool = True) -> None:
        self.world, self.believes = world, believes
        self.scores: list[list[float]] = []

    def __call__(self, photo, regions, scores):
        self.scores.append([round(float(score), 2) for score in scores])
        batch = self.world.measure(regions.crops(photo, 120), regions.rois, regions.rotations)
        return batch, np.full(len(regions), self.believes)


def test_a_newcomer_that_is_not_believed_is_never_reported():
    world = World({"a": box(300)})
    look = Asked(world, believes=False)
    tracks = Tracker(world.look, world.measure, look=look)
    assert [ids for ids, _ in follow(world, 10, tracks=tracks)] == [[]] * 10
    assert look.scores == [[0.9]] * 4  # the detector runs every three frames
    look.believes = True
    assert follow(world, 3, tracks=tracks, first=10)[-1][0] == [1]


@pytest.mark.parametrize(("presence", "times"), [(0.995, 1), (0.98, 3)])
def test_faces_that_are_simply_followed_are_looked_at_once(presence, times):
    world = World({"a": box(300)})
    exact = world.measure

    def measure(crops, rois, rotations):
        batch = exact(crops, rois)
        batch.presence[:] = presence
        return batch

    look = Asked(world)
    world.measure = measure
    tracks = Tracker(world.look, world.measure, look=look)
    assert [ids for ids, _ in follow(world, 70, tracks=tracks)] == [[1]] * 70
    assert look.scores == [[0.9]] * times  # every 30 frames, where it is not sure


def test_a_face_that_was_doubtful_is_turned_over_at_the_next_detection():
    """What is followed upright, with little presence, stands on its head."""
    world = World({"a": box(300)})

    def measure(crops, rois, rotations):
        batch = world.measure(crops, rois)
        for points, degrees in zip(batch.landmarks, rotations, strict=True):
            if abs(degrees) > 90:
                middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
                points[:, :2] = 2 * middle - points[:, :2]
        batch.presence[:] = np.where(np.abs(rotations) > 90, 0.999, 0.7)
        return dataclasses.replace(batch, rotations=np.asarray(rotations, np.float32))

    knows = []

    def look(photo, regions, scores):
        turns = np.full(len(regions), 180.0 if knows else 0.0, np.float32)
        return measure(None, regions.rois, turns), np.ones(len(regions), bool)

    tracks = Tracker(world.look, measure, look=look)
    for index in range(60):
        if index == 5:
            knows.append(True)
        found = tracks.update(PHOTO, index / FPS)
        assert found.ids == [1]
        assert (abs(found.batch.rotations[0]) == 180) == (index >= 30)
        assert (found.batch.presence[0] > 0.99) == (index >= 30)


def test_a_box_around_more_than_a_face_that_is_followed_is_no_second_face():
    world = World({"a": box(300)})
    exact, big = world.measure, box(300, size=200)

    def look(photo):
        found = world.look(photo)
        boxes = np.concatenate([found.boxes, np.float32([big])])
        return dataclasses.replace(
            found, boxes=boxes, scores=np.float32([0.9, 0.7]), rotations=None
        )

    def measure(crops, rois, rotations):
        batch = exact(crops, rois)
        for points, roi in zip(batch.landmarks, rois, strict=True):
            if roi[2] - roi[0] > 200:  # a face as large as the region is imagined
                points[:, :2] = 300, 200
                points[:2, :2] = big[:2], big[2:]
        return batch

    assert TWICE > 0.5 > (80 / 200) ** 2  # by their union they are two
    tracks = Tracker(lambda photo: look(photo) if frames else world.look(photo), measure)
    frames: list[int] = []
    for index in range(70):
        assert tracks.update(PHOTO, index / FPS).ids == [1]
        frames.append(index)


def test_most_faces_and_reset():
    world = World({"a": box(100), "b": box(400)})
    tracks = tracker(world, max_faces=1)
    assert follow(world, 40, tracks=tracks)[-1][0] == [1]
    tracks.reset()
    assert follow(world, 1, tracks=tracks, first=40)[-1][0] == [2]


def test_nothing_to_see():
    assert [ids for ids, _ in follow(World(), 5)] == [[]] * 5


@pytest.mark.parametrize(
    "bad",
    [
        {"detect_every": 0},
        {"detect_every": "3"},
        {"search_every": None},
        {"patience": 0},
        {"patience": 2.5},
        {"max_faces": True},
        {"least_presence": 2},
        {"least_presence": "x"},
        {"memory_s": -1},
        {"memory_s": float("nan")},
    ],
    ids=str,
)
def test_refuses_bad_options(bad):
    with pytest.raises(InvalidInputError, match=f"^{next(iter(bad))}: expected .*, got"):
        TrackerOptions(**bad)


#: Number of a frame -> its time, as callers get it from cameras, queues and files.
CLOCKS = {
    "even": lambda i: i / 25,
    "pairs a millisecond apart": lambda i: i // 2 * 0.08 + i % 2 * 0.001,
    "bursts of five": lambda i: i // 5 * 0.2 + i % 5 * 0.002,
    "bursts of ten": lambda i: i // 10 * 0.4 + i % 10 * 0.001,
    "equal": lambda i: 0.0,
    "swapped": lambda i: (i ^ 1) / 25,
    "backwards": lambda i: -i / 25,
    "starting again": lambda i: i % 40 / 25,
    "a jitter": lambda i: i / 25 + float(np.random.default_rng(i).uniform(-0.06, 0.06)),
    "a thousand a second": lambda i: i / 1000,
}


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("name", list(CLOCKS))
def test_a_panning_portrait_is_one_person_whatever_the_clock_says(name, tells):
    world, smoothers = World(tells_presence=tells), {}
    tracks = tracker(world)
    for index in range(100):
        x = 320 + 150 * np.sin(2 * np.pi * index / 50)  # up to 19 pixels a frame
        world.boxes = {"a": box(x, size=100), "b": box(x + 160, size=100)}
        moment = CLOCKS[name](index)
        found = tracks.update(PHOTO, moment)
        assert found.ids == [1, 2], f"frame {index}"
        faces = found.batch.faces(found.batch.rois, found.scores, NoMesh())
        for number, face in zip(found.ids, faces, strict=True):
            smoother = smoothers.setdefault(number, FaceSmoother())
            smooth = smoother(face, moment, found.batch.convention)
            away = np.linalg.norm(smooth.landmarks - face.landmarks, axis=1).mean()
            assert away < 4, f"frame {index}: smoothed landmarks stay behind"


@pytest.mark.parametrize("tells", [True, False])
def test_a_face_that_moved_on_while_frames_were_dropped_is_not_imagined(tells):
    world = World(tells_presence=tells)
    tracks = tracker(world)
    for moment in [0.0, 0.04, 0.08, 0.12, 0.16, 0.36, 0.4, 0.44, 0.48]:
        x = 100 + 300 * moment  # 12 pixels a frame, then 60 at once: outside the crop
        world.boxes = {"a": box(x)}
        found = tracks.update(PHOTO, moment)
        assert found.ids == [1]
        if moment != 0.36:
            assert centres((found.ids, found.batch.landmarks))[1] == pytest.approx(x, abs=0.1)


@pytest.mark.parametrize("moment", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_refused(moment):
    with pytest.raises(InvalidInputError, match="now_s: expected a finite number of seconds"):
        tracker(World()).update(PHOTO, moment)
