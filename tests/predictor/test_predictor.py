"""The whole flow on real photos."""

import json
import logging
import pickle
from contextlib import suppress

import cv2
import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.base import pickles
from facegeo.errors import (
    BatchError,
    CorruptFileError,
    InvalidImageError,
    InvalidInputError,
    MissingBasisError,
    ModelNotFoundError,
    UnreadableFileError,
)
from facegeo.geometry import crop

#: Dev photos by what a person sees in them: which way, in the picture, the head turns or leans.
SEEN = {
    "left": ["image00259.jpg", "image02728.jpg", "image01943.jpg"],
    "right": ["image01733.jpg", "image00735.jpg", "image01283.jpg"],
    "up": ["image00377.jpg", "image00303.jpg", "image00514.jpg"],
    "down": ["image02545.jpg", "image01061.jpg", "image00909.jpg"],
    "leaning right": ["image00585.jpg", "image00135.jpg", "image00215.jpg"],
    "leaning left": ["image04304.jpg", "image00984.jpg", "image00511.jpg"],
}

PHOTOS = ["emma.jpg", "trump_hillary.jpg", "JianzhuGuo.jpg"]
COUNTS = [3, 2, 1]


@pytest.fixture(scope="module")
def paths(shared):
    return [shared / "data/photos" / name for name in PHOTOS]


def test_landmarks_equal_upstream_on_the_reference_photos(predictor, paths, shared):
    reference = json.loads((shared / "reference/photos_faceboxes_mb05.json").read_text())
    for path in paths:
        faces = predictor(path)
        expected = reference[path.name]
        assert len(faces) == len(expected)
        for face, upstream in zip(faces, expected, strict=True):
            assert np.abs(face.box - upstream["box_xyxy_score"][:4]).max() < 1
            assert np.abs(face.landmarks[:, :2] - upstream["landmarks_xy"]).max() < 1


@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_parameters_and_landmarks_equal_upstream_on_the_dev_crops(models, dev, shared, backend):
    reference = np.load(shared / "reference/mb05_aflw2000_dev.npz")
    statistics = pickles.load(shared / "upstream/3ddfa_v2/param_mean_std_62d_120x120.pkl")
    batch = FaceGeometry("mb05", backend=backend).predict_crops(dev.crops(), dev.rois)
    difference = np.abs(batch.params - reference["params62"]) / statistics["std"]
    assert difference.max() < 1e-3
    expected = reference["landmarks_image_px"].transpose(0, 2, 1)
    # Upstream's depth begins where its network has it; ours at the eyes.
    points = batch.landmarks + batch.depths[:, None, None] * np.float32([0, 0, 1])
    assert np.abs(points - expected).max(axis=(0, 1)).max() < 0.02
    convention = crop.CONVENTIONS["3ddfa"]
    in_crop = crop.photo_to_crop(points, dev.rois, convention)
    assert np.abs(in_crop - reference["landmarks_crop_px"].transpose(0, 2, 1)).max() < 0.02


def test_a_list_gives_the_same_as_one_by_one(predictor, paths):
    together = predictor(paths)
    assert [len(faces) for faces in together] == COUNTS
    for faces, path in zip(together, paths, strict=True):
        for face, alone in zip(faces, predictor(path), strict=True):
            assert np.abs(face.landmarks - alone.landmarks).max() < 0.02


def test_arrays_paths_and_pil_images_give_the_same(predictor, sample_photo):
    rgb = np.ascontiguousarray(sample_photo[:, :, ::-1])
    (expected,) = predictor(sample_photo)
    forms = [(rgb, "rgb")]
    with suppress(ImportError):
        from PIL import Image

        forms.append((Image.fromarray(rgb), "bgr"))
    for source, color in forms:
        (face,) = predictor(source, color=color)
        assert np.array_equal(face.landmarks, expected.landmarks)


def test_network_calls_are_split_at_the_batch_size(models, dev):
    crops, rois = dev.crops()[:7], dev.rois[:7]
    whole = FaceGeometry("mb05").predict_crops(crops, rois)
    split = FaceGeometry("mb05", batch_size=3).predict_crops(crops, rois)
    assert np.abs(whole.landmarks - split.landmarks).max() < 0.01


def test_no_face_and_no_crops_are_empty(predictor):
    assert predictor(np.full((200, 300, 3), 90, np.uint8)) == []
    assert predictor([]) == []
    assert predictor(np.full((200, 300, 3), 90, np.uint8), boxes=[]) == []
    batch = predictor.predict_crops(np.zeros((0, 120, 120, 3), np.uint8), np.zeros((0, 4)))
    assert len(batch) == 0 and batch.angles_deg.shape == (0, 3)


