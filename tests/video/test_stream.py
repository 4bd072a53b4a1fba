"""predictor.stream: numbers that stay, ends that are clean."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from fractions import Fraction

import cv2
import numpy as np
import pytest
from helpers.video_data import World, WorldPredictor, write_changing_clip, write_clip

from facegeo.errors import CorruptFileError, InvalidInputError, StreamError
from facegeo.track import TrackerOptions
from facegeo.video.stream import open_stream

pytestmark = pytest.mark.usefixtures("nothing_left")

PHOTO = np.zeros((240, 320, 3), np.uint8)


def stream(source, world=None, **options):
    world = world or World({"a": [100, 80, 180, 160]})
    defaults = dict(mode="offline", smooth=True, tracking=None, fps=None, timeout_s=5, color="bgr")
    return open_stream(WorldPredictor(world), source, **{**defaults, **options})


def endless():
    while True:
        yield PHOTO


def readers() -> int:
    return sum(thread.name == "facegeo-reader" for thread in threading.enumerate())


def test_frames_come_with_faces_that_have_numbers():
    frames = list(stream([PHOTO] * 20, fps=10))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.timestamp_s for frame in frames] == pytest.approx(np.arange(20) / 10)
    assert all([face.track_id for face in frame.faces] == [1] for frame in frames)
    face = frames[-1].faces[0]
    np.testing.assert_allclose(face.box, [100, 80, 180, 160], atol=1e-3)
    record = frames[-1].to_dict()
    assert (record["frame"], record["faces"][0]["track_id"]) == (19, 1)


@pytest.mark.parametrize("smooth", [True, False])
def test_smoothing_can_be_switched_off(smooth):
    world, rng = World({"a": [100, 80, 180, 160]}), np.random.default_rng(0)
    exact = world.measure

    def noisy(crops, rois, rotations):
        batch = exact(crops, rois)
        batch.landmarks[...] += rng.normal(0, 0.1, batch.landmarks.shape)
        return batch

    world.measure = noisy
    points = np.array([f.faces[0].landmarks for f in stream([PHOTO] * 80, world, smooth=smooth)])
    spread = points[30:].std(axis=0).mean()
    assert spread < 0.025 if smooth else spread > 0.08


def test_reset_forgets_who_was_there():
    frames = stream([PHOTO] * 10)
    assert next(frames).faces[0].track_id == 1
    frames.reset()
    assert next(frames).faces[0].track_id == 2
    frames.close()


@pytest.mark.parametrize("managed", [True, False])
def test_an_exception_in_the_loop_ends_everything(managed):
    with pytest.raises(ZeroDivisionError):
        if managed:
            with stream(endless()) as frames:
                for frame in frames:
                    frame.index / 0
        else:
            for frame in stream(endless()):
                frame.index / 0
    gc.collect()
    assert readers() == 0


def test_a_stream_that_is_forgotten_ends():
    frames = stream(endless())
    next(frames)
    assert readers() == 1
    gone = weakref.ref(frames)
    del frames
    gc.collect()
    assert gone() is None
    assert readers() == 0


def test_a_closed_stream_is_at_its_end():
    frames = stream(endless())
    next(frames)
    frames.close()
    assert list(frames) == []
    assert list(stream([])) == []


def test_a_detector_that_fails_ends_the_stream():
    world = World()

    def broken(photo):
        raise MemoryError("no more")

    world.look = broken
    frames = stream(endless(), world)
    with pytest.raises(MemoryError):
        next(frames)
    assert readers() == 0


def test_an_interrupt_ends_the_stream(monkeypatch):
    frames = stream(endless())
    next(frames)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(frames._tracker, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(frames)
    assert readers() == 0


def test_a_signal_in_the_middle_ends_the_stream(interruptible):
    with pytest.raises(KeyboardInterrupt), stream(endless()) as frames:
        for frame in frames:
            if frame.index == 3:
                signal.raise_signal(signal.SIGINT)
    assert readers() == 0


def test_a_source_that_stalls_ends_the_stream():
    woken = threading.Event()

    def stalling():
        yield PHOTO
        woken.wait(10)

    with pytest.raises(StreamError, match=r"no frame for 0\.1 s"):
        for _ in stream(stalling(), timeout_s=0.1):
            pass
    woken.set()


def test_the_size_may_change_in_the_middle(tmp_path):
    path = write_changing_clip(tmp_path)
    assert [frame.image.shape[1] for frame in stream(path, World())] == [64] * 4 + [96] * 4


@pytest.mark.parametrize("content", [b"", b"no video " * 100])
def test_what_is_no_video_opens_nothing(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"a\.mp4"):
        stream(path)
    with pytest.raises(StreamError, match="camera 97"):
        stream(97)


def test_a_reader_slower_than_the_camera_drops_and_goes_on():
    frames = stream([PHOTO] * 50, fps=500, mode="live")
    seen = []
    for frame in frames:
        seen.append(frame.index)
        threading.Event().wait(0.02)
    assert seen == sorted(seen)
    assert len(seen) + frames.dropped == 50
    assert frames.dropped > 10


def test_a_damaged_file_gives_its_faces_first(tmp_path):
    path = write_clip(tmp_path / "a.mkv", 40, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    count = 0
    with pytest.raises(CorruptFileError, match="cut short"):
        for _ in stream(path):
            count += 1
    assert count > 3


@pytest.mark.parametrize(
    "bad",
    [
        *[{"mode": value} for value in ("fast", ["live"], None)],
        *[{"timeout_s": value} for value in (0, "3", float("nan"), float("inf"), True, [3])],
        *[{"fps": value} for value in (-1, "30", float("nan"), 20_000, True, np.array([30, 30]))],
        *[{"smooth": value} for value in ("no", None, 1, {"landmark_noise": 1})],
        *[{"tracking": value} for value in (True, {"detect_every": 3}, TrackerOptions)],
        *[{"color": value} for value in ("BGR", None, ["rgb"])],
    ],
)
def test_refuses_bad_options(bad):
    with pytest.raises(InvalidInputError, match=f"^{next(iter(bad))}: expected"):
        stream([PHOTO], **bad)


def test_rates_may_be_fractions():
    frames = list(stream([PHOTO] * 3, fps=Fraction(30000, 1001)))
    assert frames[2].timestamp_s == pytest.approx(2 * 1001 / 30000)


@pytest.fixture(scope="session")
def used_predictor(predictor, sample_photo):
    """Its engines and OpenCV start threads of their own with their first call, which stay."""
    list(predictor.stream([cv2.resize(sample_photo, (1280, 720))] * 2))
    return predictor


def test_the_demo_clip_is_one_face_with_one_number(shared, used_predictor):
    frames = list(used_predictor.stream(shared / "data" / "photos" / "talking_head.mp4"))
    assert len(frames) == 55
    assert [[face.track_id for face in frame.faces] for frame in frames] == [[1]] * 55
    # The clip's speaker looks from one side to the other.
    yaw = [frame.faces[0].pose.yaw for frame in frames]
    assert max(yaw) > 20 > -20 > min(yaw)
