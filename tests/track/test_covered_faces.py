"""Two faces side by side, one of them covered now and then: with real networks, and without."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from helpers.shared_material import REPOSITORY
from helpers.video_data import World

from facegeo.track import Tracker, TrackerOptions
from facegeo.track.tracker import DETECT_EVERY

FPS = 25.0


def is_covered(index: int, first: int, frames: int) -> bool:
    return first <= index < first + frames


@pytest.mark.parametrize("tells", [True, False])
def test_of_two_faces_the_covered_one_goes_and_the_other_stays(tells):
    world = World(tells_presence=tells)
    tracks = Tracker(world.look, world.measure, TrackerOptions())
    photo = np.zeros((270, 960, 3), np.uint8)
    left, right = [], []
    for index in range(600):
        sway = 20 * np.sin(index / 9)
        world.boxes = {"a": [200 + sway, 80, 280 + sway, 160], "b": [680 - sway, 80, 760, 160]}
        covered = is_covered(index, 151, 10) or is_covered(index, 300, 60)
        world.hidden = {"a"} if covered else set()
        found = tracks.update(photo, index / FPS)
        sides = found.batch.landmarks[:, :, 0].mean(axis=1) > 480
        left.append([number for number, side in zip(found.ids, sides, strict=True) if not side])
        right.append([number for number, side in zip(found.ids, sides, strict=True) if side])
    assert right == [[2]] * 600
    assert left[:151] == [[1]] * 151 and left[165:300] == [[1]] * 135
    gone_after = 3 if tells else 14
    assert left[300 + gone_after : 360] == [[]] * (60 - gone_after)
    assert left[360 + DETECT_EVERY :] == [[3]] * (240 - DETECT_EVERY)


@pytest.fixture(scope="module")
def presence():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        return importlib.import_module("video_presence")


@pytest.fixture(scope="module")
def predictor(installed_cache):
    """The default network, with a good detector."""
    from facegeo import FaceGeometry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
        predictor = FaceGeometry()
        predictor.detector  # noqa: B018 - opened here, while the cache is set
    return predictor


@pytest.fixture(scope="module")
def scene(shared, presence, predictor):
    pytest.importorskip("av", reason="video needs the extra [video]")
    return presence.Scene.open(predictor, shared / "data" / "photos" / "talking_head.mp4")


def test_two_real_faces_of_which_one_is_covered(presence, predictor, scene):
    short = presence.Cover(0, 150, 10, "hand")
    long = presence.Cover(0, 300, 60, "grey")
    found = presence.follow(predictor, scene, 600, (short, long), at_true_place=False)
    said = presence.judge(found, (short, long))
    assert (said["swaps"], said["strays"], said["missed_uncovered"]) == (0, 0, 0)
    assert len(said["numbers_right"]) == 1 and len(said["numbers_left"]) == 2
    kept, dropped = said["covers"]
    assert kept["number_after"] == kept["number_before"] and kept["frames_until_back"] <= 3
    assert dropped["reported_while_covered"] <= 3  # and not again before the cover goes
    assert dropped["frames_until_back"] <= DETECT_EVERY
    assert dropped["number_after"] != dropped["number_before"]
