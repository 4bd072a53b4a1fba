"""Scenes, assignment, loss, mining and runs of the detector's training."""

import dataclasses
import json
import math
import tarfile

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegeo.cli import main  # noqa: E402
from facegeo.detect.base import Detections  # noqa: E402
from facegeo.errors import (  # noqa: E402
    CorruptFileError,
    InvalidInputError,
    ModelNotFoundError,
    UnreadableFileError,
)
from facegeo.networks.detector.network import STRIDES, OneStageDetector, cells  # noqa: E402
from facegeo.networks.detector.weights import read_detector  # noqa: E402
from facegeo.training.core import checkpoint  # noqa: E402
from facegeo.training.core.optimiser import OptimiserConfig  # noqa: E402
from facegeo.training.detector import mining, prepare  # noqa: E402
from facegeo.training.detector.batches import Scenes, collate  # noqa: E402
from facegeo.training.detector.config import (  # noqa: E402
    DetectorConfig,
    DetectorData,
    config_from,
)
from facegeo.training.detector.loop import (  # noqa: E402
    Trainer,
    averaged_network,
    network_of,
    train_detector,
)
from facegeo.training.detector.matching import assign, detection_loss, overlap  # noqa: E402
from facegeo.training.detector.scenes import (  # noqa: E402
    Composer,
    HardNegatives,
    Scene,
    _Canvas,
    _sharpened,
    mirror,
    rotated_box,
)
from facegeo.training.detector.sources import (  # noqa: E402
    Backgrounds,
    Faces,
    complete_boxes,
    ignored_regions,
    point_features,
    taught_boxes,
)

FACE_BOX = np.array([22, -3, 98, 99], np.float32)


FACES = Faces(np.zeros((1, 120, 120, 3), np.uint8), FACE_BOX[None], np.zeros(1))


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (4, 120, 120, 3), dtype=np.uint8)
    photos = [rng.integers(0, 256, (160, 240, 3), dtype=np.uint8) for _ in range(3)]
    ignored = [np.zeros((0, 4), np.float32)] * 3
    faces = Faces(crops, np.tile(FACE_BOX, (4, 1)), np.array([0.0, 5, -10, 80]))
    return faces, Backgrounds(("a", "b", "c"), photos, ignored)


@pytest.fixture(scope="module")
def composer(sources):
    return Composer(*sources)


def config_of(run, **changes) -> DetectorConfig:
    """Six steps of small scenes."""
    plain = DetectorConfig(
        run=str(run),
        data=DetectorData("", "", workers=0),
        steps=6,
        batch=2,
        sides=(64, 128),
        reference_side=64,
        precision="fp32",
        device="cpu",
        threads=1,
        mine_steps=2,
        checkpoint_steps=1,
        log_steps=1,
    )
    return dataclasses.replace(plain, **changes)


def test_the_same_step_composes_the_same_scenes_in_any_worker(composer):
    config = config_of("", sides=(128,))
    alone, later = (list(Scenes(composer, config, range(first, 5))) for first in (2, 3))
    assert len(alone) == 3
    for a, b in zip(alone[1:], later, strict=True):
        assert torch.equal(a.photos, b.photos)
        assert torch.equal(a.boxes, b.boxes)
    assert not torch.equal(alone[0].photos, alone[1].photos)


def test_steps_of_all_sides_show_about_as_many_pixels(composer):
    config = config_of("", sides=(64, 128, 256), batch=8, reference_side=128)
    pixels = {
        batch.photos.shape[1]: batch.photos[..., 0].numel()
        for batch in Scenes(composer, config, range(20))
    }
    assert len(pixels) == 3 and len(set(pixels.values())) == 1


def test_turned_heads_come_more_often_than_the_data_have_them():
    yaw = np.array([0.0] * 95 + [70, -72, 95, 85, 62])
    faces = Faces(np.zeros((100, 120, 120, 3), np.uint8), np.tile(FACE_BOX, (100, 1)), yaw)
    composer = Composer(faces, Backgrounds((), [], []))
    rng = np.random.default_rng(0)
    rows = np.array([composer.choose(rng) for _ in range(3000)])
    # Half of the draws are even over three ranges that are not empty: 0-15, 60-75, 75 and more.
    assert np.mean(rows >= 95) == pytest.approx(0.5 * 0.05 + 0.5 * 2 / 3, abs=0.04)
    assert set(rows) == set(range(100))


