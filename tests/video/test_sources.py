"""Frames from files, folders, iterators, URLs and cameras, good and broken."""

from __future__ import annotations

import http.server
import struct
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.video_data import noisy_picture, number_of, picture, write_changing_clip, write_clip

from facegeo.base.urls import without_password
from facegeo.errors import (
    CorruptFileError,
    FacegeoError,
    InvalidInputError,
    StreamError,
    UnreadableFileError,
)
from facegeo.video.sources import open_source

pytestmark = pytest.mark.usefixtures("nothing_left")


def read(source, **options):
    """All frames of a source: timestamps and pictures."""
    opened = open_source(source, **options)
    try:
        moments, pictures = zip(*opened.frames(), strict=True)
    finally:
        opened.close()
    return np.array(moments), list(pictures)


def numbers(pictures) -> list[int]:
    return [number_of(image) for image in pictures]


def test_the_demo_clip_has_the_frames_of_its_edit_list(shared):
    moments, pictures = read(shared / "data" / "photos" / "talking_head.mp4")
    assert len(pictures) == 55
    assert pictures[0].shape == (720, 1280, 3)
    np.testing.assert_allclose(moments, np.arange(55) / 25, atol=1e-6)


def test_fractional_rates_are_kept(tmp_path):
    path = write_clip(tmp_path / "ntsc.mp4", 40, fps=Fraction(30000, 1001))
    opened = open_source(path)
    assert opened.rate == pytest.approx(30000 / 1001, abs=1e-3)
    assert opened.length == 40
    opened.close()
    moments, pictures = read(path)
    np.testing.assert_allclose(moments, np.arange(40) * 1001 / 30000, atol=2e-4)
    assert numbers(pictures) == list(range(40))


#: Display matrices, 16.16 fixed point, by degrees clockwise, and the corner that is bright then.
_MATRICES = {
    90: ((0, 1, 0, -1, 0, 0, 0, 0, 16384), (0, -1)),
    180: ((-1, 0, 0, 0, -1, 0, 0, 0, 16384), (-1, -1)),
    270: ((0, -1, 0, 1, 0, 0, 0, 0, 16384), (-1, 0)),
}


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_undone(tmp_path, degrees):
    path = write_clip(tmp_path / "phone.mp4", 3)
    data = bytearray(path.read_bytes())
    matrix, (row, column) = _MATRICES[degrees]
    at = data.index(b"tkhd") + 4 + 40  # behind version, times, id, duration, layer, volume
    data[at : at + 36] = struct.pack(">9i", *(v if abs(v) > 1 else v << 16 for v in matrix))
    path.write_bytes(data)
    image = read(path)[1][0]
    assert image.shape[:2] == ((48, 64) if degrees == 180 else (64, 48))
    corners = {(r, c): float(image[r, c].mean()) for r in (0, -1) for c in (0, -1)}
    assert max(corners, key=corners.get) == (row, column)


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for index in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"frame{index}.png"), picture(index))
    moments, pictures = read(tmp_path, fps=10)
    assert numbers(pictures) == [1, 2, 10]
    np.testing.assert_allclose(moments, [0, 0.1, 0.2])


def test_the_callers_pictures_may_share_a_buffer():
    buffer = np.empty((48, 64, 3), np.uint8)

    def pictures():
        for index in range(5):
            buffer[:] = picture(index)
            yield 2.0 * index, buffer

    moments, found = read(pictures())
    assert numbers(found) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(moments, [0, 2, 4, 6, 8])


