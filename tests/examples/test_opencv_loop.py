"""The OpenCV loop gives the faces that facegeo's own reader gives."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from facegeo.errors import UnreadableFileError


@pytest.fixture
def clip(tmp_path, clip_frames):
    path = tmp_path / "clip.avi"
    height, width = clip_frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (width, height))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPEG")
    for image in clip_frames:
        writer.write(image)
    writer.release()
    return path


def test_frames_come_with_the_times_of_the_file(example, clip):
    loop = example("opencv_loop")
    capture = cv2.VideoCapture(str(clip))
    times = [seconds for seconds, _ in loop.frames(capture, live=False)]
    capture.release()
    assert np.allclose(np.diff(times), 0.04, atol=1e-3)
    assert len(times) == 8


def test_it_prints_one_followed_face_a_frame(example, clip, predictor, monkeypatch, capsys):
    loop = example("opencv_loop")
    monkeypatch.setattr(loop, "FaceGeometry", lambda model: predictor)
    loop.run(str(clip), live=False, model="mb05", show=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert all("face 1  yaw" in line for line in lines)
    yaw = float(lines[0].split("yaw")[1].split()[0])
    assert 10 < yaw < 60  # he looks to his own right


def test_a_window_shows_each_annotated_frame(example, clip, predictor, monkeypatch, clip_frames):
    loop = example("opencv_loop")
    shown = []
    monkeypatch.setattr(loop, "FaceGeometry", lambda model: predictor)
    monkeypatch.setattr(loop.cv2, "imshow", lambda name, image: shown.append(image))
    monkeypatch.setattr(loop.cv2, "waitKey", lambda wait: ord("q") if len(shown) == 3 else -1)
    monkeypatch.setattr(loop.cv2, "destroyAllWindows", lambda: None)
    loop.run(str(clip), live=False, model="mb05", show=True)
    assert len(shown) == 3  # q ends
    changed = np.abs(shown[0].astype(int) - clip_frames[0]).max(axis=2) > 60
    assert 200 < changed.sum() < 0.2 * changed.size


def test_a_file_that_is_no_video_is_one_clear_error(example, tmp_path, predictor, monkeypatch):
    loop = example("opencv_loop")
    monkeypatch.setattr(loop, "FaceGeometry", lambda model: predictor)
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(UnreadableFileError, match=r"no\.mp4: OpenCV cannot open it"):
        loop.run(str(tmp_path / "no.mp4"), live=False, model="mb05", show=False)


def test_without_a_display_it_names_the_option(example, tmp_path, monkeypatch, capsys):
    loop = example("opencv_loop")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a display")
    monkeypatch.setattr(sys, "argv", ["opencv_loop.py", str(tmp_path / "a.mp4")])
    assert loop.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opencv_loop.py: a window cannot be opened")
    assert "--no-window" in line