def test_a_mirrored_crop_has_its_box_mirrored():
    crop = np.zeros((120, 120, 3), np.uint8)
    crop[30:51, 10:41] = 255
    other, box = mirror(crop, np.array([10, 30, 40, 50], np.float32))
    rows, columns = np.nonzero(other[:, :, 0])
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == box.tolist()


def test_only_enlarged_crops_are_sharpened():
    ramp = np.tile(np.clip((np.arange(120) - 50) * 12, 40, 215).astype(np.uint8), (120, 1))
    crop = np.repeat(ramp[:, :, None], 3, axis=2)
    rng = np.random.default_rng(0)
    assert all(_sharpened(crop, 1.4, rng) is crop for _ in range(5))
    enlarged = [_sharpened(crop, 3.0, rng) for _ in range(40)]
    changed = [np.diff(c[60, :, 0].astype(int)).max() > 13 for c in enlarged]
    assert 0.5 < np.mean(changed) < 0.9


def test_counted_faces_lie_mostly_in_the_scene(composer):
    rng = np.random.default_rng(1)
    boxes = np.concatenate([composer.scene(192, rng).boxes for _ in range(60)])
    assert len(boxes) > 60
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((centre >= 0) & (centre <= 191)).all()
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert sides.min() < 24
    assert sides.max() > 120