def test_boxes_and_landmarks_of_the_caller_replace_the_detector(cache, models, sample_photo):
    predictor = FaceGeometry("mb05", detector="faceboxes")
    (expected,) = predictor(sample_photo)
    (boxed,) = predictor(sample_photo, boxes=expected.box)
    assert np.array_equal(boxed.landmarks, expected.landmarks) and np.isnan(boxed.score)
    (tracked,) = predictor(sample_photo, landmarks=expected.landmarks)
    size = np.ptp(expected.landmarks[:, :2], axis=0).max()
    distance = np.linalg.norm((tracked.landmarks - expected.landmarks)[:, :2], axis=1)
    assert distance.mean() < 0.03 * size
    several = predictor([sample_photo, sample_photo], boxes=[None, [expected.box] * 2])
    assert [len(faces) for faces in several] == [1, 2]


@pytest.mark.parametrize("angle", [15, 30, 90, -30])
def test_turning_the_photo_clockwise_adds_to_roll(predictor, dev, dev_photos, angle):
    """Frontal faces, box given; the photo is turned clockwise, as the viewer sees it."""
    truth = dev.poses_deg()
    frontal = np.flatnonzero(np.abs(truth).max(axis=1) < 15)[:40]
    assert len(frontal) >= 20
    changes = []
    for index in frontal:
        photo = dev_photos[dev.names[index]]
        x0, y0, x1, y1 = dev.rois[index].tolist()
        # In OpenCV a positive angle turns counter-clockwise.
        turn = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), -angle, 1.0)
        box = _box_of(dev.rois[index])
        (before,) = predictor(photo, boxes=box)
        (after,) = predictor(cv2.warpAffine(photo, turn, photo.shape[1::-1]), boxes=box)
        changes.append((after.pose.roll - before.pose.roll + 180) % 360 - 180)
    assert abs(np.median(changes) - angle) < 5


def _box_of(roi: np.ndarray) -> np.ndarray:
    """The detector box whose region is this one."""
    side = (roi[2] - roi[0]) / 1.58
    centre = (roi[:2] + roi[2:]) / 2 - [0, 0.14 * side]
    return np.concatenate([centre - side / 2, centre + side / 2])


@pytest.mark.parametrize(
    ("turned", "angle", "sign"),
    [
        ("left", 0, 1),
        ("right", 0, -1),
        ("up", 1, 1),
        ("down", 1, -1),
        ("leaning right", 2, 1),
        ("leaning left", 2, -1),
    ],
)
def test_signs_of_the_angles_on_photos(predictor, dev, dev_photos, turned, angle, sign):
    for name in SEEN[turned]:
        roi = dev.rois[dev.names.index(name)]
        (face,) = predictor(dev_photos[name], boxes=_box_of(roi))
        pose = face.pose
        assert sign * (pose.yaw, pose.pitch, pose.roll)[angle] > 12, name


def test_the_pose_is_the_similarity_that_places_the_landmarks(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    pose = face.pose
    assert np.allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(pose.rotation) == pytest.approx(1)
    linear = pose.scale * np.diag([1, -1, 1]) @ pose.rotation
    relative = np.linalg.norm(linear - face.affine[:, :3]) / np.linalg.norm(linear)
    assert relative < 0.1  # upstream's matrices are no exact similarities
    assert np.array_equal(pose.translation, face.affine[:, 3].astype(float))


def test_the_head_in_millimetres_is_seen_where_the_photo_shows_it(predictor, sample_photo):
    """An adult's head, focal length 1000: its landmarks project back, at a plausible distance."""
    (face,) = predictor(sample_photo)
    camera = np.array([[1000.0, 0, 256], [0, 1000, 256], [0, 0, 1]])
    placed = face.pose.to_metric(camera)
    R, scale = face.pose.rotation, face.pose.scale
    upright = (face.coarse_landmarks - face.pose.translation) * [1, -1, 1]
    model_points = upright @ R / scale
    points = placed.transform(model_points)[0] @ camera.T
    seen = points[:, :2] / points[:, 2:]
    # Weak perspective and true perspective differ by depth over distance.
    assert np.linalg.norm(seen - face.landmarks[:, :2], axis=1).mean() < 3
    eyes_px = np.linalg.norm(face.landmarks[36:42].mean(0) - face.landmarks[42:48].mean(0))
    assert placed.distance_mm[0] == pytest.approx(1000 * 63 / eyes_px, rel=0.15)
    with pytest.raises(InvalidInputError, match="camera_matrix"):
        face.pose.to_metric(np.eye(4))


def test_results_survive_json(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    again = json.loads(face.to_json())
    assert np.array_equal(np.float32(again["landmarks"]), face.landmarks)
    assert again["pose"]["yaw"] == face.pose.yaw
    (boxed,) = predictor(sample_photo, boxes=face.box)
    assert json.loads(boxed.to_json())["score"] is None


def test_results_are_frozen(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    with pytest.raises(AttributeError):
        face.score = 1.0


def test_a_landmarks_only_model_names_the_file_that_a_mesh_needs(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    with pytest.raises(MissingBasisError, match=r"bfm_noneck_v3\.pkl"):
        _ = face.mesh
    with pytest.raises(MissingBasisError, match=r"bfm_noneck_v3\.pkl"):
        predictor.reconstruct(face.params[None])


def test_one_bad_photo_does_not_stop_a_batch(predictor, paths, tmp_path):
    bad = tmp_path / "text.jpg"
    bad.write_text("no photo")
    mixed = [paths[0], bad, np.zeros((1, 1, 3), np.uint8), tmp_path / "missing.jpg", paths[1]]
    with pytest.raises(BatchError, match="3 of 5 photos failed") as caught:
        predictor(mixed)
    assert [None if r is None else len(r) for r in caught.value.results] == [3, None, None, None, 2]
    kinds = {index: type(error) for index, error in caught.value.failures.items()}
    assert kinds == {1: InvalidImageError, 2: InvalidImageError, 3: UnreadableFileError}
    streamed = list(predictor.predict_photos(iter(mixed)))
    assert [result.error is None for result in streamed] == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[600, 10, 700, 110]], "overlaps the photo"),
        ([[10, 10, 10, 50]], "x0 < x1"),
        ([[10, 10, np.nan, 50]], "NaN"),
        ([[10, 10, 50]], "shape"),
        ([["a", 1, 2, 3]], "numbers"),
        ([[-1e6, -1e6, 1e6, 1e6]], "photos wide"),
    ],
)
def test_bad_boxes_get_one_clear_error(predictor, sample_photo, boxes, message):
    with pytest.raises(InvalidInputError, match=message) as caught:
        predictor(sample_photo, boxes=boxes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "landmarks", [np.zeros((1, 21, 2)), np.zeros((68, 4)), np.zeros(68), np.full((68, 2), np.nan)]
)
def test_bad_landmarks_get_one_clear_error(predictor, sample_photo, landmarks):
    with pytest.raises(InvalidInputError, match="landmarks"):
        predictor(sample_photo, landmarks=landmarks)


