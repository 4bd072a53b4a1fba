"""The reading thread: order, bounds, dropping, ends."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from helpers.video_data import picture

from facegeo.errors import StreamError
from facegeo.video.reader import FrameReader
from facegeo.video.sources import open_source

pytestmark = pytest.mark.usefixtures("nothing_left")


def frames_of(reader):
    while (frame := reader.get()) is not None:
        yield frame


def test_offline_gives_every_frame_in_order_and_reads_a_few_ahead():
    read = []

    def pictures():
        for index in range(30):
            read.append(index)
            yield picture(index)

    reader = FrameReader(open_source(pictures()))
    reader.get()
    time.sleep(0.05)
    assert len(read) <= 8  # a slow consumer does not fill the memory
    assert [frame.index for frame in frames_of(reader)] == list(range(1, 30))
    assert reader.dropped == 0
    reader.close()


def test_live_gives_the_newest_and_counts_the_dropped():
    go = threading.Semaphore(0)

    def pictures():
        for index in range(12):
            if index in (1, 11):
                go.acquire()
            yield picture(index)

    source = open_source(pictures())
    source.is_live = True
    reader = FrameReader(source, live=True)
    assert reader.get().index == 0
    go.release()
    while reader.dropped < 9:  # frames 1 to 10 arrive while nobody looks
        time.sleep(0.001)
    assert reader.get().index == 10
    go.release()
    assert reader.get().index == 11
    assert reader.get() is None
    assert reader.dropped == 9


def test_live_plays_a_file_at_its_own_speed():
    reader = FrameReader(open_source([picture(i) for i in range(6)], fps=50), live=True)
    start = time.perf_counter()
    count = sum(1 for _ in frames_of(reader))
    assert time.perf_counter() - start >= 0.095
    assert count + reader.dropped == 6


def test_an_error_of_the_source_comes_after_its_frames():
    def pictures():
        yield picture(0)
        raise ValueError("the caller's own")

    reader = FrameReader(open_source(pictures()))
    assert reader.get().index == 0
    with pytest.raises(ValueError, match="the caller's own"):
        reader.get()
    assert reader.get() is None


def test_a_source_that_stalls_is_given_up():
    stop = threading.Event()

    def pictures():
        yield picture(0)
        stop.wait(10)

    reader = FrameReader(open_source(pictures()), timeout_s=0.1)
    reader.get()
    with pytest.raises(StreamError, match=r"no frame for 0\.1 s"):
        reader.get()
    stop.set()
    reader.close()


def test_closing_wakes_a_full_queue():
    reader = FrameReader(open_source(picture(0) for _ in iter(int, 1)))
    reader.get()
    start = time.perf_counter()
    reader.close()
    assert time.perf_counter() - start < 1
    assert reader.get() is None
    reader.close()


def test_timestamps_always_grow():
    items = [(0.0, picture(0)), (0.5, picture(1)), (0.5, picture(2)), (0.1, picture(3))]
    reader = FrameReader(open_source(items))
    assert (np.diff([frame.timestamp_s for frame in frames_of(reader)]) > 0).all()


def test_a_clock_that_starts_again_goes_on(caplog):
    items = [(i % 10 / 10 + 5, picture(i)) for i in range(20)] + [(0.0, picture(20))]
    reader = FrameReader(open_source(items, fps=10))
    moments = [frame.timestamp_s for frame in frames_of(reader)]
    assert (np.diff(moments) > 0).all()
    assert moments[:10] == pytest.approx(np.arange(10) / 10 + 5)
    assert moments[10:19] == pytest.approx([5.9] * 9, abs=0.01)  # turned back by less than a second
    assert moments[-1] == pytest.approx(6.0, abs=1e-3)
    assert "its clock starts again" in caplog.text