def test_a_face_is_pasted_where_its_box_says():
    """A white disc fills the box of a black crop; the pasted pixels must fill the given box."""
    y, x = np.mgrid[:120, :120]
    inside = ((x - 60) / 30) ** 2 + ((y - 60) / 20) ** 2 <= 1
    crop = np.repeat((inside * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    faces = Faces(crop[None], np.array([[30, 40, 90, 80]], np.float32), np.zeros(1))
    photo = np.zeros((200, 300, 3), np.uint8)
    backgrounds = Backgrounds(("a",), [photo], [np.zeros((0, 4), np.float32)])
    for angle in (0.0, 30.0, -50.0):
        canvas = photo.copy()
        rng = np.random.default_rng(5)
        box = Composer(faces, backgrounds).paste(canvas, 0, (120.0, 90.0), 80.0, angle, rng)
        rows, columns = np.nonzero(canvas[:, :, 0] > canvas.max() // 2)
        drawn = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert drawn == pytest.approx(box, abs=4)


def test_faces_that_are_mostly_outside_are_ignored():
    canvas = _Canvas(np.zeros((100, 100, 3), np.uint8), [np.array([1, 2, 3, 4])])
    canvas.boxes = [np.array(b) for b in ([10, 10, 50, 50], [60, 10, 140, 50], [70, 10, 110, 50])]
    scene = canvas.scene()
    assert scene.boxes.tolist() == [[10, 10, 50, 50], [70, 10, 110, 50]]
    assert scene.ignored.tolist() == [[1, 2, 3, 4], [60, 10, 140, 50]]


def extent(photo: np.ndarray) -> list[int]:
    """The box around what is bright."""
    rows, columns = np.nonzero(photo[:, :, 0] > 127)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_regions_to_ignore_follow_their_photo_into_the_scene():
    photo = np.zeros((160, 240, 3), np.uint8)
    photo[70:91, 100:141] = 255
    region = np.array([[100, 70, 140, 90]], np.float32)
    composer = Composer(FACES, Backgrounds(("a",), [photo], [region]))
    seen = 0
    for seed in range(30):
        canvas = composer._background(128, np.random.default_rng(seed))
        (box,) = np.array(canvas.ignored)
        if (box >= 2).all() and (box <= 125).all():
            seen += 1
            assert box == pytest.approx(extent(canvas.photo), abs=2.5)
    assert seen > 5


def test_faces_of_a_mosaic_lie_where_their_boxes_say():
    crop = np.zeros((120, 120, 3), np.uint8)
    crop[31:90, 41:70] = 255
    faces = Faces(crop[None], np.array([[40, 30, 70, 90]], np.float32), np.zeros(1))
    dark = [np.zeros((160, 240, 3), np.uint8)]
    composer = Composer(faces, Backgrounds(("a",), dark, [np.zeros((0, 4), np.float32)]))
    checked = 0
    for seed in range(20):
        canvas = composer._mosaic(256, np.random.default_rng(seed))
        for box in np.array(canvas.boxes).reshape(-1, 4):
            x0, y0, x1, y1 = np.clip(np.rint(box), 0, 255).astype(int)
            around = canvas.photo[y0 : y1 + 1, x0 : x1 + 1, 0]
            assert around.mean() > 190
            checked += 1
        inside = np.zeros((256, 256), bool)
        for x0, y0, x1, y1 in np.array(canvas.boxes).reshape(-1, 4):
            inside[max(int(y0) - 6, 0) : int(y1) + 7, max(int(x0) - 6, 0) : int(x1) + 7] = True
        assert canvas.photo[~inside].max(initial=0) < 128
    assert checked > 20


def test_large_faces_are_pasted_before_small_ones(composer, monkeypatch):
    pasted = []

    def paste(self, photo, row, centre, side, angle_deg, rng):
        pasted.append(side)
        return np.array([0, 0, 1, 1], np.float32)

    monkeypatch.setattr(Composer, "paste", paste)
    several = 0
    for seed in range(20):
        pasted.clear()
        canvas = _Canvas(np.zeros((256, 256, 3), np.uint8), np.zeros((0, 4)))
        composer._paste_faces(canvas, np.random.default_rng(seed))
        assert pasted == sorted(pasted, reverse=True)
        several += len(pasted) > 1
    assert several > 5


def test_box_of_a_turned_ellipse():
    centre, size = np.zeros(2, np.float32), np.array([60.0, 100.0])
    assert rotated_box(centre, size, 90) == pytest.approx([-50, -30, 50, 30], abs=1e-4)
    diagonal = np.hypot(30, 50) / np.sqrt(2)
    assert rotated_box(centre, size, 45)[2:] == pytest.approx([diagonal] * 2, abs=1e-4)


def targets_of(boxes, ignored=(), side=512):
    centres, strides = cells(side, side)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    holes = np.array(ignored, np.float32).reshape(-1, 4)
    batch = collate([Scene(np.zeros((side, side, 3), np.uint8), rows, holes)])
    return assign(batch.boxes, batch.valid, batch.ignored, centres, strides), centres, strides


@pytest.mark.parametrize("size", [14, 20, 40, 43, 44, 45, 90, 176, 180, 400])
def test_every_face_is_learnt_by_some_cell_of_a_fitting_scale(size):
    rng = np.random.default_rng(size)
    for x, y in rng.uniform(size / 4, 512 - size / 4, (50, 2)):
        box = [x - size / 2, y - size / 2, x + size / 2, y + size / 2]
        targets, _, strides = targets_of([box])
        used = strides[targets.positive[0]]
        # At the very border the last cell of the coarsest scale may be too far.
        if max(x, y) < 512 - STRIDES[-1]:
            assert len(used) >= 1
        assert ((size / used < 5.501) | (used == STRIDES[-1])).all()


def test_nothing_is_learnt_in_ignored_regions_and_everything_elsewhere():
    targets, centres, _ = targets_of([], [[100, 100, 300, 200]])
    inside = (centres >= torch.tensor([100, 100])) & (centres <= torch.tensor([300, 200]))
    assert torch.equal(targets.counted[0], ~inside.all(dim=1))
    assert not targets.positive.any()


def test_of_two_faces_at_one_place_the_smaller_is_learnt():
    large, small = [100, 100, 160, 160], [110, 110, 150, 150]
    for boxes in ([large, small], [small, large]):
        targets, centres, strides = targets_of(boxes)
        both_fit = targets.positive[0] & (strides == 16)
        assert both_fit.any() and (targets.boxes[0][both_fit] == torch.tensor(small)).all()
        assert ((centres[targets.positive[0]] - 130).abs().max(dim=1).values <= 0.75 * 16).all()


def test_cells_that_see_a_face_of_another_scale_learn_neither():
    targets, centres, strides = targets_of([[200, 200, 248, 248]])  # 48 px: 3 strides of 16
    middle = ((centres - 224).abs() <= 8).all(dim=1)
    assert (targets.positive[0] & (strides == 16)).any()
    for stride, counted in ((8, False), (32, False), (64, True)):
        cells_there = middle & (strides == stride) & ~targets.positive[0]
        if cells_there.any():
            assert targets.counted[0][cells_there].eq(counted).all(), stride
    beside = ((centres - 224).abs() > 24).any(dim=1)
    assert targets.counted[0][beside].all() and not targets.positive[0][beside].any()


def test_the_loss_vanishes_for_the_right_answer_and_only_for_it():
    targets, centres, strides = targets_of([[100, 100, 160, 180], [300, 300, 330, 330]])
    positive = targets.positive[0]
    logits = torch.where(positive, 20.0, -20.0)[None]
    reach = torch.ones(len(centres), 4)
    faces = targets.boxes[0]
    reach[:, :2] = torch.where(positive[:, None], centres - faces[:, :2], reach[:, :2])
    reach[:, 2:] = torch.where(positive[:, None], faces[:, 2:] - centres, reach[:, 2:])
    distances = (reach / (2 * strides[:, None])).log().T[None]
    right, parts = detection_loss(logits, distances, targets, centres, strides)
    assert float(right) == pytest.approx(0, abs=1e-4)
    assert parts["iou"] == pytest.approx(1, abs=1e-4)
    moved, _ = detection_loss(logits, distances + 0.3, targets, centres, strides)
    missed, _ = detection_loss(-logits, distances, targets, centres, strides)
    assert float(moved) > 0.1
    assert float(missed) > 0.1


def test_scores_aim_at_the_root_of_the_overlap():
    targets, centres, strides = targets_of([[100, 100, 164, 164]])
    positive = targets.positive
    # Every side of the box is moved in by 8 of 64 pixels: the overlap is 0.75 squared.
    faces = targets.boxes[0] + torch.tensor([8.0, 8, -8, -8])
    reach = torch.cat([centres - faces[:, :2], faces[:, 2:] - centres], dim=1)
    distances = (reach.clamp(min=1) / (2 * strides[:, None])).log().T[None]

    def score_loss(probability: float) -> float:
        logits = torch.where(positive, float(np.log(probability / (1 - probability))), -20.0)
        return detection_loss(logits, distances, targets, centres, strides)[1]["score"]

    losses = {p: score_loss(p) for p in (0.6, 0.75, 0.9, 0.99)}
    assert min(losses, key=losses.get) == 0.75


def test_generalised_overlap_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    b = torch.tensor([[1.0, 0, 3, 2], [2, 0, 3, 1]])
    iou, generalised = overlap(a, b)
    assert iou.tolist() == pytest.approx([1 / 3, 0])
    assert generalised.tolist() == pytest.approx([1 / 3, -1 / 3])


def test_unsure_boxes_come_from_the_points():
    rng = np.random.default_rng(0)
    features = np.column_stack([np.ones(400), rng.normal(0, 1, (400, 3))])
    truth = (features @ rng.normal(0, 10, (4, 4))).astype(np.float32)
    scores = np.where(np.arange(400) % 4, 0.9, 0.1)
    given = np.where(scores[:, None] > 0.5, truth, 0).astype(np.float32)
    assert complete_boxes(given, scores, features) == pytest.approx(truth, abs=0.5)


class SpotNetwork(torch.nn.Module):
    """Takes every white pixel on a cell of the finest scale for a face of 40 px."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, photos):
        height, width = photos.shape[1:3]
        centres, strides = cells(height, width)
        x, y = centres.long().clamp(max=torch.tensor([width, height]) - 1).unbind(1)
        white = photos[:, y, x].min(dim=2).values == 255
        scores = 0.9 * (white & (strides == STRIDES[0])).float()
        logs = (20 / (2 * strides)).log().expand(len(photos), 4, -1)
        return scores, logs


def photos_with_spots(*spots) -> Backgrounds:
    photos = []
    for x, y in spots:
        photo = np.zeros((128, 192, 3), np.uint8)
        photo[y - 4 : y + 5, x - 4 : x + 5] = 255
        photos.append(photo)
    ignored = [np.zeros((0, 4), np.float32)] * len(photos)
    return Backgrounds(tuple(map(str, range(len(photos)))), photos, ignored)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_mining_finds_false_boxes_where_they_are(monkeypatch, scale):
    monkeypatch.setattr(mining, "_SCALES", (scale,))
    found = mining.mine(
        SpotNetwork(),
        photos_with_spots((64, 64), (128, 48)),
        HardNegatives(),
        np.random.default_rng(0),
    )
    assert sorted(found.photos.tolist()) == [0, 1]
    for row, box in zip(found.photos, found.boxes, strict=True):
        centre = (box[:2] + box[2:]) / 2
        assert centre == pytest.approx([(64, 64), (128, 48)][row], abs=8)
        assert box[2] - box[0] == pytest.approx(40 / scale, abs=1)


def test_mining_passes_over_faces_and_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(mining, "_SCALES", (1.0,))
    monkeypatch.setattr(mining, "_KEPT", 3)
    spots = photos_with_spots((64, 64))
    face = Backgrounds(spots.names, spots.photos, [np.array([[50, 50, 80, 80]], np.float32)])
    known = HardNegatives(np.array([7, 8, 9]), np.arange(12, dtype=np.float32).reshape(3, 4))
    rng = np.random.default_rng(0)
    assert mining.mine(SpotNetwork(), face, known, rng).photos.tolist() == [7, 8, 9]
    newest = mining.mine(SpotNetwork(), spots, known, rng)
    assert newest.photos.tolist() == [0, 7, 8] and newest.boxes[1:].tolist() == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]


def test_mining_bears_photos_smaller_than_a_cell(monkeypatch):
    monkeypatch.setattr(mining, "_SCALES", (0.5,))
    tiny = Backgrounds(("a",), [np.zeros((20, 40, 3), np.uint8)], [np.zeros((0, 4), np.float32)])
    found = mining.mine(SpotNetwork(), tiny, HardNegatives(), np.random.default_rng(0))
    assert len(found.photos) == 0


class KnownTeacher:
    """Reports what it is told, photo after photo, in the photo's pixels."""

    name = "teacher"

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, photo):
        boxes, scores = self.answers.pop(0)
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


def test_the_teachers_boxes_come_back_in_crop_pixels_and_crowds_are_told(annotated):
    # A crop is shown at 144 pixels in a frame of 56: crop pixel c is shown at 1.2 c + 56.
    face = 1.2 * FACE_BOX + 56
    second = [10, 10, 50, 50]
    teacher = KnownTeacher(
        ([face], [0.9]),
        ([second, face], [0.95, 0.9]),
        ([face, second], [0.9, 0.2]),
        ([], []),
    )
    crops = np.zeros((4, 120, 120, 3), np.uint8)
    boxes, alone = taught_boxes(annotated(4), crops, teacher)
    assert boxes[:3] == pytest.approx(np.tile(FACE_BOX, (3, 1)), abs=1e-3)
    assert alone.tolist() == [True, False, True, True]


@pytest.fixture
def annotated():
    from facegeo.evaluation.aflw import AflwCrops

    def make(count):
        rng = np.random.default_rng(0)
        points = rng.uniform(60, 140, (count, 21, 2)).astype(np.float32)
        visible = rng.random((count, 21)) < 0.8
        points[~visible] = -1
        rois = np.tile(np.array([50, 50, 150, 150], np.float32), (count, 1))
        return AflwCrops(None, None, points, visible, rois, rng.uniform(-60, 60, count))

    return make


def test_hidden_points_do_not_change_the_features(annotated):
    data = annotated(3)
    arguments = (data.visible, data.rois, data.yaw_deg)
    other = np.where(data.visible[..., None], data.points, 999)
    ours, theirs = (point_features(points, *arguments) for points in (data.points, other))
    assert np.array_equal(ours, theirs) and np.isfinite(ours).all()
    moved = np.where(data.visible[..., None], data.points + 3, -1)
    assert not np.allclose(ours, point_features(moved, *arguments))
    shifted = point_features(moved, data.visible, data.rois + 3, data.yaw_deg)
    assert shifted == pytest.approx(ours)


def test_regions_to_ignore_come_from_the_photo_and_from_its_double():
    teacher = KnownTeacher(
        ([[10, 10, 30, 30], [5, 5, 9, 9]], [0.9, 0.3]), ([[100, 40, 140, 80]], [0.5])
    )
    (regions,) = ignored_regions([np.zeros((50, 80, 3), np.uint8)], teacher)
    assert regions.tolist() == [[10, 10, 30, 30], [50, 20, 70, 40]]


class KilledError(Exception):
    """Stands for a killed process."""


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("last", [1, 2, 5])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, sources, monkeypatch, last):
    """Also when it died before its first checkpoint, or around a search for false boxes."""
    monkeypatch.setattr(mining, "_HARD_SCORE", 0.0)
    whole = config_of(tmp_path / "whole", checkpoint_steps=2)
    train_detector(whole, sources)
    killed = dataclasses.replace(whole, run=str(tmp_path / "killed"))
    usual = Trainer.step

    def dying(self, batch):
        if self.progress.step == last:
            raise KilledError
        return usual(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        with pytest.raises(KilledError):
            train_detector(killed, sources)
    train_detector(killed, sources)
    a, b = (
        checkpoint.load(tmp_path / run / "checkpoint.safetensors") for run in ("whole", "killed")
    )
    assert a.progress.step == b.progress.step == 6
    assert len(a.extra["photos"]) > 0 and torch.equal(a.extra["boxes"], b.extra["boxes"])
    for part in ("network", "ema"):
        for name, value in getattr(a, part).items():
            assert torch.equal(value, getattr(b, part)[name]), name
    losses = [
        [line["loss"]["score"] for line in lines_of(tmp_path / r)] for r in ("whole", "killed")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_training_learns_in_workers_too(tmp_path, sources):
    data = DetectorData("", "", workers=1)
    changes = {"steps": 40, "mine_steps": 25, "data": data, "sides": (64,), "ema": 0.5}
    config = config_of(tmp_path, checkpoint_steps=40, batch=4, precision="bf16", **changes)
    path = train_detector(config, sources)
    losses = [line["loss"]["score"] + line["loss"]["box"] for line in lines_of(tmp_path)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    found = checkpoint.load(path)
    assert all(
        torch.equal(value, found.ema[name])
        for name, value in averaged_network(found).state_dict().items()
    )
    torch.manual_seed(config.seed)
    start = OneStageDetector().state_dict()
    name = "stages.0.0.0.weight"
    moved = (found.network[name] - start[name]).norm()
    assert 0 < (found.ema[name] - found.network[name]).norm() < 0.5 * moved


def test_the_rate_rises_and_falls_as_asked(tmp_path, sources):
    optimiser = OptimiserConfig("sgd", rate=0.1, schedule="cosine", warmup=0.5, clip=1.0)
    config = config_of(tmp_path, steps=4, mine_steps=0, optimiser=optimiser, sides=(64,))
    train_detector(config, sources)
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))
    assert [line["rate"] for line in lines_of(tmp_path)] == pytest.approx(
        0.1 * cosine * [0, 0.5, 1, 1]
    )


def data_folder(folder, rng):
    """Three crops and six backgrounds, 0 and 5 of which are held back."""
    folder.mkdir()
    names = [f"{k}.png" for k in range(6)]
    pictures = folder / "backgrounds"
    pictures.mkdir()
    for k, name in enumerate(names):
        cv2.imwrite(str(pictures / name), np.full((60, 90, 3), 10 * k, np.uint8))
    with tarfile.open(folder / "crops.tar", "w") as archive:
        for name in names[:3]:
            cv2.imwrite(str(folder / name), rng.integers(0, 256, (120, 120, 3), np.uint8))
            archive.add(folder / name, name)
    np.savez(
        folder / "annotations.npz",
        names=np.array(names[:3]),
        pts21=rng.uniform(60, 140, (3, 2, 21)),
        roi_box=np.tile(np.array([50, 50, 150, 150], np.uint16), (3, 1)),
        yaw_deg=np.array([0.0, 10, 20]),
    )
    return DetectorData(str(folder), str(pictures), "teacher")


def test_the_teacher_is_asked_once_about_what_is_trained_on(tmp_path, monkeypatch):
    data = data_folder(tmp_path / "data", np.random.default_rng(0))
    face, second = 1.2 * FACE_BOX + 56, [10, 10, 50, 50]
    answers = [([face], [0.9]), ([face, second], [0.9, 0.8]), ([face], [0.9])]
    answers += [([], [])] * 2 + [([[10, 10, 30, 30]], [0.9])] + [([], [])] * 5
    teacher = KnownTeacher(*answers)
    monkeypatch.setattr(prepare, "open_detector", lambda name, options: teacher)
    taught = tmp_path / "taught.npz"
    for _ in range(2):
        faces, backgrounds = prepare.prepare(data, taught)
        assert faces.yaw_deg.tolist() == [0, 20] and faces.crops.shape == (2, 120, 120, 3)
        assert faces.boxes == pytest.approx(np.tile(FACE_BOX, (2, 1)), abs=1e-3)
        assert backgrounds.names == ("1.png", "2.png", "3.png", "4.png")
        assert [len(regions) for regions in backgrounds.ignored] == [0, 1, 0, 0]
        assert not teacher.answers
    with np.load(taught) as archive:
        cut = {name: archive[name] for name in archive.files} | {"boxes": np.zeros((2, 4))}
    np.savez(taught, **cut)
    with pytest.raises(CorruptFileError, match="expected boxes of 3 crops, got 2"):
        prepare.prepare(data, taught)


def test_another_configuration_does_not_continue_a_run(tmp_path, sources):
    config = config_of(tmp_path, steps=1)
    train_detector(config, sources)
    with pytest.raises(InvalidInputError, match="sides"):
        train_detector(dataclasses.replace(config, sides=(64,)), sources)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"0" * 64)
    with pytest.raises(CorruptFileError, match=r"checkpoint\.safetensors"):
        train_detector(config, sources)


def test_training_can_start_from_a_file_that_ships(tmp_path, sources, random_detector):
    network, onnx = random_detector
    path = tmp_path / "start.onnx"
    path.write_bytes(onnx)
    trainer = Trainer(config_of(tmp_path / "run", initial=str(path)), sources)
    photos = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for ours, theirs in zip(trainer.network(photos), network(photos), strict=True):
            assert torch.abs(ours - theirs).max() < 1e-4
    # Averaged weights of a checkpoint have the same layers.
    again = network_of(trainer.ema.state)
    assert again.state_dict().keys() == trainer.network.state_dict().keys()
    with pytest.raises(CorruptFileError):
        read_detector(onnx[:1000])
    with pytest.raises(UnreadableFileError, match=r"none\.onnx"):
        Trainer(config_of(tmp_path / "other", initial=str(tmp_path / "none.onnx")), sources)
    with pytest.raises(ModelNotFoundError, match="nobody"):
        Trainer(config_of(tmp_path / "other", initial="nobody"), sources)


def test_configuration_names_what_is_wrong():
    plain = {"run": "r", "data": {"faces": "a", "backgrounds": "b"}}
    assert config_from(plain | {"steps": 7, "sides": [64, 128]}).sides == (64, 128)
    for wrong, message in (
        ({"stps": 7}, "stps: unknown"),
        ({"data": {"faces": "a"}}, "backgrounds"),
        ({"sides": [100]}, "sides"),
        ({"sides": []}, "sides"),
        ({"precision": "fp16"}, "precision"),
        ({"optimiser": {"name": "muon"}}, "optimiser"),
        ({"batch": 0}, "batch"),
        ({"threads": -1}, "threads"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            config_from(plain | wrong)


def test_the_command_knows_both_tasks(tmp_path, monkeypatch, capsys):
    """The shipped configurations are read; what they start is looked at in other tests."""
    import yaml
    from helpers.shared_material import REPOSITORY

    from facegeo.training.detector import loop as detector
    from facegeo.training.landmarks import loop as landmarks

    started = []
    monkeypatch.setattr(landmarks, "train", lambda config: started.append(config) or "weights")
    monkeypatch.setattr(detector, "train_detector", lambda c: started.append(c) or "checkpoint")
    for folder in ("detector", "synergy-mbv2"):
        assert main(["train", str(REPOSITORY / "models" / folder / "train.yaml")]) == 0
    assert capsys.readouterr().out.split() == ["checkpoint", "weights"]
    assert isinstance(started[0], DetectorConfig) and started[0].optimiser.name == "adamw"
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump({"task": "juggling"}))
    assert main(["train", str(path)]) == 1
    assert "expected one of ['detection', 'landmarks'], got 'juggling'" in capsys.readouterr().err


def test_every_number_of_a_configuration_is_checked(tmp_path):
    config = config_of(tmp_path)
    for section in (config, config.data):
        for field in dataclasses.fields(section):
            if type(getattr(section, field.name)) in (int, float):
                for value in (-10, math.nan, math.inf):
                    with pytest.raises(InvalidInputError, match=field.name):
                        dataclasses.replace(section, **{field.name: value})
    for sides in ((), (100,), (64.0,), (0,)):
        with pytest.raises(InvalidInputError, match="sides"):
            config_of(tmp_path, sides=sides)
    with pytest.raises(InvalidInputError, match=r"optimiser\.schedule"):
        OptimiserConfig(schedule="linear")