def test_colour_order_of_the_callers_pictures():
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 255
    assert read([red], color="rgb")[1][0][0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_truncated_file_gives_its_good_frames_and_then_one_error(tmp_path, ending):
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    path = write_clip(tmp_path / f"whole.{ending}", 60, options=options, make=noisy_picture)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    opened, count = open_source(cut), 0
    with pytest.raises(CorruptFileError, match=r"cut short after \d+ frames"):
        for _ in opened.frames():
            count += 1
    opened.close()
    assert 25 < count < 45


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.mp4", None, UnreadableFileError, "no such file"),
        ("empty.mp4", b"", CorruptFileError, "empty"),
        ("text.mp4", b"no video " * 100, CorruptFileError, "no video"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=f"{name}.*{message}"):
        open_source(path)


def test_a_video_without_frames_and_a_sound_without_picture(tmp_path):
    import av

    whole = write_clip(tmp_path / "whole.mp4", 5, options={"movflags": "faststart"})
    data = whole.read_bytes()
    headers = tmp_path / "headers.mp4"
    headers.write_bytes(data[: data.index(b"mdat") - 4])
    with pytest.raises(CorruptFileError, match=r"no frame|no video|cut short"):
        read(headers)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(CorruptFileError, match="holds no video"):
        open_source(tmp_path / "sound.mp4")


def test_frames_of_avi_come_at_even_times(tmp_path):
    for codec, coding in (
        ("libx264", {"bf": "3"}),
        ("libx264", {"bf": "0"}),
        ("mpeg4", {"bf": "2"}),
    ):
        path = write_clip(tmp_path / "a.avi", 40, fps=25, codec=codec, coding=coding)
        moments, pictures = read(path)
        np.testing.assert_allclose(moments, np.arange(40) / 25, atol=1e-6)
        assert numbers(pictures) == list(range(40))


def write_streams(path, sizes, default=0, still=None):
    """Streams of different widths; ``still`` is the number of one that is a cover picture."""
    import av

    with av.open(str(path), "w") as container:
        streams = []
        for index, width in enumerate(sizes):
            cover = index == still
            stream = container.add_stream("mjpeg" if cover else "libx264", rate=30)
            stream.width, stream.height = width, 48
            stream.pix_fmt = "yuvj420p" if cover else "yuv420p"
            stream.disposition = av.stream.Disposition(
                (av.stream.Disposition.attached_pic.value if cover else 0)
                | (av.stream.Disposition.default.value if index == default else 0)
            )
            streams.append(stream)
        for index in range(10):
            for number, stream in enumerate(streams):
                if number == still and index:
                    continue
                frame = av.VideoFrame.from_ndarray(picture(index, sizes[number]), format="bgr24")
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("default", [0, 1, 2])
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_of_several_streams_the_default_one_is_read(tmp_path, default, ending):
    sizes = (64, 96, 80)
    pictures = read(write_streams(tmp_path / f"three.{ending}", sizes, default))[1]
    assert {image.shape[1] for image in pictures} == {sizes[default]}
    assert numbers(pictures) == list(range(10))


def test_a_cover_picture_is_no_video(tmp_path):
    pictures = read(write_streams(tmp_path / "both.mp4", (96, 64), default=1, still=0))[1]
    assert [image.shape[1] for image in pictures] == [64] * 10
    with pytest.raises(CorruptFileError, match="holds no video, only a cover picture"):
        open_source(write_streams(tmp_path / "song.mp4", (96,), default=1, still=0))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".avif", ".mp4"])
def test_a_photo_is_for_another_command(tmp_path, ending):
    path = tmp_path / f"photo{ending}"
    path.write_bytes(cv2.imencode(".jpg" if ending == ".mp4" else ending, picture(0))[1].tobytes())
    with pytest.raises(InvalidInputError, match=r"a photo, not a video.*facegeo predict"):
        open_source(path)


def test_animated_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from PIL import ImageSequence

    frames = [image.fromarray(picture(index)[..., ::-1]) for index in range(4)]
    for ending in ("gif", "webp"):
        frames[0].save(
            tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], duration=40
        )
    assert numbers(read(tmp_path / "a.gif")[1]) == [0, 1, 2, 3]
    with pytest.raises(InvalidInputError, match=r"animated WebP is not supported.*ImageSequence"):
        open_source(tmp_path / "a.webp")
    with image.open(tmp_path / "a.webp") as opened:  # as the message says
        assert numbers(read(ImageSequence.Iterator(opened))[1]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "moment",
    [
        *(None, float("nan"), float("inf"), "0.04", True, 1j),
        *(datetime(2026, 1, 2), timedelta(seconds=1)),
        *(np.datetime64("2026-01-01"), np.timedelta64(1, "s")),
    ],
    ids=repr,
)
def test_times_that_are_no_numbers_are_named(moment):
    source = open_source([(0.0, picture(0)), (moment, picture(1))])
    frames = source.frames()
    next(frames)
    with pytest.raises(InvalidInputError, match=r"source: expected \(seconds, image\).*frame 1"):
        next(frames)