def test_contradictory_or_unmatched_arguments_are_refused(predictor, sample_photo):
    with pytest.raises(InvalidInputError, match="got both"):
        predictor(sample_photo, boxes=[1, 1, 50, 50], landmarks=np.ones((68, 2)))
    with pytest.raises(InvalidInputError, match="one entry for each"):
        predictor([sample_photo], boxes=[None, None])


@pytest.mark.parametrize(
    ("crops", "rois"),
    [
        (np.zeros((2, 120, 120, 3), np.float32), np.zeros((2, 4))),
        (np.zeros((2, 64, 64, 3), np.uint8), np.zeros((2, 4))),
        (np.zeros((2, 120, 120, 3), np.uint8), np.zeros((1, 4))),
        ([[1]], np.zeros((1, 4))),
    ],
)
def test_bad_crops_get_one_clear_error(predictor, crops, rois):
    with pytest.raises(InvalidInputError, match="expected"):
        predictor.predict_crops(crops, rois)


def test_a_very_large_photo_is_measured(predictor, sample_photo):
    """12,000 x 9,000 pixels, the face a thousand pixels high."""
    large = np.full((9000, 12000, 3), 80, np.uint8)
    large[3000:8120, 5000:10120] = cv2.resize(sample_photo, (5120, 5120))
    (face,) = predictor(large)
    (small,) = predictor(sample_photo)
    expected = small.landmarks[:, :2] * 10 + [5000, 3000]
    error = np.linalg.norm(face.landmarks[:, :2] - expected, axis=1).mean()
    assert error < 0.03 * np.ptp(expected, axis=0).max()


def test_missing_and_damaged_weights(cache, models, monkeypatch, tmp_path):
    from facegeo.zoo import find
    from facegeo.zoo.store import install

    model = find("mb05")
    contents = {role: model.read(role) for role in model.card.files}
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(tmp_path / "other"))
    with pytest.raises(ModelNotFoundError, match="facegeo fetch"):
        FaceGeometry("mb05")
    copy = install(model.card, contents)
    data = bytearray(contents["network"])
    data[len(data) // 2] ^= 1
    copy.path("network").write_bytes(data)
    with pytest.raises(CorruptFileError, match="damaged"):
        FaceGeometry("mb05")


def test_no_detector_is_opened_where_boxes_are_given(models, sample_photo, monkeypatch, caplog):
    from facegeo.detect import chosen

    def forbidden(*arguments, **more):
        raise AssertionError("opened a detector")

    monkeypatch.setattr(chosen, "open_detector", forbidden)
    with caplog.at_level(logging.WARNING, "facegeo"):
        assert len(FaceGeometry("mb05")(sample_photo, boxes=[180, 60, 280, 180])) == 1
    assert not caplog.records


def test_results_can_be_pickled(predictor, sample_photo):
    (face,) = predictor(sample_photo)
    again = pickle.loads(pickle.dumps(face))
    assert np.array_equal(again.landmarks, face.landmarks)
