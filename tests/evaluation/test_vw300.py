"""300VW: point files, errors by hand, videos of the real layout with bad parts."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from facegeo.cli import main
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation import vw300


def face_points():
    """68 points whose outer eye corners are 50 pixels apart, in a box of 100 x 64."""
    points = np.random.default_rng(1).uniform(30, 60, (68, 2))
    points[0], points[1] = (20, 10), (120, 74)
    points[36], points[45] = (40, 30), (70, 70)
    return points


def write_pts(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"{x + 1:.6f} {y + 1:.6f}" for x, y in points)
    path.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n")


def write_video(path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (width, height))
    assert video.isOpened()
    for frame in frames:
        video.write(frame)
    video.release()


def shift_by(pixels):
    return np.array([pixels, 0])


def brightness(value):
    return np.full((96, 160, 3), value, np.uint8)


class Predictor:
    """A frame's brightness says by how many pixels the face is missed; 200 and more: not at all.

    A second face lies beside it.
    """

    def predict_photos(self, photos):
        for photo in photos:
            shift = round(float(photo.mean()) / 10)
            found = (
                []
                if shift >= 20
                else [face_points() + shift_by(300), face_points() + shift_by(shift)]
            )
            faces = [
                SimpleNamespace(landmarks=np.pad(points, ((0, 0), (0, 1)))) for points in found
            ]
            yield SimpleNamespace(error=None, faces=faces)


@pytest.fixture
def videos(tmp_path):
    """Two videos of three frames: missed by 0, 2 and 5 pixels; by 0 and 0, and then not found."""
    for name, values in (("001", (0, 20, 50)), ("002", (0, 0, 250))):
        write_video(tmp_path / name / "vid.avi", [brightness(v) for v in values])
        for number in (1, 2, 3):
            write_pts(tmp_path / name / "annot" / f"{number:06d}.pts", face_points())
    return tmp_path


def test_errors_by_hand():
    truth = face_points()
    interocular, box = vw300.point_errors((truth + np.array([3, 4]))[None], truth[None])
    assert interocular == pytest.approx([100 * 5 / 50])
    assert box == pytest.approx([100 * 5 / 80])


def test_point_files_count_pixels_from_1(tmp_path):
    write_pts(tmp_path / "a.pts", face_points())
    assert "21.000000 11.000000" in (tmp_path / "a.pts").read_text()
    assert vw300.read_pts(tmp_path / "a.pts") == pytest.approx(face_points(), abs=1e-5)


def test_figures_of_known_videos(videos):
    report = vw300.evaluate(Predictor(), videos)
    first, second = report["videos"]["001"], report["videos"]["002"]
    assert first["per_frame"]["interocular_percent"] == pytest.approx([0, 4, 10], abs=1e-5)
    assert first["per_frame"]["box_percent"] == pytest.approx([0, 2.5, 6.25], abs=1e-5)
    assert (first["failed"], first["not_found"]) == (1, 0)
    assert first["interocular_percent"] == pytest.approx(14 / 3)
    assert (second["failed"], second["not_found"]) == (1, 1)
    assert second["interocular_percent"] == pytest.approx(0, abs=1e-5)
    assert report["all"]["frames"] == 6 and report["all"]["failed"] == 2
    assert report["all"]["box_percent"] == pytest.approx(8.75 / 5)
    curve = report["curve"]["curves"]["of the eyes' distance"]
    at_5 = curve["y"][curve["x"].index(5.0)]
    assert at_5 == pytest.approx(4 / 6)  # 10 % and the frame without a face lie beyond
    assert "| 001 | 3 | 0 | 1 | 0 | 4.667 | 2.917 |" in vw300.to_markdown(report)


def test_every_other_frame(videos):
    report = vw300.evaluate(Predictor(), videos, every=2)
    assert report["videos"]["001"]["per_frame"]["number"] == [1, 3]
    assert "Frames used: one in 2." in vw300.to_markdown(report)


def test_bad_parts_are_named_and_counted(videos, caplog):
    annotations = videos / "001" / "annot"
    (annotations / "000001.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n")
    write_pts(annotations / "000002.pts", face_points()[:60])
    write_pts(annotations / "000009.pts", face_points())
    (videos / "002/vid.avi").write_bytes(b"no video")
    write_pts(videos / "003/annot/000001.pts", face_points())
    report = vw300.evaluate(Predictor(), videos)
    assert list(report["videos"]) == ["001"] and report["videos_left_out"] == 2
    assert report["videos"]["001"]["left_out"] == 3
    assert report["videos"]["001"]["per_frame"]["number"] == [3]
    for text in ("000001.pts", "(60, 2)", "000009.pts: the video has no", "002/vid", "003/vid"):
        assert text in caplog.text
    for path in annotations.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CorruptFileError, match="none of its 3 videos"):
        vw300.evaluate(Predictor(), videos)
    with pytest.raises(UnreadableFileError, match="annot"):
        vw300.evaluate(Predictor(), videos / "001" / "annot")


def test_the_command_on_a_face_that_is_known(models, predictor, sample_photo, tmp_path, capsys):
    """Annotated with what the model sees; compression of the video moves it by a little."""
    (face,) = predictor(sample_photo)
    write_video(tmp_path / "001/vid.avi", [sample_photo, sample_photo])
    for number in (1, 2):
        write_pts(tmp_path / f"001/annot/{number:06d}.pts", face.landmarks[:, :2])
    curve = tmp_path / "curve.png"
    arguments = ["eval", "300vw", "--data", str(tmp_path), "--model", "mb05", "--json"]
    assert main([*arguments, "--curve", str(curve)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["all"]["frames"] == 2 and report["all"]["not_found"] == 0
    assert report["all"]["interocular_percent"] < 2
    assert cv2.imread(str(curve)) is not None