@pytest.mark.parametrize("moment", [1, np.float32(1), np.int64(1), Fraction(1), Decimal(1)])
def test_times_may_be_any_number(moment):
    assert read([(moment, picture(0))])[0].tolist() == [1.0]


def test_the_size_may_change(tmp_path):
    path = write_changing_clip(tmp_path)
    assert [image.shape[1] for image in read(path)[1]] == [64] * 4 + [96] * 4


def test_a_camera_that_is_not_there():
    with pytest.raises(StreamError, match="camera 97: cannot be opened"):
        open_source(97)
    with pytest.raises(InvalidInputError, match="camera index"):
        open_source(-1)


@pytest.mark.parametrize("source", [None, 1.5, True, np.zeros((4, 4)), b"bytes"])
def test_refuses_what_is_no_source(source):
    with pytest.raises(InvalidInputError, match="source: expected"):
        open_source(source)


def test_an_empty_folder_and_a_bad_rate(tmp_path):
    with pytest.raises(UnreadableFileError, match="holds no photos"):
        open_source(tmp_path)
    with pytest.raises(InvalidInputError, match="fps"):
        open_source([], fps=0)
    with pytest.raises(InvalidInputError, match="timeout_s: expected"):
        open_source("http://127.0.0.1:9/x", timeout_s="3")
    with pytest.raises(InvalidInputError, match="color: expected"):
        open_source([], color="grey")


def test_passwords_are_not_for_logs():
    shown = without_password("rtsp://user:secret@camera.local:554/main?token=abc")
    assert shown == "rtsp://camera.local:554/main"
    with pytest.raises(StreamError) as caught:
        open_source("http://user:secret@127.0.0.1:9/x", timeout_s=1)
    assert "secret" not in str(caught.value)


@contextmanager
def server(answers):
    """Answers request after request with bytes; None stalls until the end; the last one repeats."""
    done, remaining = threading.Event(), list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if data == 404:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            self.wfile.write(data[1] if isinstance(data, tuple) else data)
            self.wfile.flush()
            if isinstance(data, tuple):
                done.wait(10)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/live"
    finally:
        done.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("ts")
    return write_clip(folder / "a.ts", 15).read_bytes()


def test_a_lost_stream_is_opened_again_and_time_goes_on(transport_stream, caplog):
    with server([transport_stream]) as url:
        opened = open_source(url, timeout_s=5)
        assert opened.is_live
        moments = []
        for moment, _ in opened.frames():
            moments.append(moment)
            if len(moments) == 40:
                opened.stop()
        opened.close()
    assert (np.diff(moments[15:30]) > 0).all()
    assert moments[15] > moments[0]
    assert "lost" in caplog.text


def test_a_stream_that_does_not_come_back_is_given_up(transport_stream):
    with server([transport_stream, 404]) as url:
        opened = open_source(url, timeout_s=0.6)
        start, count = time.monotonic(), 0
        with pytest.raises(StreamError, match="lost"):
            for _ in opened.frames():
                count += 1
        opened.close()
    assert count >= 5  # the decoder holds some back that it never got the end of
    assert time.monotonic() - start < 5


def test_a_stalling_stream_is_noticed(transport_stream):
    with server([("stall", transport_stream)]) as url:
        opened = open_source(url, timeout_s=0.9)
        start = time.monotonic()
        with pytest.raises(FacegeoError):
            for _ in opened.frames():
                if time.monotonic() - start > 0.05:
                    opened._url = "http://127.0.0.1:9/gone"  # what comes back is a stall as well
        opened.close()
    assert time.monotonic() - start < 8
