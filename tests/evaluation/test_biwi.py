"""BIWI: the change of axes by hand, files of the real layout, and a head that is known."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.cli import main
from facegeo.errors import CorruptFileError, UnreadableFileError
from facegeo.evaluation import biwi
from facegeo.images.collections import Skipped

CALIBRATION = """500 0 {cx}
0 500 {cy}
0 0 1

0 0 0 0

{rotation}

{translation}

640 480
"""


def turn(axis, degrees):
    """A rotation about an axis, by the right-hand rule."""
    return cv2.Rodrigues(np.radians(degrees) * np.eye(3)["xyz".index(axis)])[0]


def rows(matrix):
    return "\n".join(" ".join(f"{v:.8f}" for v in row) for row in matrix)


def write_frame(folder, number, photo, rotation, centre=(0, 0, 1000)):
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"frame_{number:05d}"
    cv2.imwrite(f"{stem}_rgb.png", photo)
    (folder / f"{stem.name}_pose.txt").write_text(
        f"{rows(rotation)}\n\n{' '.join(map(str, centre))} \n\n"
    )


def write_calibration(folder, rotation=None, centre=(320, 240), translation=(0, 0, 0)):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rgb.cal").write_text(
        CALIBRATION.format(
            cx=centre[0],
            cy=centre[1],
            rotation=rows(np.eye(3) if rotation is None else rotation),
            translation=" ".join(map(str, translation)),
        )
    )


@pytest.mark.parametrize(
    ("axis", "degrees", "direction", "goes_to", "angles"),
    [
        # x right, y down, z away: the nose points at the camera, along -z.
        ("y", 20, (0, 0, -1), (-0.342, 0, -0.940), (20, 0, 0)),  # to the picture's left: yaw > 0
        ("x", -20, (0, 0, -1), (0, -0.342, -0.940), (0, 20, 0)),  # up: pitch > 0
        ("z", 20, (0, -1, 0), (0.342, -0.940, 0), (0, 0, 20)),  # crown to the right: roll > 0
    ],
)
def test_single_turns_by_hand(axis, degrees, direction, goes_to, angles):
    rotation = turn(axis, degrees)
    assert rotation @ direction == pytest.approx(goes_to, abs=1e-3)
    assert biwi.angles_of(rotation[None])[0] == pytest.approx(angles, abs=1e-9)


def test_angles_are_those_of_published_readers():
    """HopeNet and FSA-Net: of the transpose T, yaw = asin T20, pitch = atan2(T21, T22), ..."""
    rotation = turn("y", 35) @ turn("x", -20) @ turn("z", 10)
    T = rotation.T
    wanted = np.degrees(
        [np.arcsin(T[2, 0]), np.arctan2(T[2, 1], T[2, 2]), -np.arctan2(T[1, 0], T[0, 0])]
    )
    assert biwi.angles_of(rotation[None])[0] == pytest.approx(wanted)


def test_the_calibration_turns_the_head_with_the_camera():
    """A head straight before the depth camera, seen by one that is turned by 2 degrees."""
    angles = biwi.angles_of(np.eye(3)[None], turn("y", 2)[None])
    assert angles[0] == pytest.approx([2, 0, 0], abs=1e-9)
    # The head's own turn comes first: a nose at (-0.5, 0, -0.866), tipped up by 10 degrees.
    head, camera = turn("y", 30), turn("x", -10)
    assert camera @ head @ (0, 0, -1) == pytest.approx([-0.5, -0.150, -0.853], abs=1e-3)
    assert biwi.angles_of(head[None], camera[None])[0] == pytest.approx([30, 10, 0], abs=1e-9)


def test_files_are_read_as_they_stand(tmp_path):
    write_calibration(tmp_path, turn("z", 90), (320, 240), (100, 0, 0))
    camera = biwi.read_calibration(tmp_path / "rgb.cal")
    # (0, 200, 1000) turns to (-200, 0, 1000), moves to (-100, 0, 1000): 50 pixels to the left
    assert camera.project(np.array([0, 200, 1000])) == pytest.approx([270, 240])
    write_frame(tmp_path, 3, np.zeros((4, 4, 3), np.uint8), turn("x", 30), (1, 2, 900))
    rotation, centre = biwi.read_pose(tmp_path / "frame_00003_pose.txt")
    assert rotation == pytest.approx(turn("x", 30), abs=1e-6)
    assert centre.tolist() == [1, 2, 900]


def test_bad_samples_are_named_and_counted(tmp_path, caplog):
    black = np.zeros((40, 40, 3), np.uint8)
    write_calibration(tmp_path / "01")
    for number in range(5):
        write_frame(tmp_path / "01", number, black, np.eye(3))
    (tmp_path / "01/frame_00000_rgb.png").unlink()
    (tmp_path / "01/frame_00001_pose.txt").unlink()
    (tmp_path / "01/frame_00002_pose.txt").write_text("1 0 0\n0 1 0\n0 zero 1\n\n0 0 1\n")
    (tmp_path / "01/frame_00003_pose.txt").write_text("1 0 0\n0 2 0\n0 0 1\n\n0 0 1\n")
    write_frame(tmp_path / "02", 0, black, np.eye(3))  # without rgb.cal
    skipped = Skipped("BIWI")
    found = biwi.frames(tmp_path, skipped)
    assert [frame.photo.name for frame in found] == ["frame_00004_rgb.png"]
    assert skipped.count == 5
    for text in ("00000_rgb.png: no such", "00001_pose.txt", "'zero'", "not a rotation", "rgb.cal"):
        assert text in caplog.text
    with pytest.raises(UnreadableFileError, match="no sequence 07"):
        biwi.frames(tmp_path, skipped, ["07"])
    with pytest.raises(UnreadableFileError, match="found none"):
        biwi.frames(tmp_path / "01" / "nothing", skipped)
    (tmp_path / "01/rgb.cal").write_text("1 0 0\n")
    with pytest.raises(CorruptFileError, match="1 rows"):
        biwi.read_calibration(tmp_path / "01/rgb.cal")


def test_the_face_at_the_annotated_head_counts(tmp_path, caplog):
    """Three faces: one far away, the annotated one, one that is found on another frame only."""
    write_calibration(tmp_path / "01")
    for number, x in ((1, 0), (2, 0), (3, 600), (4, 0)):  # 300 pixels to the right
        write_frame(
            tmp_path / "01", number, np.zeros((40, 40, 3), np.uint8), np.eye(3), (x, 0, 1000)
        )

    def face(x, yaw):
        params = np.zeros(62, np.float32)
        params[[0, 5, 10]] = 1
        box = np.array([x - 50, 190, x + 50, 290], np.float32)
        return SimpleNamespace(
            box=box, params=params, pose=SimpleNamespace(yaw=yaw, pitch=0.0, roll=0.0)
        )

    class Predictor:
        def predict_photos(self, photos):
            for photo in photos:
                if photo.name.startswith("frame_00004"):
                    yield SimpleNamespace(error=UnreadableFileError(f"{photo}: damaged"), faces=[])
                else:
                    yield SimpleNamespace(error=None, faces=[face(100, 60.0), face(330, 6.0)])

    report = biwi.evaluate(Predictor(), tmp_path)
    assert (report["n"], report["not_found"], report["left_out"]) == (2, 1, 1)
    assert report["pose_mae_deg_exact"]["yaw"] == pytest.approx(6)
    assert report["curve"]["curves"]["yaw"]["y"][-1] == pytest.approx(2 / 3)
    assert "damaged" in caplog.text
    table = biwi.to_markdown(report)
    assert "| angles that facegeo returns | 6.000 | 0.000 | 0.000 | 2.000 |" in table
    assert "not in the means: 1. Frames left out: 1." in table and "frames used: all." in table


def test_a_head_whose_turn_is_known(models, sample_photo, tmp_path, capsys):
    """Annotated with what the model itself sees, in BIWI's axes: no error; 3 degrees off: 3."""
    (face,) = FaceGeometry("mb05")(sample_photo)
    flip = np.diag([1.0, -1.0, -1.0])
    own = flip @ face.pose.rotation @ flip
    x, y = (face.box[:2] + face.box[2:]) / 2
    write_calibration(tmp_path / "01", centre=(x, y))
    write_calibration(tmp_path / "02", turn("y", 3), (x, y), (-1000 * np.tan(np.radians(3)), 0, 0))
    write_frame(tmp_path / "01", 1, sample_photo, own)
    write_frame(tmp_path / "01", 2, np.zeros((90, 90, 3), np.uint8), own)
    write_frame(tmp_path / "02", 1, sample_photo, turn("y", 3).T @ own)
    arguments = ["eval", "biwi", "--data", str(tmp_path), "--model", "mb05"]
    table = tmp_path / "table.md"
    curve = tmp_path / "curve.png"
    assert main([*arguments, "--json", "--markdown", str(table), "--curve", str(curve)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n"], report["not_found"], report["left_out"]) == (2, 1, 0)
    assert report["pose_mae_deg_calibrated"]["mean"] == pytest.approx(0, abs=1e-4)
    assert report["pose_mae_deg_exact"]["yaw"] == pytest.approx(1.5, abs=0.1)  # of two frames
    assert "| M3-LRN | 3.99 | 4.78 | 2.93 | 3.90 |" in table.read_text()
    assert cv2.imread(str(curve)) is not None
    assert main([*arguments, "--sequences", "01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sequences"] == ["01"]
